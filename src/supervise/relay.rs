// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes between the caller's terminal and the box's.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::guard::RawMode;
use super::terminal::{copy_size, reopen, screen};
use crate::launch::peer;

/// Bytes that one direction holds: four times what a pty holds.
const BUFFER_LEN: usize = 16 * 1024;
/// How long the terminal of a box that has ended may be silent before nobody is believed to write to
/// it any more. Only a process outside of the box, which has got its terminal, can keep it open.
const SILENCE: Duration = Duration::from_millis(200);
/// End of file, as a terminal in canonical mode understands it: `^D`.
const END_OF_FILE: u8 = 4;

/// One direction.
#[derive(Debug)]
struct Pump {
    buffer: Box<[u8; BUFFER_LEN]>,
    start: usize,
    end: usize,
    /// Nothing more comes.
    ended: bool,
}

impl Pump {
    fn new() -> Self {
        Self {
            buffer: Box::new([0; BUFFER_LEN]),
            start: 0,
            end: 0,
            ended: false,
        }
    }

    fn has_room(&self) -> bool {
        !self.ended && self.end < BUFFER_LEN
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn fill(&mut self, from: &mut File) {
        match from.read(&mut self.buffer[self.end..]) {
            Ok(0) => self.ended = true,
            Ok(count) => self.end += count,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            // EIO: the other end of a terminal is closed.
            Err(_) => self.ended = true,
        }
    }

    fn drain(&mut self, to: &mut File) {
        match to.write(&self.buffer[self.start..self.end]) {
            Ok(count) => self.start += count,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            // Nobody is there to see it.
            Err(_) => self.start = self.end,
        }
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }
}

/// The relay.
#[derive(Debug)]
pub(super) struct Relay {
    ptmx: File,
    /// The box's end, kept open so that the terminal does not hang up while the box has closed it for
    /// a while; given up when the box has ended.
    pts: Option<OwnedFd>,
    input: File,
    output: File,
    screen: Option<OwnedFd>,
    raw: Option<RawMode>,
    to_box: Pump,
    from_box: Pump,
}

impl Relay {
    pub(super) fn new(ptmx: OwnedFd) -> io::Result<Self> {
        fcntl(&ptmx, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))?;
        let screen = screen();
        let stdin = io::stdin();
        let raw = RawMode::enter(stdin.as_fd().try_clone_to_owned()?).ok();
        let output = match &screen {
            Some(screen) => reopen(screen.as_fd(), true)?,
            None => reopen(io::stdout().as_fd(), true)?,
        };
        let relay = Self {
            pts: peer(&ptmx).ok(),
            ptmx: ptmx.into(),
            input: reopen(stdin.as_fd(), false)?,
            output,
            screen,
            raw,
            to_box: Pump::new(),
            from_box: Pump::new(),
        };
        relay.resize();
        Ok(relay)
    }

    /// Gives the box's terminal the size of the caller's; the kernel tells the box.
    pub(super) fn resize(&self) {
        if let Some(screen) = &self.screen {
            let _ = copy_size(screen.as_fd(), self.ptmx.as_fd());
        }
    }

    /// This process goes on after a stop, or has come to the foreground.
    pub(super) fn resume(&mut self) {
        if let Some(raw) = &mut self.raw {
            raw.resume();
        }
        self.resize();
    }

    /// What is to be polled: input, output, and the box's terminal.
    pub(super) fn interest(&self) -> [PollFd<'_>; 3] {
        let when = |wanted: bool, flag: PollFlags| if wanted { flag } else { PollFlags::empty() };
        // A terminal in the background must not be read; what is no terminal always may.
        let may_read = self.raw.as_ref().is_none_or(RawMode::is_active);
        let terminal = when(self.from_box.has_room(), PollFlags::POLLIN)
            | when(!self.to_box.is_empty(), PollFlags::POLLOUT);
        [
            PollFd::new(
                self.input.as_fd(),
                when(may_read && self.to_box.has_room(), PollFlags::POLLIN),
            ),
            PollFd::new(
                self.output.as_fd(),
                when(!self.from_box.is_empty(), PollFlags::POLLOUT),
            ),
            PollFd::new(self.ptmx.as_fd(), terminal),
        ]
    }

    /// Moves what can be moved, after a poll has said what is ready.
    pub(super) fn pump(&mut self, ready: [PollFlags; 3]) {
        let [input, output, terminal] = ready;
        let any = |flags: PollFlags| {
            flags.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR)
        };
        if any(input) && self.to_box.has_room() {
            self.to_box.fill(&mut self.input);
            if self.to_box.ended && self.to_box.end < BUFFER_LEN {
                self.to_box.buffer[self.to_box.end] = END_OF_FILE;
                self.to_box.end += 1;
            }
        }
        if any(terminal) && self.from_box.has_room() {
            self.from_box.fill(&mut self.ptmx);
        }
        if terminal.contains(PollFlags::POLLOUT) && !self.to_box.is_empty() {
            self.to_box.drain(&mut self.ptmx);
        }
        if output.intersects(PollFlags::POLLOUT | PollFlags::POLLERR) && !self.from_box.is_empty() {
            self.from_box.drain(&mut self.output);
        }
    }

    /// Nothing is left to be moved from the box: its end of the terminal is closed.
    fn is_silent(&self) -> bool {
        self.from_box.ended && self.from_box.is_empty()
    }

    /// After the end of the box: moves the rest of what it wrote.
    ///
    /// The end is the kernel's word that nobody has the terminal open (EIO), not that nothing is
    /// there at the moment: what was written last may still be on its way.
    pub(super) fn finish(mut self) {
        drop(self.pts.take());
        self.to_box.ended = true;
        self.to_box.start = self.to_box.end;
        while !self.is_silent() {
            let mut interest = self.interest();
            let timeout = PollTimeout::try_from(SILENCE).unwrap_or(PollTimeout::NONE);
            match poll(&mut interest, timeout) {
                Ok(0) => return,
                Err(errno) if errno != Errno::EINTR => return,
                Ok(_) | Err(_) => {}
            }
            let ready = interest.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
            self.pump(ready);
        }
    }
}
