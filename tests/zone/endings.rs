//! The end of boxes, of templates and of pools: what is left in a process that uses the library.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use clonebox::{Command, ParentDeath, Pool, Template};
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::support::process::{assert_no_child, descriptors};
use crate::support::program::Program;
use crate::support::tests;

/// As long as something may take that happens by itself.
const PATIENCE: Duration = Duration::from_secs(20);
const BOXES: usize = 200;
/// What the memory of this process may grow by: 64 KiB a box would be twelve times as much.
const GROWTH_KIB: u64 = 1024;

nix::ioctl_readwrite!(pidfd_get_info, 0xff, 11, [u64; 8]);

/// Whether the kernel can be asked how a process has ended that has been waited for (since Linux 6.15), tried on one
/// that is no box.
fn kernel_tells_of_those_waited_for() -> bool {
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    let mut process = std::process::Command::new("/bin/true")
        .spawn()
        .expect("a process");
    // SAFETY: the call takes numbers. Its result is a new descriptor, or an error.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, process.id(), 0) };
    assert!(pidfd >= 0, "{}", Errno::last());
    // SAFETY: the descriptor is new and nobody else's.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd as RawFd) };
    process.wait().expect("its end");
    let mut info = [PIDFD_INFO_EXIT, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the kernel writes at most the 64 bytes that the number of the call names.
    let asked = unsafe { pidfd_get_info(pidfd.as_raw_fd(), &raw mut info) };
    asked.is_ok() && info[0] & PIDFD_INFO_EXIT != 0
}

/// Whether the kernel gives a mount namespace by a pidfd (`PIDFD_GET_MNT_NAMESPACE`, since Linux 6.11), tried on this
/// process.
fn kernel_gives_mounts() -> bool {
    // SAFETY: the call takes numbers. Its result is a new descriptor, or an error.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) };
    assert!(pidfd >= 0, "{}", Errno::last());
    // SAFETY: the descriptor is new and nobody else's.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd as RawFd) };
    // SAFETY: the call takes no memory. Its result is a new descriptor, or an error.
    let mounts = unsafe { libc::ioctl(pidfd.as_raw_fd(), 0xff03, 0) };
    // SAFETY: as above.
    (mounts >= 0)
        .then(|| unsafe { OwnedFd::from_raw_fd(mounts) })
        .is_some()
}

fn in_root(program: &Program) -> Command {
    let path = program.path();
    let name = path.file_name().expect("a path").to_str().expect("UTF-8");
    let mut command = Command::new(format!("/{name}"));
    command.rootfs(path.parent().expect("a path"));
    command
}

/// How many of them this process has open.
fn mount_namespaces() -> usize {
    let all = descriptors();
    all.iter().filter(|fd| fd.contains("mnt:[")).count()
}

fn launch(template: &Template) {
    let status = template.spawn().expect("the box starts").wait();
    assert!(status.expect("it ends").success());
}

fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.expect("a number").parse().expect("a number")
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("/proc").count()
}

/// Descriptors, threads and memory after many launches are those after a few.
fn stays_flat(launch: impl Fn()) {
    (0..BOXES / 4).for_each(|_| launch());
    // A namespace that is made anew has another number.
    let descriptors = || {
        descriptors()
            .iter()
            .map(|fd| fd.replace(char::is_numeric, ""))
            .collect::<Vec<_>>()
    };
    let before = (descriptors(), threads(), resident_kib());
    (0..BOXES).for_each(|_| launch());
    assert_no_child();
    assert_eq!((descriptors(), threads()), (before.0, before.1));
    let after = resident_kib();
    assert!(
        after < before.2 + GROWTH_KIB,
        "{} KiB, then {after}",
        before.2
    );
}

tests! {
    fn a_template_leaves_nothing_in_its_process() needs [Root, MountSetattr] {
        let program = Program::new();
        let before = descriptors();
        let template = in_root(&program).prepare().expect("a template");
        assert!(template.shares_mounts());
        let second = template.clone();
        launch(&template);
        drop(template);
        launch(&second);
        drop(second);
        assert_no_child();
        assert_eq!(descriptors(), before);
    }

    fn launches_of_a_template_use_up_nothing() needs [Root, MountSetattr] {
        let program = Program::new();
        let template = in_root(&program).prepare().expect("a template");
        stays_flat(|| launch(&template));
    }

    fn a_template_that_is_refreshed_uses_up_nothing() needs [Root] {
        let program = Program::new();
        let template = std::cell::RefCell::new(in_root(&program).prepare().expect("a template"));
        stays_flat(|| template.borrow_mut().refresh().expect("nothing is wrong with it"));
    }

    fn mounts_that_outlive_a_box_a_little_leave_nothing() needs [Root, MountSetattr] {
        let program = Program::new();
        let template = in_root(&program).unmount_later(true).prepare().expect("a template");
        launch(&template);
        eventually("the mounts of the box are gone", || mount_namespaces() == 1);
        (0..BOXES).for_each(|_| launch(&template));
        eventually("the mounts of the boxes are gone", || mount_namespaces() == 1);
        eventually("the thread has ended", || threads() == 1);
        launch(&template);
        eventually("the mounts of the last box are gone", || mount_namespaces() == 1);
    }

    fn a_pool_leaves_nothing_in_its_process() needs [Box] {
        let program = Program::new();
        let mut command = Command::new(program.path());
        let template = command.parent_death(ParentDeath::Survive).prepare().expect("a template");
        let before = (descriptors(), threads());
        for size in [1, 3, 20] {
            let pool = Pool::new(&template, size).expect("a pool");
            for _ in 0..10 {
                let status = pool.spawn().expect("a box").wait();
                assert!(status.expect("its end").success());
            }
            drop(pool);
            assert_no_child();
            assert_eq!(descriptors(), before.0);
            // It is seen in /proc a little longer than its memory is waited for.
            eventually("the thread has ended", || threads() == before.1);
        }
    }

    fn a_pool_has_the_mounts_that_outlive_its_boxes_before_they_are_taken() needs [Box] {
        let program = Program::new();
        let template = Command::new(program.path()).unmount_later(true).prepare().expect("a template");
        let pool = Pool::new(&template, 3).expect("a pool");
        pool.wait_until_full();
        assert_eq!(mount_namespaces(), if kernel_gives_mounts() { 3 } else { 0 });
        for _ in 0..3 {
            assert!(pool.spawn().expect("a box").wait().expect("its end").success());
        }
        drop(pool);
        assert_no_child();
        eventually("the mounts of all boxes are gone", || mount_namespaces() == 0);
    }

    fn a_pool_in_a_copy_of_the_program_is_nobodys() needs [Box] {
        let program = Program::new();
        let template = Command::new(program.path()).prepare().expect("a template");
        let pool = Pool::new(&template, 2).expect("a pool");
        pool.wait_until_full();
        // SAFETY: the copy drops what it has of the pool, and ends.
        match unsafe { libc::fork() } {
            0 => {
                drop(pool);
                // SAFETY: the copy ends here, without the destructors of what it has copied.
                unsafe { libc::_exit(7) };
            }
            pid => {
                let ended = waitpid(Pid::from_raw(pid), None).expect("it is a child");
                assert_eq!(ended, WaitStatus::Exited(Pid::from_raw(pid), 7));
            }
        }
        assert_eq!(pool.standing(), 2);
        for _ in 0..2 {
            assert!(pool.spawn().expect("a box").wait().expect("its end").success());
        }
    }

    fn a_box_that_somebody_else_has_waited_for_is_told_if_the_kernel_knows() needs [Box] {
        let program = Program::new();
        let mut child = Command::new(program.path()).spawn().expect("a box");
        let pid = Pid::from_raw(child.id().cast_signed());
        assert_eq!(waitpid(None, None), Ok(WaitStatus::Exited(pid, 0)));
        match child.wait() {
            Ok(status) => assert_eq!(status.into_raw(), 0),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(Errno::ECHILD as i32));
                assert!(!kernel_tells_of_those_waited_for(), "it knows");
            }
        }
    }
}
