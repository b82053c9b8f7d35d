// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel has, by asking it for nothing.

use std::ptr;

use nix::errno::Errno;

use super::{Finding, Health};
use crate::host::{caller, root};
use crate::launch::{landlock_version, probe};

const TOPIC: &str = "kernel";

pub(super) fn examine() -> Vec<Finding> {
    vec![
        call("clone3", probe::clone3_works(), "clone(2) is used"),
        call(
            "close_range",
            probe::close_range_cloexec(),
            "descriptors are closed instead of marked",
        ),
        call("openat2", probe::openat2(), "paths are walked by component"),
        call(
            "mount_setattr",
            probe::mount_setattr(),
            "each mount is remounted by itself",
        ),
        namespaces(),
        pidfd(),
        call(
            "pidfd of a thread",
            pidfd_open(nix::unistd::gettid().as_raw(), PIDFD_THREAD),
            "the pidfd of the process is used",
        ),
        seccomp(),
        landlock(),
    ]
}

/// What makes a launch with a root filesystem as fast on a host with many mounts as on one with few. The kernel
/// tells only who may mount.
fn namespaces() -> Finding {
    let works = probe::open_tree_namespace();
    let otherwise = "a box with a root filesystem copies all mounts of the host first";
    let name = "OPEN_TREE_NAMESPACE";
    let detail = if works {
        "works".to_owned()
    } else {
        format!("not here, or not for this caller: {otherwise}")
    };
    Finding::ok(TOPIC, name, detail)
}

/// A call that boxes can do without.
fn call(name: &'static str, works: bool, otherwise: &str) -> Finding {
    if works {
        return Finding::ok(TOPIC, name, "works");
    }
    Finding::ok(TOPIC, name, format!("missing or filtered: {otherwise}"))
        .with(Health::Limited, way_out(name))
}

fn way_out(name: &str) -> String {
    if caller::has_filter() {
        format!("a seccomp filter is in force here: let it pass {name}, or run outside of it")
    } else {
        "boot a newer kernel".to_owned()
    }
}

/// `PIDFD_THREAD` in `linux/pidfd.h`.
const PIDFD_THREAD: libc::c_int = libc::O_EXCL;

fn pidfd_open(id: i32, flags: libc::c_int) -> bool {
    use std::os::fd::{FromRawFd, OwnedFd};
    // SAFETY: the call takes numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, id, flags) };
    if fd < 0 {
        return false;
    }
    // SAFETY: the descriptor is new and nobody else's.
    drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    true
}

/// Boxes cannot do without it.
fn pidfd() -> Finding {
    if pidfd_open(nix::unistd::getpid().as_raw(), 0) {
        Finding::ok(TOPIC, "pidfd_open", "works")
    } else {
        Finding::ok(TOPIC, "pidfd_open", "missing or filtered")
            .with(Health::Missing, way_out("pidfd_open"))
    }
}

/// The actions that a filter may have: seccomp(2).
fn seccomp() -> Finding {
    const ACTIONS: [(&str, u32); 7] = [
        ("kill_process", libc::SECCOMP_RET_KILL_PROCESS),
        ("trap", libc::SECCOMP_RET_TRAP),
        ("errno", libc::SECCOMP_RET_ERRNO),
        ("user_notif", libc::SECCOMP_RET_USER_NOTIF),
        ("trace", libc::SECCOMP_RET_TRACE),
        ("log", libc::SECCOMP_RET_LOG),
        ("allow", libc::SECCOMP_RET_ALLOW),
    ];
    let is_there = |action: &u32| {
        let operation = libc::SECCOMP_GET_ACTION_AVAIL;
        // SAFETY: the kernel reads the number, which lives during the call.
        let result =
            unsafe { libc::syscall(libc::SYS_seccomp, operation, 0, ptr::from_ref(action)) };
        result == 0
    };
    let (there, missing): (Vec<_>, Vec<_>) =
        ACTIONS.iter().partition(|(_, action)| is_there(action));
    let names = |actions: &[&(&str, u32)]| {
        let names: Vec<&str> = actions.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    };
    let finding = |detail: String| Finding::ok(TOPIC, "seccomp", detail);
    match (there.as_slice(), missing.as_slice()) {
        ([], _) => finding("there are no filters".to_owned())
            .with(Health::Missing, "boot a kernel with CONFIG_SECCOMP_FILTER"),
        (there, []) => finding(names(there)),
        (there, missing) => finding(format!("{}; without {}", names(there), names(missing)))
            .with(Health::Limited, way_out("seccomp")),
    }
}

fn landlock() -> Finding {
    let finding = |detail: String| Finding::ok(TOPIC, "landlock", detail);
    match landlock_version() {
        Ok(version) => finding(format!("version {version} of its interface")),
        Err(Errno::EOPNOTSUPP) => finding("it is built in and not active".to_owned()).with(
            Health::Missing,
            if root::has_security_module("landlock") {
                way_out("landlock")
            } else {
                "boot with landlock among the modules of lsm=".to_owned()
            },
        ),
        Err(_) => {
            finding("missing or filtered".to_owned()).with(Health::Missing, way_out("landlock"))
        }
    }
}
