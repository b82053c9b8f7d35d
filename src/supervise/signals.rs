// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signals as data: those that are passed on to the box arrive at a descriptor. See signalfd(2).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

/// What is passed on. SIGSEGV and its kin say that this process is broken, not the box.
const FORWARDED: [Signal; 9] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCONT,
    Signal::SIGTSTP,
];

/// Blocks signals for the calling thread and takes them as data, until it is dropped.
#[derive(Debug)]
pub(super) struct Signals {
    fd: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Takes those that are passed on and that the process does not ignore: nohup(1) stays in force.
    /// SIGTTOU and SIGTTIN are blocked as well: the terminal is ours to give and take, and a read that
    /// comes too late is an error rather than a stop.
    pub(super) fn forwarded() -> io::Result<Self> {
        let signals = FORWARDED
            .into_iter()
            .filter(|&signal| !is_ignored(signal))
            .collect();
        Self::take(
            signals,
            [Signal::SIGTTOU, Signal::SIGTTIN].into_iter().collect(),
        )
    }

    /// Takes SIGCHLD, which says that a box has stopped.
    pub(super) fn of_children() -> io::Result<Self> {
        Self::take(Signal::SIGCHLD.into(), SigSet::empty())
    }

    fn take(taken: SigSet, blocked: SigSet) -> io::Result<Self> {
        let fd = SignalFd::with_flags(&taken, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let mut before = SigSet::empty();
        let all = taken.into_iter().chain(&blocked).collect();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&all), Some(&mut before))?;
        Ok(Self { fd, before })
    }

    /// The next one that has arrived.
    pub(super) fn next(&self) -> Option<Signal> {
        let info = self.fd.read_signal().ok().flatten()?;
        Signal::try_from(info.ssi_signo.cast_signed()).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // What has arrived was for a box that is no more.
        while self.next().is_some() {}
        // A mask that was in force before is a valid one.
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// Whether the process ignores a signal.
pub(super) fn is_ignored(signal: Signal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: the structure is ours; with no new action nothing changes.
    let result = unsafe { libc::sigaction(signal as i32, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: the call has filled the structure if it has succeeded.
    result == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Sends this process's group a signal that stops it, although it is blocked, and goes on when SIGCONT
/// comes. The kernel does not stop a group that nobody would continue, one that is orphaned: this
/// returns at once then.
pub(super) fn stop_group(signal: Signal) {
    let mut before = SigSet::empty();
    let this = SigSet::from(signal);
    let _ = kill(Pid::from_raw(0), signal);
    let _ = pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&this), Some(&mut before));
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
}
