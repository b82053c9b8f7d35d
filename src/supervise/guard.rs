// SPDX-License-Identifier: MIT OR Apache-2.0
//! Raw mode, and its end on every way out.
//!
//! While this process lives it restores the settings itself. For when it is killed, a program of a
//! few KiB waits beside it: see `src/init/guard.rs`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::terminal::{Settings, is_ours};

/// A terminal in raw mode, until it is dropped.
#[derive(Debug)]
pub(super) struct RawMode {
    terminal: OwnedFd,
    before: Settings,
    active: bool,
    guard: Option<Child>,
}

impl RawMode {
    /// Makes the terminal raw; or, in the background, gets ready to.
    pub(super) fn enter(terminal: OwnedFd) -> nix::Result<Self> {
        let before = Settings::of(terminal.as_fd())?;
        // Without a guard the terminal is restored on every way out but SIGKILL.
        let guard = start_guard(terminal.as_fd(), &before).ok();
        let mut mode = Self {
            terminal,
            before,
            active: false,
            guard,
        };
        mode.resume();
        Ok(mode)
    }

    /// Makes the terminal raw if this process has its foreground: it may have come back to it.
    pub(super) fn resume(&mut self) {
        self.active = is_ours(self.terminal.as_fd())
            && self.before.raw().apply(self.terminal.as_fd()).is_ok();
    }

    /// Whether the terminal is raw, and may be read.
    pub(super) fn is_active(&self) -> bool {
        self.active
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if self.active {
            // A terminal that has gone needs no settings.
            let _ = self.before.apply(self.terminal.as_fd());
        }
        if let Some(guard) = &mut self.guard {
            let _ = guard.kill();
            let _ = guard.wait();
        }
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
        .stdin(Stdio::from(terminal.try_clone_to_owned()?))
        .stdout(Stdio::from(parent))
        .stderr(Stdio::null())
        .spawn()
}
