// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a process, and what it has used. See waitid(2).

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::errno::Errno;

/// How a process has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitStatus {
    /// It has exited with this code.
    Exited(i32),
    /// It was killed by this signal.
    Killed(i32),
    /// It was killed by this signal and has dumped core.
    Dumped(i32),
    /// It was stopped by this signal.
    Stopped(i32),
}

impl WaitStatus {
    /// From the status of an end as wait(2) encodes it.
    fn of_raw(raw: i32) -> Self {
        match (raw & 0x7f, raw & 0x80) {
            (0, _) => Self::Exited(raw >> 8 & 0xff),
            (signal, 0) => Self::Killed(signal),
            (signal, _) => Self::Dumped(signal),
        }
    }

    /// The status as wait(2) encodes it.
    pub(crate) fn raw(self) -> i32 {
        match self {
            Self::Exited(code) => (code & 0xff) << 8,
            Self::Killed(signal) => signal,
            Self::Dumped(signal) => signal | 0x80,
            Self::Stopped(signal) => signal << 8 | 0x7f,
        }
    }
}

/// What a box has used: its PID 1, and those of its processes that have been waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in user mode.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// The most memory that one of the processes had resident, in bytes.
    pub max_rss_bytes: u64,
}

impl From<libc::rusage> for Usage {
    fn from(usage: libc::rusage) -> Self {
        let time = |time: libc::timeval| {
            Duration::from_secs(time.tv_sec.unsigned_abs())
                + Duration::from_micros(time.tv_usec.unsigned_abs())
        };
        Self {
            user: time(usage.ru_utime),
            system: time(usage.ru_stime),
            // The kernel counts in KiB: getrusage(2).
            max_rss_bytes: usage.ru_maxrss.unsigned_abs() * 1024,
        }
    }
}

/// Waits for the end of a child process.
pub(crate) fn wait_for(pidfd: &impl AsFd) -> nix::Result<(WaitStatus, Usage)> {
    loop {
        match poll_for(pidfd, libc::WEXITED) {
            Ok(Some(end)) => return Ok(end),
            Ok(None) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Waits for a child that tells nobody of its end (no exit signal: `__WALL`).
pub(crate) fn reap_silent(pidfd: &impl AsFd) {
    while poll_for(pidfd, libc::WEXITED | libc::__WALL) == Err(Errno::EINTR) {}
}

/// waitid(2) by pidfd, with the usage that only the system call itself gives. `None` when there is
/// nothing to tell (`WNOHANG`).
pub(crate) fn poll_for(
    pidfd: &impl AsFd,
    options: i32,
) -> nix::Result<Option<(WaitStatus, Usage)>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both structures are ours and long enough for what the kernel writes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_waitid,
            libc::P_PIDFD,
            pidfd.as_fd().as_raw_fd(),
            info.as_mut_ptr(),
            options,
            usage.as_mut_ptr(),
        )
    };
    match Errno::result(result) {
        // Somebody else has waited for it.
        Err(Errno::ECHILD) => {
            let status = status_after(pidfd).ok_or(Errno::ECHILD)?;
            return Ok(Some((status, Usage::default())));
        }
        result => result?,
    };
    // SAFETY: zeros are a valid siginfo_t, and the call has succeeded.
    let info = unsafe { info.assume_init() };
    // SAFETY: the same for rusage.
    let usage = unsafe { usage.assume_init() };
    // SAFETY: waitid fills the fields of SIGCHLD, or leaves all of them 0.
    let pid = unsafe { info.si_pid() };
    // SAFETY: the same.
    let status = unsafe { info.si_status() };
    let status = match (pid, info.si_code) {
        (0, _) => return Ok(None),
        (_, libc::CLD_EXITED) => WaitStatus::Exited(status),
        (_, libc::CLD_DUMPED) => WaitStatus::Dumped(status),
        (_, libc::CLD_STOPPED) => WaitStatus::Stopped(status),
        _ => WaitStatus::Killed(status),
    };
    Ok(Some((status, usage.into())))
}

/// How a process has ended that was waited for already, by its pidfd: since Linux 6.15.
fn status_after(pidfd: &impl AsFd) -> Option<WaitStatus> {
    let status = super::info::exit_status(pidfd).ok()??;
    Some(WaitStatus::of_raw(status.into_raw()))
}
