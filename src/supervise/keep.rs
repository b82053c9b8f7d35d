// SPDX-License-Identifier: MIT OR Apache-2.0
//! Being there for a box that nobody watches: what it writes is handed on piece by piece.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::time::Instant;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};

use super::child::Child;
use super::outcome::Outcome;
use super::ready;
use super::supervisor::Supervisor;

/// Which stream of a box something was written to. A terminal is its standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// As much as is read at once: a page, of which a pipe has sixteen.
const PIECE: usize = 4096;

/// A stream that is read until its end.
struct Source {
    file: Option<File>,
    kind: Written,
}

impl Source {
    fn new(fd: Option<OwnedFd>, kind: Written) -> io::Result<Self> {
        if let Some(fd) = &fd {
            let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
            fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        }
        let file = fd.map(File::from);
        Ok(Self { file, kind })
    }

    /// Hands on what is there: whether there was something.
    fn read(&mut self, write: &mut impl FnMut(Written, &[u8])) -> bool {
        let mut piece = [0; PIECE];
        let Some(file) = &mut self.file else {
            return false;
        };
        match file.read(&mut piece) {
            Ok(length @ 1..) => {
                write(self.kind, piece.get(..length).unwrap_or_default());
                true
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // The end; EIO is that of a terminal.
            Ok(_) | Err(_) => {
                self.file = None;
                false
            }
        }
    }
}

impl Supervisor {
    /// Stays with a box until it has ended, without a terminal: passes signals on, keeps the time, and hands
    /// what the box writes to its piped streams or to its new terminal to `write`, piece by piece.
    ///
    /// # Errors
    ///
    /// Those of [`Child::wait`], and of poll(2).
    pub fn keep(
        &self,
        child: &mut Child,
        mut write: impl FnMut(Written, &[u8]),
    ) -> io::Result<Outcome> {
        let terminal = child.take_terminal();
        let stdout = terminal.or_else(|| child.stdout.take().map(OwnedFd::from));
        let mut sources = [
            Source::new(stdout, Written::Stdout)?,
            Source::new(child.stderr.take().map(OwnedFd::from), Written::Stderr)?,
        ];
        let mut deadline = self.deadline(child);
        let mut timed_out = false;
        let status = loop {
            let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let source = |source: &Source| source.file.is_some();
            let [out, err] = &sources;
            let wanted = [
                Some(readable(child.as_fd())),
                Some(readable(self.signals().as_fd())),
                out.file
                    .as_ref()
                    .filter(|_| source(out))
                    .map(|file| readable(file.as_fd())),
                err.file
                    .as_ref()
                    .filter(|_| source(err))
                    .map(|file| readable(file.as_fd())),
            ];
            let [ended, signalled, readable @ ..] = ready::wait(wanted, deadline)?;
            if !signalled.is_empty() {
                while let Some(signal) = self.signals().next() {
                    // A box that takes none has just ended, or has changed its user.
                    let _ = child.signal(signal as i32);
                }
            }
            for (source, ready) in sources.iter_mut().zip(readable) {
                if !ready.is_empty() {
                    source.read(&mut write);
                }
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                deadline = None;
                timed_out = true;
                child.kill()?;
            }
            if !ended.is_empty()
                && let Some(status) = child.try_wait()?
            {
                break status;
            }
        };
        let wall = child.began().elapsed();
        // What is there now is the box's; a process outside of it may keep a stream open for longer.
        for source in &mut sources {
            while source.read(&mut write) {}
        }
        Ok(Outcome {
            status,
            timed_out: timed_out && status.signal() == Some(libc::SIGKILL),
            wall,
            usage: child.usage().unwrap_or_default(),
            limits: child.limits_usage(),
        })
    }
}
