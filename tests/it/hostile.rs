//! Root filesystems whose maker wants out. What each test is about has happened to some runtime.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot};

use crate::support::clonebox::Clonebox;
use crate::support::files;
use crate::support::rootfs::{Root, contents};
use crate::support::{binary, tests};

/// Launches among which a directory is exchanged; fewer where each is emulated.
const LAUNCHES: usize = 2000;

/// As many for each of the four places; fewer where somebody says that the machine is slow.
fn launches() -> usize {
    let asked = std::env::var("CLONEBOX_ZONE_LAUNCHES");
    asked.map_or(LAUNCHES, |number| number.parse().expect("a number")) / 4
}

/// Exchanges two names: musl has no word for it.
fn swap(one: &Path, other: &Path) {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).expect("a path");
    let (one, other, here) = (text(one), text(other), libc::AT_FDCWD);
    // SAFETY: the call reads two texts that end with NUL.
    let result = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            here,
            one.as_ptr(),
            here,
            other.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// A directory of the host that nothing may reach, with something in it.
fn canary() -> tempfile::TempDir {
    let canary = files::directory();
    fs::write(canary.path().join("canary"), "alive").expect("a directory of ours");
    canary
}

#[track_caller]
fn assert_untouched(canary: &Path) {
    assert_eq!(contents(canary), ["canary 100644 alive"]);
}

tests! {
    // CVE-2021-30465, CVE-2019-16884 and their kin.
    fn mount_points_that_are_links_are_refused() needs [Box] {
        for name in ["proc", "sys", "dev"] {
            let canary = canary();
            let up = format!("../../../../../../..{}", canary.path().display());
            for target in [canary.path().to_str().expect("UTF-8"), &up, "tmp", "/tmp", "/", ".."] {
                let root = Root::new();
                fs::create_dir(root.path().join("tmp")).expect("a directory of ours");
                symlink(target, root.path().join(name)).expect("a directory of ours");
                let ran = root.run(&[], &["exit", "0"]).exits_with(125);
                let complaint = format!("cannot find /{name} in the root: ");
                assert!(ran.stderr().contains(&complaint), "{name} -> {target}: {}", ran.stderr());
                assert_untouched(canary.path());
            }
        }
    }

    fn mount_points_that_are_files_are_refused() needs [Box] {
        for name in ["proc", "sys", "dev"] {
            let root = Root::new();
            fs::write(root.path().join(name), "").expect("a directory of ours");
            let ran = root.run(&[], &["exit", "0"]).exits_with(125);
            assert!(ran.stderr().contains("Not a directory (ENOTDIR)"), "{}", ran.stderr());
        }
    }

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

    // CVE-2024-45310: what a mkdir follows.
    fn links_in_a_target_stay_inside_the_root() needs [Box] {
        let (canary, volume) = (canary(), files::directory());
        fs::write(volume.path().join("file"), "data").expect("a directory of ours");
        let up = format!("../../../../../../..{}", canary.path().display());
        for target in [canary.path().to_str().expect("UTF-8"), &up] {
            let root = Root::new();
            symlink(target, root.path().join("link")).expect("a directory of ours");
            // The link dangles inside: what it names is not made, there or here.
            let bind = format!("{}:/link/place", volume.path().display());
            root.run(&["-v", &bind], &["exit", "0"]).exits_with(125);
            assert_untouched(canary.path());
            // It leads to a directory of the same name inside.
            let inside = root.path().join(canary.path().strip_prefix("/").expect("absolute"));
            fs::create_dir_all(&inside).expect("a directory of ours");
            root.run(&["-v", &bind], &["cat", "/link/place/file"]).succeeds().prints("data");
            assert!(inside.join("place").is_dir());
            assert_untouched(canary.path());
        }
    }

    fn a_target_that_is_a_dangling_link_makes_nothing_on_the_host() needs [Box] {
        let (canary, volume) = (canary(), files::directory());
        fs::write(volume.path().join("file"), "data").expect("a directory of ours");
        let root = Root::new();
        symlink(canary.path().join("new"), root.path().join("link")).expect("a directory of ours");
        for bind in [format!("{}:/link", volume.path().display()), format!("{}/file:/link", volume.path().display())] {
            root.run(&["-v", &bind], &["exit", "0"]).exits_with(125);
            assert_untouched(canary.path());
        }
    }

    fn a_link_to_a_descriptor_leads_nowhere() needs [Box] {
        let (canary, root) = (canary(), Root::new());
        let open = File::open(canary.path()).expect("a directory of ours");
        fcntl(&open, FcntlArg::F_SETFD(FdFlag::empty())).expect("it is open");
        symlink(format!("/proc/self/fd/{}", open.as_raw_fd()), root.path().join("link")).expect("a directory of ours");
        root.run(&["--tmpfs", "/link/x"], &["exit", "0"]).exits_with(125);
        assert_untouched(canary.path());
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

    fn a_directory_that_is_exchanged_for_a_link_lets_nobody_out() needs [Root] {
        assert!(exchange_lets_out_who_looks_first(), "the exchange is too slow to be an attack");
        for name in ["a", "proc", "sys", "dev"] {
            exchange(name);
        }
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

/// Launches boxes while somebody exchanges a directory of their root filesystem for a link to the host.
fn exchange(name: &str) {
    let (canary, root, volume) = (canary(), Root::new(), files::directory());
    let path = root.path().join(name);
    let link = root.path().join("link");
    fs::create_dir(&path).expect("a directory of ours");
    symlink(canary.path(), &link).expect("a directory of ours");
    let bind = format!("{}:/a/place", volume.path().display());
    let mut command = clonebox::Command::new("/it");
    command
        .args(["__probe", "exit", "0"])
        .rootfs(root.path())
        .stderr(clonebox::Stdio::null());
    for volume in [root.program(), bind] {
        command.mount(clonebox::Mount::parse_volume(&volume).expect("a good description"));
    }
    let launch = |round: &usize| {
        // A template resolves some paths when it is made, and the others at the launch.
        let started = match round % 2 {
            0 => command.spawn(),
            _ => command.prepare().and_then(|template| template.spawn()),
        };
        let started = started.map(|mut child| child.wait());
        assert_untouched(canary.path());
        started.is_ok()
    };
    let started = while_exchanged(&path, &link, || (0..launches()).filter(launch).count());
    assert!(started > 0, "/{name}: no launch has met the directory");
    assert!(started < launches(), "/{name}: no launch has met the link");
}

/// Does something while somebody exchanges a directory for a link.
fn while_exchanged<T>(path: &Path, link: &Path, act: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when an assertion fails: the scope waits for the other thread.
        let _stop = Stop(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // It is busy while it is a mount point here, which it never is.
                swap(path, link);
                thread::yield_now();
            }
        });
        act()
    })
}

/// Whether a mount point is made outside by who looks whether the directory is one, and then goes by its name.
fn exchange_lets_out_who_looks_first() -> bool {
    let (outside, root) = (files::directory(), files::directory());
    let (path, link) = (root.path().join("a"), root.path().join("link"));
    fs::create_dir(&path).expect("a directory of ours");
    symlink(outside.path(), &link).expect("a directory of ours");
    let make = |_| {
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        thread::yield_now();
        // The one in the root filesystem is there after the first time.
        let _ = is_directory.then(|| fs::create_dir(path.join("place")));
        outside.path().join("place").exists()
    };
    while_exchanged(&path, &link, || (0..1_000_000).any(make))
}

/// Says that it is over.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
