// SPDX-License-Identifier: MIT OR Apache-2.0
//! The caller's foreground, which a box takes during its set-up (`Tty::Inherit`).

use nix::errno::Errno;
use nix::sys::signal::killpg;
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use super::signals::AllBlocked;
use crate::streams::STDIN;

/// Takes the foreground back when it is dropped: what a launch that fails owes to its caller, who
/// could not read the terminal any more.
#[derive(Debug)]
pub(super) struct Foreground {
    group: Pid,
}

impl Foreground {
    /// Of a box whose first process is `pid`.
    pub(super) fn of(pid: u32) -> Self {
        Self {
            group: Pid::from_raw(pid.cast_signed()),
        }
    }

    /// Whether this process has the foreground of the terminal on standard input.
    pub(super) fn is_ours() -> bool {
        tcgetpgrp(STDIN).is_ok_and(|group| group == getpgrp())
    }

    /// Leaves it to the box.
    pub(super) fn lend(self) {
        std::mem::forget(self);
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let Ok(group) = tcgetpgrp(STDIN) else {
            return;
        };
        // Under an init the program has a group of its own, which has gone with the box.
        if group == self.group || killpg(group, None) == Err(Errno::ESRCH) {
            // SIGTTOU would stop a process that does so from the background.
            let _blocked = AllBlocked::new();
            let _ = tcsetpgrp(STDIN, getpgrp());
        }
    }
}
