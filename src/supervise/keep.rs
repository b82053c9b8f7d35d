// SPDX-License-Identifier: MIT OR Apache-2.0
//! Being there for a box that nobody watches: what it writes is handed on piece by piece, and those who come
//! to see it are let in.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::time::Instant;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};

use super::child::Child;
use super::door::{Door, VISITORS, Wish};
use super::outcome::Outcome;
use super::ready;
use super::supervisor::Supervisor;
use super::terminal::set_size;

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

    fn interest(&self, flags: PollFlags) -> Option<PollFd<'_>> {
        let file = self.file.as_ref()?;
        Some(PollFd::new(file.as_fd(), flags))
    }

    /// Hands on what is there: whether there was something.
    fn read(&mut self, mut write: impl FnMut(Written, &[u8])) -> bool {
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

/// What was typed and the terminal has not taken yet. Nobody is heard until it has.
#[derive(Default)]
struct Typed(Vec<u8>);

impl Typed {
    fn write_to(&mut self, terminal: Option<&File>) {
        let written = terminal.map(|terminal| nix::unistd::write(terminal, &self.0));
        match written {
            Some(Ok(length)) => drop(self.0.drain(..length)),
            Some(Err(nix::Error::EAGAIN | nix::Error::EINTR)) => {}
            // Nobody reads it any more.
            Some(Err(_)) | None => self.0.clear(),
        }
    }
}

impl Supervisor {
    /// Stays with a box until it has ended, without a terminal: passes signals on, keeps the time, and hands
    /// what the box writes to its piped streams or to its new terminal to `write`, piece by piece. Those who
    /// come through `door`, of [`Claim::door`](crate::Claim::door), see it as well.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use clonebox::{Command, Registry, Stdio, Supervisor};
    ///
    /// let supervisor = Supervisor::new()?;
    /// let template = Command::new("/srv/server")
    ///     .name("web")
    ///     .stdin(Stdio::null())
    ///     .stdout(Stdio::piped())
    ///     .stderr(Stdio::piped())
    ///     .prepare()?;
    /// let mut claim = Registry::of_user()?.claim(&template)?;
    /// claim.detached();
    /// let (mut log, door) = (claim.log(2 << 20)?, claim.door()?);
    /// let mut child = template.spawn()?;
    /// claim.started(&child)?;
    /// let outcome = supervisor.keep(&mut child, Some(door), |stream, bytes| {
    ///     let _ = log.append(stream, bytes);
    /// })?;
    /// claim.ended(&outcome)?;
    /// claim.leave(); // with its log, until somebody forgets it
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Child::wait`], and of poll(2).
    pub fn keep(
        &self,
        child: &mut Child,
        door: Option<OwnedFd>,
        mut write: impl FnMut(Written, &[u8]),
    ) -> io::Result<Outcome> {
        let terminal = child.take_terminal();
        let mut door = Door::new(door, terminal.is_some());
        let has_terminal = terminal.is_some();
        let stdout = terminal.or_else(|| child.stdout.take().map(OwnedFd::from));
        let mut out = Source::new(stdout, Written::Stdout)?;
        let mut err = Source::new(child.stderr.take().map(OwnedFd::from), Written::Stderr)?;
        let mut typed = Typed::default();
        let mut deadline = self.deadline(child);
        let mut timed_out = false;
        let status = loop {
            let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let both = if typed.0.is_empty() {
                PollFlags::POLLIN
            } else {
                PollFlags::POLLIN | PollFlags::POLLOUT
            };
            let [a, b, c, d] = door
                .visitors()
                .map(|visitor| visitor.filter(|_| typed.0.is_empty()).map(readable));
            let wanted = [
                Some(readable(child.as_fd())),
                Some(readable(self.signals().as_fd())),
                out.interest(both),
                err.interest(PollFlags::POLLIN),
                child.listener().map(readable),
                door.socket().map(readable),
                a,
                b,
                c,
                d,
            ];
            let [ended, signalled, on_out, on_err, asked, knocked, heard @ ..] =
                ready::wait(wanted, deadline)?;
            if !signalled.is_empty() {
                while let Some(signal) = self.signals().next() {
                    // A box that takes none has just ended, or has changed its user.
                    let _ = child.signal(signal as i32);
                }
            }
            if !asked.is_empty() {
                child.answer();
            }
            let mut show = |stream, bytes: &[u8]| {
                write(stream, bytes);
                door.show(stream, bytes);
            };
            if on_out.intersects(!PollFlags::POLLOUT) {
                out.read(&mut show);
            }
            if !on_err.is_empty() {
                err.read(&mut show);
            }
            if on_out.contains(PollFlags::POLLOUT) {
                typed.write_to(out.file.as_ref());
            }
            let heard: [_; VISITORS] = heard;
            for (index, _) in heard
                .iter()
                .enumerate()
                .filter(|(_, heard)| !heard.is_empty())
            {
                match door.hear(index) {
                    Some(Wish::Type(bytes)) if has_terminal => {
                        typed.0.extend(bytes);
                        typed.write_to(out.file.as_ref());
                    }
                    Some(Wish::Resize { rows, columns }) if has_terminal => {
                        if let Some(terminal) = &out.file {
                            let _ = set_size(terminal.as_fd(), rows, columns);
                        }
                    }
                    _ => {}
                }
            }
            if !knocked.is_empty() {
                door.accept();
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
        for source in [&mut out, &mut err] {
            while source.read(|stream, bytes| {
                write(stream, bytes);
                door.show(stream, bytes);
            }) {}
        }
        let outcome = Outcome {
            status,
            deadly_filter: child.has_deadly_filter(),
            forbidden_call: child.forbidden_call(),
            timed_out: timed_out && status.signal() == Some(libc::SIGKILL),
            wall,
            usage: child.usage().unwrap_or_default(),
            limits: child.limits_usage(),
        };
        door.say_end(outcome.exit_code());
        Ok(outcome)
    }
}
