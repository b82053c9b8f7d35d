//! Root filesystems whose maker wants out. What each test is about has happened to some runtime.

pub(crate) mod paths;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot};

use crate::support::clonebox::Clonebox;
use crate::support::files::{self, canary};
use crate::support::rootfs::Root;
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
        let volume = format!("{}:/dev/null", null.display());
        let (inner, program) = (binary().display().to_string(), root.program());
        let run = |dev: &str| {
            let outer = ["-v", &volume, "--cap-add", "ALL", "--", &inner];
            let rootfs = ["--rootfs", root.text(), "--dev", dev, "-v", &program];
            let probe = ["--", "/it", "__probe", "cat", "/proc/timer_list"];
            Clonebox::new().args(outer).args(rootfs).args(probe).run()
        };
        run("none").exits_with(125).complains("cannot find the null device at /dev/null: No such device (ENODEV)");
        run("host").exits_with(125).complains("cannot find the null device at /dev/null: No such device (ENODEV)");
        // One that the box has made itself.
        run("minimal").succeeds().prints("");
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
        assert_eq!((after.mtime_nsec(), after.permissions().mode()), (before.mtime_nsec(), before.permissions().mode()));
    }
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
