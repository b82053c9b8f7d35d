// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which namespaces this process is in: namespaces(7). The first ones have numbers of their own, which are in the
//! kernel's `proc_ns.h`.

use std::os::unix::fs::MetadataExt;

const PROC_USER_INIT_INO: u64 = 0xefff_fffd;
const PROC_PID_INIT_INO: u64 = 0xefff_fffc;

/// Whether this process is in the first user namespace.
pub(crate) fn in_first_user_namespace() -> bool {
    number("user") == Some(PROC_USER_INIT_INO)
}

/// Whether this process is in the first process namespace: the kernel's log has the ids of that one.
pub(crate) fn in_first_pid_namespace() -> bool {
    number("pid") == Some(PROC_PID_INIT_INO)
}

/// The number of the namespace of this kind.
pub(crate) fn number(kind: &str) -> Option<u64> {
    let namespace = std::fs::metadata(format!("/proc/self/ns/{kind}"));
    namespace.ok().map(|found| found.ino())
}
