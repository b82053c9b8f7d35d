// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be done to a box by whoever has not started it.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use serde_json::{Value, json};

use super::directory::read;
use super::entry::Entry;
use super::record::Record;
use crate::error::Error;
use crate::live::Freezer;
use crate::pidfd;

/// How often a record is looked at whose owner has its lock.
const PAUSE: Duration = Duration::from_millis(2);

/// How long the parent of a process may take to wait for it. Our own choice.
const REAPED_WITHIN: Duration = Duration::from_secs(5);

impl Entry {
    /// Sends a signal to its first process. See [`Child::signal`](crate::Child::signal). A box that is paused
    /// goes on for SIGKILL and SIGTERM, which it could not obey otherwise.
    ///
    /// # Errors
    ///
    /// As [`pidfd`](Self::pidfd), and those of pidfd_send_signal(2).
    pub fn signal(&self, signal: i32) -> Result<(), Error> {
        let pidfd = self.pidfd()?;
        if matches!(signal, libc::SIGKILL | libc::SIGTERM) {
            self.unpause()?;
        }
        match pidfd::kill(pidfd.as_fd(), signal) {
            // It has ended meanwhile.
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(Error::state_failed(
                &format!("send a signal to the box {}", self.name()),
                errno,
            )),
        }
    }

    /// Waits for its end, until a time at most. How it has ended, as
    /// [`Outcome::to_json`](crate::Outcome::to_json) has it; only `exit_code`, which may be null, if nobody was there to
    /// see it. `None` when the time is up.
    ///
    /// # Errors
    ///
    /// As [`pidfd`](Self::pidfd).
    pub fn wait(&self, until: Option<Instant>) -> Result<Option<Value>, Error> {
        if let Some(end) = &self.record.end {
            return Ok(Some(end.clone()));
        }
        let pidfd = self.pidfd().ok();
        if let Some(pidfd) = &pidfd
            && !pidfd::wait_until(pidfd, until)
        {
            return Ok(None);
        }
        // Whoever cares for it writes down how it has ended, and lets go of the record then.
        while self.is_cared_for() {
            if until.is_some_and(|until| until <= Instant::now()) {
                return Ok(None);
            }
            thread::sleep(PAUSE);
        }
        let text = read(&self.file).ok();
        let end = text.and_then(|text| Record::from_text(&text)?.end);
        Ok(Some(end.unwrap_or_else(|| {
            let status = pidfd.as_ref().and_then(status_after_reaping);
            json!({ "exit_code": status.map(crate::supervise::exit_code) })
        })))
    }

    /// Forgets a box that has ended, with all that is kept of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State) if it has not ended.
    pub fn forget(self) -> Result<(), Error> {
        let _lock = self.directory.lock()?;
        if self.is_cared_for() || self.is_alive() {
            let name = self.name();
            return Err(Error::state(format!(
                "the box {name} runs: clonebox stop {name} ends it"
            )));
        }
        self.erase();
        Ok(())
    }

    /// Stops all of its processes at once, until [`unpause`](Self::unpause).
    ///
    /// # Errors
    ///
    /// As [`pidfd`](Self::pidfd); [`ErrorKind::State`](crate::ErrorKind::State) if the box has no cgroup, and `ETIMEDOUT`
    /// if one of its processes is in a call that cannot be interrupted. It runs on then.
    pub fn pause(&self) -> Result<(), Error> {
        self.pidfd()?;
        let name = self.name();
        let freezer = self.freezer().ok_or_else(|| {
            Error::state(format!(
                "the box {name} has no cgroup that could be paused: start it with a limit, such as --pids-limit"
            ))
        })?;
        freezer
            .freeze()
            .map_err(|errno| Error::state_failed(&format!("pause the box {name}"), errno))
    }

    /// Lets it go on. One that is not paused is none the worse for it.
    ///
    /// # Errors
    ///
    /// As [`pidfd`](Self::pidfd).
    pub fn unpause(&self) -> Result<(), Error> {
        self.pidfd()?;
        match self.freezer().filter(Freezer::is_frozen) {
            Some(freezer) => freezer.thaw().map_err(|errno| {
                Error::state_failed(&format!("let the box {} go on", self.name()), errno)
            }),
            None => Ok(()),
        }
    }
}

/// The kernel tells it when the parent has waited for the process, which an init of the machine may take
/// seconds for.
fn status_after_reaping(pidfd: &OwnedFd) -> Option<ExitStatus> {
    let patience = Instant::now() + REAPED_WITHIN;
    loop {
        match pidfd::exit_status(pidfd) {
            Ok(None) if Instant::now() < patience => thread::sleep(PAUSE),
            found => return found.ok().flatten(),
        }
    }
}
