//! Root filesystems whose maker wants out. What each test is about has happened to some runtime.

pub(crate) mod paths;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot};

use crate::support::clonebox::Clonebox;
use crate::support::files::{self, canary};
use crate::support::processes::eventually;
use crate::support::rootfs::Root;
use crate::support::state::State;
use crate::support::{binary, tests};

tests! {
    fn a_mask_of_proc_is_no_way_to_the_null_device_of_the_host() needs [Root] {
        let mode = || fs::metadata("/dev/null").expect("there is /dev/null").permissions();
        let before = mode();
        let root = Root::new();
        for over in [Root::run, Root::run_over] {
            let ran = over(&root, &[], &["close-to-others", "/proc/timer_list"]);
            let after = mode();
            fs::set_permissions("/dev/null", before.clone()).expect("root may do so");
            assert_eq!(after, before, "{ran:?}");
            ran.succeeds();
        }
    }

    // CVE-2024-21626.
    fn no_descriptor_of_the_caller_is_a_working_directory() needs [Box] {
        let (canary, root) = (canary(), Root::new());
        let open: Vec<File> = (0..5).map(|_| File::open(canary.path()).expect("a directory of ours")).collect();
        for file in &open {
            fcntl(file, FcntlArg::F_SETFD(FdFlag::empty())).expect("it is open");
        }
        let highest = open.iter().map(AsRawFd::as_raw_fd).max().expect("some");
        for number in 3..=highest + 8 {
            let workdir = format!("/proc/self/fd/{number}");
            root.run(&["-w", &workdir], &["cwd"]).exits_with(125);
            let below = format!("/proc/self/fd/{number}/../../..");
            root.run(&["-w", &below], &["cwd"]).exits_with(125);
        }
    }

    fn no_descriptor_of_the_caller_leads_to_a_program() needs [Box] {
        let (canary, root) = (canary(), Root::new());
        let program = files::executable(canary.path(), "program", b"#!/it\n");
        let open: Vec<File> = (0..5).map(|_| File::open(canary.path()).expect("a directory of ours")).collect();
        for file in &open {
            fcntl(file, FcntlArg::F_SETFD(FdFlag::empty())).expect("it is open");
        }
        let highest = open.iter().map(AsRawFd::as_raw_fd).max().expect("some");
        assert!(program.exists());
        for number in 3..=highest + 8 {
            let program = format!("/proc/self/fd/{number}/program");
            let bind = root.program();
            let words = ["--rootfs", root.text(), "-v", &bind, "--", &program];
            Clonebox::new().args(words).run().exits_with(127);
        }
    }

    // CVE-2025-31133: what covers files in /proc is the null device, or no box is started.
    fn a_null_device_that_is_none_covers_nothing() needs [Root] {
        let (root, place) = (Root::new(), files::directory());
        let null = place.path().join("null");
        fs::write(&null, "seen").expect("a directory of ours");
        let (inner, program) = (binary().display().to_string(), root.program());
        let run = |null: &Path, dev: &str| {
            let volume = format!("{}:/dev/null", null.display());
            let outer = ["-v", &volume, "--cap-add", "ALL", "--", &inner];
            let rootfs = ["--rootfs", root.text(), "--dev", dev, "-v", &program];
            let probe = ["--", "/it", "__probe", "cat", "/proc/timer_list"];
            Clonebox::new().args(outer).args(rootfs).args(probe).run()
        };
        for null in [&null, Path::new("/dev/zero"), Path::new("/dev/full")] {
            for dev in ["none", "host"] {
                let ran = run(null, dev).exits_with(125);
                ran.complains("cannot find the null device at /dev/null: No such device (ENODEV)");
            }
            // One that the box has made itself.
            run(null, "minimal").succeeds().prints("");
        }
        run(Path::new("/dev/null"), "host").succeeds().prints("");
    }

    // CVE-2019-5736.
    fn the_launchers_own_executable_is_out_of_reach() needs [Box] {
        let (root, place) = (Root::new(), files::directory());
        let copy = files::executable(place.path(), "clonebox", fs::read(binary()).expect("the command"));
        let before = copy.metadata().expect("a file of ours");
        let bytes = fs::read(&copy).expect("a file of ours");
        files::executable(root.path(), "script", b"#!/proc/self/exe --help\n");
        for program in ["/proc/self/exe", "/script"] {
            assert!(launched_without_a_seal(root.path(), program).contains("[FILTER]"), "{program}");
        }
        let bind = root.program();
        for (program, name) in [("/proc/self/exe", "direct"), ("/script", "script")] {
            let mut command = std::process::Command::new(&copy);
            command.args(["--rootfs", root.text(), "-v", &bind, "--timeout", "20", "--", program, "--help"]);
            let ran = Clonebox::of(command).run();
            // It is neither clonebox nor anything else that has its way.
            assert!(!ran.stdout().contains("clonebox"), "{name}: {}", ran.stdout());
        }
        // What the first process is before the program: a file that cannot be written.
        let mut command = std::process::Command::new(&copy);
        command.args(["--explain", "--rootfs", root.text(), "--", "/it"]);
        let plan = Clonebox::of(command).run().succeeds().stdout();
        let last = plan.lines().last().expect("a step");
        assert!(last.contains("execveat(<init>, \"\""), "{last}");
        let after = copy.metadata().expect("a file of ours");
        assert_eq!(fs::read(&copy).expect("a file of ours"), bytes);
        let of = |file: &fs::Metadata| (file.mtime(), file.mtime_nsec(), file.permissions().mode());
        assert_eq!(of(&after), of(&before));
    }

    // What such a name leads to, in a box with an init, is that file.
    fn the_executable_of_a_boxs_first_process_cannot_be_written() needs [Box] {
        let (root, state, place) = (Root::new(), State::new(), files::directory());
        let copy = files::executable(place.path(), "clonebox", fs::read(binary()).expect("the command"));
        let before = (fs::read(&copy).expect("a file of ours"), copy.metadata().expect("a file of ours"));
        let mut command = std::process::Command::new(&copy);
        command.env(State::VARIABLE, state.path());
        command.args(["--init", "--name", "victim", "--rootfs", root.text(), "-v", &root.program()]);
        command.args(["--", "/it", "__probe", "stay"]);
        let mut running = Clonebox::of(command).start();
        running.ready();
        assert!(eventually(|| state.is("victim", "running")), "{:?}", state.list());
        let path = format!("/proc/{}/exe", state.pid("victim"));
        // Whoever keeps it open waits until it is not executed any more, as CVE-2019-5736 has it.
        let kept = File::open(&path).expect("its executable");
        let program = fs::read(&path).expect("its executable");
        assert_ne!(program, before.0, "it is not the command");
        let write = |path: &str| OpenOptions::new().write(true).open(path);
        let errno = |error: std::io::Error| error.raw_os_error().map(Errno::from_raw);
        let seals = fcntl(&kept, FcntlArg::F_GET_SEALS).expect("a file in memory");
        let all = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
        assert!(SealFlag::from_bits_retain(seals).contains(all), "{seals:#x}");
        // From inside, with every capability that there can be.
        let tried = root.run(&["--init", "--cap-add", "ALL"], &["try", "/proc/1/exe"]).succeeds().stdout();
        // Linux 6.11 and 6.12 let what is executed be opened.
        assert!(["ETXTBSY\n", "EPERM\n"].contains(&tried.as_str()), "{tried}");
        state.run(&["kill", "victim"]);
        drop(running);
        let again = format!("/proc/self/fd/{}", kept.as_raw_fd());
        let mut open = eventually_open(|| write(&again));
        assert_eq!(open.write(b"x").map_err(errno).err(), Some(Some(Errno::EPERM)));
        assert_eq!(open.set_len(0).map_err(errno).err(), Some(Some(Errno::EPERM)));
        assert_eq!(fs::read(&again).expect("a file in memory"), program);
        let after = copy.metadata().expect("a file of ours");
        assert_eq!(fs::read(&copy).expect("a file of ours"), before.0);
        assert_eq!((after.mtime(), after.mtime_nsec()), (before.1.mtime(), before.1.mtime_nsec()));
    }
}

/// Opens what is busy until it is not.
fn eventually_open(open: impl Fn() -> std::io::Result<File>) -> File {
    assert!(eventually(|| open().is_ok()), "{:?}", open());
    open().expect("it is not busy any more")
}

/// What a program of a root filesystem prints that a launcher, this process, executes itself after chroot(2), as
/// runtimes did: with such a name it is the launcher's own executable again.
fn launched_without_a_seal(root: &Path, program: &str) -> String {
    let proc = root.join("proc");
    fs::create_dir_all(&proc).expect("a directory of ours");
    let root = root.to_owned();
    let mut command = std::process::Command::new(program);
    command.arg("--help");
    let enter = move || {
        let own = CloneFlags::CLONE_NEWNS;
        // Whose root may not do that makes himself one.
        unshare(own).or_else(|_| unshare(own | CloneFlags::CLONE_NEWUSER))?;
        let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
        mount(none, "/", none, private, none)?;
        let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some("/proc"), &proc, none, bind, none)?;
        chroot(&root)?;
        Ok(chdir("/")?)
    };
    // SAFETY: the calls take paths of at most a few hundred bytes, for which nix allocates nothing, and no lock.
    unsafe { command.pre_exec(enter) };
    let output = command.output().expect("a program that can be executed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
