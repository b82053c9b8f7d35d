// SPDX-License-Identifier: MIT OR Apache-2.0
//! Descriptors that the caller has left to this program.

use std::os::fd::RawFd;
use std::process;

/// Whether the caller has left a descriptor of this number. Those that this program opens itself are
/// marked to be closed by execve(2), and those of the caller have come through one.
pub(crate) fn is_inherited(number: RawFd) -> bool {
    flags(number).is_some_and(|flags| flags & libc::FD_CLOEXEC == 0)
}

/// Opens the standard streams that the caller has closed: the next descriptor that is opened must not
/// become one.
pub(crate) fn open_standard_streams() {
    for number in (0..3).filter(|&number| flags(number).is_none()) {
        // SAFETY: the string ends with NUL and lives during the call. The lowest free number is this one.
        if unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } != number {
            process::abort();
        }
    }
}

/// The flags of a descriptor that is open.
fn flags(number: RawFd) -> Option<i32> {
    // SAFETY: the call takes numbers and touches no memory.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    (flags >= 0).then_some(flags)
}
