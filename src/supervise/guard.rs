// SPDX-License-Identifier: MIT OR Apache-2.0
//! Raw mode, and its end on every way out.
//!
//! While this process lives it restores the settings itself. For when it is killed, a program of a
//! few KiB waits beside it: see `src/init/guard.rs`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::terminal::{Settings, is_ours};

/// The caller's terminal, raw while this process has its foreground, until this is dropped.
#[derive(Debug)]
pub(super) struct RawMode {
    terminal: OwnedFd,
    /// What it had when it was made raw.
    before: Option<Settings>,
    guard: Option<Child>,
    active: bool,
}

impl RawMode {
    /// Makes the terminal raw; or, in the background, gets ready to.
    pub(super) fn new(terminal: OwnedFd) -> Self {
        let mut mode = Self {
            terminal,
            before: None,
            guard: None,
            active: false,
        };
        mode.refresh();
        mode
    }

    /// Looks who has the foreground, and makes the terminal raw if this process does. In the background
    /// it is not touched, and its settings are not even looked at: they are the shell's at its prompt.
    pub(super) fn refresh(&mut self) {
        self.active = is_ours(self.terminal.as_fd()) && self.enter().is_ok();
    }

    fn enter(&mut self) -> nix::Result<()> {
        let found = Settings::of(self.terminal.as_fd())?;
        if self.before.is_some_and(|before| found.is_raw_of(&before)) {
            return Ok(());
        }
        if self.before == Some(found) && self.guard.is_some() {
            return found.raw().apply(self.terminal.as_fd());
        }
        // It was not ours until now, or a shell has set it while this process was stopped.
        end(self.guard.take());
        // Before the terminal is raw: there is no moment without a guard. Without one, it is restored on
        // every way out but SIGKILL.
        self.guard = start_guard(self.terminal.as_fd(), &found).ok();
        self.before = Some(found);
        found.raw().apply(self.terminal.as_fd())
    }

    /// Whether the terminal is raw, and may be read.
    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// Gives the terminal its settings back. If it has others than those of raw mode, somebody else has
    /// taken care of it.
    pub(super) fn restore(&self) {
        let Some(before) = &self.before else { return };
        if Settings::of(self.terminal.as_fd()).is_ok_and(|found| found.is_raw_of(before)) {
            // A terminal that has gone needs no settings.
            let _ = before.apply(self.terminal.as_fd());
        }
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        self.restore();
        end(self.guard.take());
    }
}

fn end(guard: Option<Child>) {
    if let Some(mut guard) = guard {
        let _ = guard.kill();
        let _ = guard.wait();
    }
}

fn start_guard(terminal: BorrowedFd<'_>, before: &Settings) -> std::io::Result<Child> {
    let program = crate::launch::sealed_init()?;
    let parent = crate::pidfd::of_this_process()?;
    Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .arg0("guard")
        .args([before.hexadecimal(), before.raw().hexadecimal()])
        .env_clear()
        .current_dir("/")
        // A SIGKILL to the job is not for the guard.
        .process_group(0)
        .stdin(Stdio::from(terminal.try_clone_to_owned()?))
        .stdout(Stdio::from(parent))
        .stderr(Stdio::null())
        .spawn()
}
