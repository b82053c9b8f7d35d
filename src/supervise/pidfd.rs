// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signals by pidfd: a process id may be another process by now, a pidfd never is.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use nix::errno::Errno;

/// pidfd_send_signal(2).
pub(crate) fn kill(pidfd: BorrowedFd<'_>, signal: i32) -> nix::Result<()> {
    // SAFETY: without a siginfo_t the call touches no memory of ours.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    Errno::result(result).map(drop)
}
