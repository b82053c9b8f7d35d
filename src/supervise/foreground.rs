// SPDX-License-Identifier: MIT OR Apache-2.0
//! The caller's terminal, lent to a box (`Tty::Inherit`) and taken back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use super::child::Child;
use super::signals::{Signals, stop_group};
use super::terminal::{Settings, is_ours};
use crate::pidfd::{WaitStatus, poll_for};
use crate::streams::STDIN;

/// A terminal on standard input whose foreground a box has, until this is dropped.
#[derive(Debug)]
pub(super) struct Lent {
    /// What the terminal had when the box got it; `None` until then.
    before: Option<Settings>,
    /// The box's process group, which its first process leads.
    group: Pid,
    children: Signals,
}

impl Lent {
    /// The box has taken the foreground itself, before its execve, if this process had it: then `before`
    /// has the settings of that time. They cannot be asked for any more: the box may have set others.
    /// `None` if the terminal is not this process's controlling one.
    pub(super) fn new(child: &Child, before: Option<Settings>) -> io::Result<Option<Self>> {
        if tcgetpgrp(STDIN).is_err() {
            return Ok(None);
        }
        Ok(Some(Self {
            before,
            group: Pid::from_raw(child.id().cast_signed()),
            children: Signals::of_children()?,
        }))
    }

    /// Gives the box the foreground if this process has it: a shell has brought the job there. Without a
    /// signal, if the job was not stopped.
    pub(super) fn refresh(&mut self) {
        let found = Settings::of(STDIN);
        if let (true, Ok(found)) = (is_ours(STDIN), found) {
            // What the terminal had when it was lent at first, whatever the box has made of it since.
            self.give(self.before.unwrap_or(found), self.group);
        }
    }

    /// Whether the box may be in the background, so that it has to be looked after from time to time.
    pub(super) fn waits_for_foreground(&self) -> bool {
        self.before.is_none()
    }

    /// A stopped box takes its launcher with it, as the shell expects of a job.
    pub(super) fn look_at(&mut self, child: &Child) {
        while self.children.next().is_some() {}
        let changed = poll_for(child, libc::WSTOPPED | libc::WNOHANG);
        if !matches!(changed, Ok(Some((WaitStatus::Stopped(_), _)))) {
            return;
        }
        if is_ours(STDIN) {
            // It stopped because it was in the background and is needed in front.
            return self.refresh();
        }
        let (settings, front) = (Settings::of(STDIN), tcgetpgrp(STDIN));
        self.take_back();
        stop_group(Signal::SIGTSTP);
        match (is_ours(STDIN), self.before) {
            (true, Some(before)) => {
                if let Ok(settings) = settings {
                    let _ = settings.apply(STDIN);
                }
                self.give(before, front.unwrap_or(self.group));
            }
            (true, None) => self.refresh(),
            (false, _) => {
                self.before = None;
                let _ = killpg(self.group, Signal::SIGCONT);
            }
        }
    }

    fn give(&mut self, before: Settings, group: Pid) {
        self.before = Some(before);
        let _ = tcsetpgrp(STDIN, group).or_else(|_| tcsetpgrp(STDIN, self.group));
        // The group, not only its leader: the terminal stops all of it.
        let _ = killpg(self.group, Signal::SIGCONT);
    }

    /// Takes the foreground from the box, or from a group of it that is no more. A shell that has taken it
    /// in between keeps it. SIGTTOU is blocked.
    fn take_back(&self) {
        let of_box = |front: Pid| front == self.group || killpg(front, None) == Err(Errno::ESRCH);
        let Some(before) = &self.before else { return };
        if tcgetpgrp(STDIN).is_ok_and(of_box) {
            let _ = tcsetpgrp(STDIN, getpgrp());
            let _ = before.apply(STDIN);
        }
    }
}

/// Says that a child has changed.
impl AsFd for Lent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.children.as_fd()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.take_back();
    }
}
