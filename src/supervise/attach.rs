// SPDX-License-Identifier: MIT OR Apache-2.0
//! Visiting a kept box: its output on the standard streams, and what is typed on its terminal. See `door.rs`.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, recv, send};

use super::door::{PACKET, letter};
use super::guard::RawMode;
use super::ready;
use super::supervisor::Supervisor;
use super::terminal::{screen, size};
use crate::streams::STDIN;

/// `^P ^Q`, docker's way out.
const LEAVE: [u8; 2] = [0x10, 0x11];
/// How often a job in the background looks whether it has come to the foreground.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Why a visit is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attached {
    /// The box has ended, with this code.
    Ended(u8),
    /// The visitor has typed `^P ^Q`, or a signal has asked to end. The box goes on.
    Left,
    /// The keeper has broken the connection: it was killed, or this process was too slow.
    Lost,
}

impl Supervisor {
    /// Shows what a box writes from now on, and types on its terminal if it has one, until it ends or until the
    /// visitor leaves. `socket` is that of [`Entry::attach`](crate::Entry::attach).
    ///
    /// # Errors
    ///
    /// Those of the standard streams, and of poll(2).
    pub fn attach(&self, socket: &OwnedFd) -> io::Result<Attached> {
        let mut visit = Visit {
            socket,
            raw: None,
            types: false,
            held: false,
        };
        loop {
            let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let wanted = [
                Some(readable(socket.as_fd())),
                Some(readable(self.signals().as_fd())),
                visit.may_type().then(|| readable(STDIN)),
            ];
            let look = visit
                .waits_for_foreground()
                .then(|| Instant::now() + LOOK_AGAIN);
            let [shown, signalled, typed] = ready::wait(wanted, look)?;
            if !signalled.is_empty() {
                while let Some(signal) = self.signals().next() {
                    match signal {
                        Signal::SIGWINCH => visit.resize(),
                        Signal::SIGCONT => visit.refresh(),
                        Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT => {
                            return Ok(Attached::Left);
                        }
                        _ => {}
                    }
                }
            }
            if !shown.is_empty()
                && let Some(end) = visit.show()?
            {
                return Ok(end);
            }
            if !typed.is_empty() && visit.read()? {
                return Ok(Attached::Left);
            }
            if visit.waits_for_foreground() {
                visit.refresh();
            }
        }
    }
}

struct Visit<'a> {
    socket: &'a OwnedFd,
    raw: Option<RawMode>,
    /// The box has a terminal to type on, and standard input has not ended.
    types: bool,
    /// The first byte of the way out has been typed.
    held: bool,
}

impl Visit<'_> {
    fn may_type(&self) -> bool {
        self.types && self.raw.as_ref().is_none_or(RawMode::is_active)
    }

    fn waits_for_foreground(&self) -> bool {
        self.raw.as_ref().is_some_and(|raw| !raw.is_active())
    }

    fn refresh(&mut self) {
        if let Some(raw) = &mut self.raw {
            raw.refresh();
        }
        self.resize();
    }

    /// Begins to type.
    fn enter(&mut self) -> io::Result<()> {
        self.types = true;
        if STDIN.is_terminal() {
            self.raw = Some(RawMode::new(STDIN.try_clone_to_owned()?));
        }
        self.resize();
        Ok(())
    }

    fn resize(&self) {
        let Some((rows, columns)) = screen().and_then(|screen| size(screen.as_fd()).ok()) else {
            return;
        };
        if self.types {
            let ([a, b], [c, d]) = (rows.to_le_bytes(), columns.to_le_bytes());
            let _ = self.say(&[letter::SIZE, a, b, c, d]);
        }
    }

    fn say(&self, packet: &[u8]) -> nix::Result<()> {
        // It waits while the program in the box does not read.
        send(self.socket.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL).map(drop)
    }

    /// Takes a packet of the keeper's.
    fn show(&mut self) -> io::Result<Option<Attached>> {
        let mut packet = [0; PACKET];
        let length = match recv(self.socket.as_raw_fd(), &mut packet, MsgFlags::empty()) {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(Some(Attached::Lost)),
            Ok(length) => length,
            Err(Errno::EINTR | Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        match packet.get(..length).unwrap_or_default() {
            [letter::TERMINAL] => self.enter()?,
            [letter::STDOUT, bytes @ ..] => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()?;
            }
            [letter::STDERR, bytes @ ..] => io::stderr().write_all(bytes)?,
            [letter::END, code] => return Ok(Some(Attached::Ended(*code))),
            _ => {}
        }
        Ok(None)
    }

    /// Passes on what was typed: whether it was the way out.
    fn read(&mut self) -> io::Result<bool> {
        let mut bytes = [0; PACKET - 2];
        // Not closed: standard input is not ours.
        let mut stdin = std::mem::ManuallyDrop::new(File::from(STDIN.try_clone_to_owned()?));
        let read = stdin.read(&mut bytes);
        std::mem::ManuallyDrop::into_inner(stdin);
        let length = match read {
            Ok(0) => {
                self.types = false;
                return Ok(false);
            }
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            Err(error) => return Err(error),
        };
        let (packet, left) = self.pass(bytes.get(..length).unwrap_or_default());
        if packet.len() > 1 {
            // A keeper that is gone is heard of when something is shown.
            let _ = self.say(&packet);
        }
        Ok(left)
    }

    /// A packet of what was typed without the way out, which only a terminal has.
    fn pass(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut packet = vec![letter::INPUT];
        for &byte in typed {
            match (std::mem::take(&mut self.held), byte) {
                (true, byte) if byte == LEAVE[1] => return (packet, true),
                (held, byte) => {
                    packet.extend(held.then_some(LEAVE[0]));
                    if self.raw.is_some() && byte == LEAVE[0] {
                        self.held = true;
                    } else {
                        packet.push(byte);
                    }
                }
            }
        }
        (packet, false)
    }
}
