// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes by pidfd: a process id may be another process by now, a pidfd never is. See
//! pidfd_open(2).

mod wait;

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::unistd::Pid;

pub use wait::Usage;
pub(crate) use wait::{WaitStatus, poll_for, wait_for};

/// pidfd_open(2) of this process: readable when it is dead.
pub(crate) fn of_this_process() -> nix::Result<OwnedFd> {
    open(nix::unistd::getpid(), 0)
}

/// The same of a thread of it where the kernel has it (since Linux 6.9). Without, the process
/// has to do: the signal comes with the thread's end all the same; what is missed is a thread that
/// ends between the clone and the step that asks for the signal.
pub(crate) fn of_thread(thread: Pid) -> nix::Result<OwnedFd> {
    /// `PIDFD_THREAD` in `linux/pidfd.h`.
    const PIDFD_THREAD: libc::c_int = libc::O_EXCL;
    open(thread, PIDFD_THREAD).or_else(|_| of_this_process())
}

fn open(pid: Pid, flags: libc::c_int) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes numbers and touches no memory.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), flags) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

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
