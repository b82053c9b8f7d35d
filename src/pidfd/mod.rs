// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes by pidfd: a process id may be another process by now, a pidfd never is. See
//! pidfd_open(2).

mod identity;
mod info;
mod wait;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Instant;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::poll::readable;
pub(crate) use identity::Identity;
pub(crate) use info::exit_status;
pub use wait::Usage;
pub(crate) use wait::{WaitStatus, poll_for, reap_silent, wait_for};

/// pidfd_open(2) of this process: readable when it is dead.
pub(crate) fn of_this_process() -> nix::Result<OwnedFd> {
    open(nix::unistd::getpid(), 0)
}

/// pidfd_open(2) of a process of this id, which may be any by now.
pub(crate) fn of_process(pid: u32) -> nix::Result<OwnedFd> {
    // No process has an id that is no positive number: pid_t(3type).
    let pid = i32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    open(Pid::from_raw(pid), 0)
}

/// Whether a process has ended; it need not have been waited for.
pub(crate) fn has_ended(pidfd: &impl AsFd) -> bool {
    wait_until(pidfd, Some(Instant::now()))
}

/// Waits for the end of a process, which need not be a child; until a time at most. Whether it has ended.
pub(crate) fn wait_until(pidfd: &impl AsFd, until: Option<Instant>) -> bool {
    readable(pidfd, until)
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
