// SPDX-License-Identifier: MIT OR Apache-2.0
//! The caller's terminal, lent to a box (`Tty::Inherit`) and taken back.

use std::io;
use std::os::fd::AsFd;

use nix::sys::signal::{Signal, raise};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use super::child::Child;
use super::terminal::Settings;

/// A terminal on standard input whose foreground the box has, until this is dropped.
#[derive(Debug)]
pub(super) struct Lent {
    settings: Settings,
    group: Pid,
}

impl Lent {
    /// Remembers the settings. The box has taken the foreground itself, before its execve.
    pub(super) fn new(child: &Child) -> Option<Self> {
        let settings = Settings::of(io::stdin().as_fd()).ok()?;
        Some(Self {
            settings,
            group: Pid::from_raw(child.id().cast_signed()),
        })
    }

    /// The box has stopped: so does this process, as the shell expects of a job. When it goes on, the
    /// box gets the foreground again if this process has it.
    pub(super) fn stop_with_box(&self, child: &Child) {
        let settings = Settings::of(io::stdin().as_fd());
        self.take_back();
        // SIGSTOP cannot be ignored; the next line is reached after SIGCONT.
        let _ = raise(Signal::SIGSTOP);
        if tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp()) {
            if let Ok(settings) = settings {
                let _ = settings.apply(io::stdin().as_fd());
            }
            let _ = tcsetpgrp(io::stdin(), self.group);
        }
        let _ = child.signal(libc::SIGCONT);
    }

    fn take_back(&self) {
        // Nobody's or the box's: a shell that has taken it in between keeps it. SIGTTOU is blocked.
        if tcgetpgrp(io::stdin()).is_ok_and(|group| group == self.group) {
            let _ = tcsetpgrp(io::stdin(), getpgrp());
            let _ = self.settings.apply(io::stdin().as_fd());
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.take_back();
    }
}
