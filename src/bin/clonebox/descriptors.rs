// SPDX-License-Identifier: MIT OR Apache-2.0
//! Descriptors that the caller has left to this program.

use std::os::fd::RawFd;

/// Whether the caller has left a descriptor of this number. Those that this program opens itself are
/// marked to be closed by execve(2), and those of the caller have come through one.
pub(crate) fn is_inherited(number: RawFd) -> bool {
    // SAFETY: the call takes numbers and touches no memory.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}
