// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes between the caller's terminal and the box's.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::unistd::tcgetpgrp;

use super::guard::RawMode;
use super::pump::{Pump, Stream};
use super::terminal::{Settings, copy_size, is_ours, may_write, screen};
use crate::launch::peer;
use crate::streams::{STDIN, STDOUT};

/// The end of input where the box's terminal does not say: `^D`.
const END_OF_FILE: u8 = 4;

/// The relay. When it is dropped, the box's terminal hangs up, and the caller's is as it was.
#[derive(Debug)]
pub(super) struct Relay {
    ptmx: Stream,
    /// The box's end, kept open so that the terminal does not hang up while the box has closed it for
    /// a while; given up when the box has ended.
    pts: Option<OwnedFd>,
    input: Stream,
    output: Stream,
    screen: Option<OwnedFd>,
    /// If the input is a terminal.
    raw: Option<RawMode>,
    to_box: Pump,
    from_box: Pump,
    interrupted: bool,
    hung_up: bool,
}

impl Relay {
    pub(super) fn new(ptmx: OwnedFd) -> io::Result<Self> {
        fcntl(&ptmx, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))?;
        let screen = screen();
        let output = screen.as_ref().map_or(STDOUT, AsFd::as_fd);
        let relay = Self {
            pts: peer(&ptmx).ok(),
            ptmx: ptmx.into(),
            input: Stream::input(STDIN)?,
            output: Stream::output(output)?,
            raw: STDIN
                .is_terminal()
                .then(|| STDIN.try_clone_to_owned().map(RawMode::new))
                .transpose()?,
            screen,
            to_box: Pump::new(),
            from_box: Pump::new(),
            interrupted: false,
            hung_up: false,
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

    /// This process goes on after a stop, or may have come to the foreground.
    pub(super) fn refresh(&mut self) {
        if let Some(raw) = &mut self.raw {
            raw.refresh();
        }
        self.resize();
    }

    /// Whether there is something to be done that only a process in the foreground may. No signal says
    /// that it has come there if it was not stopped: it has to look from time to time.
    pub(super) fn waits_for_foreground(&self) -> bool {
        !self.may_read() || !self.from_box.is_empty() && !self.may_write()
    }

    /// A terminal in the background must not be read; what is no terminal always may.
    fn may_read(&self) -> bool {
        self.raw.as_ref().is_none_or(RawMode::is_active)
    }

    fn may_write(&self) -> bool {
        let active = self.raw.as_ref().is_some_and(RawMode::is_active);
        let screen = self.screen.as_ref().map(AsFd::as_fd);
        active || screen.is_none_or(may_write)
    }

    /// What is to be polled: input, output, and the box's terminal.
    pub(super) fn interest(&self) -> [Option<PollFd<'_>>; 3] {
        let when = |wanted: bool, flag: PollFlags| if wanted { flag } else { PollFlags::empty() };
        let input = when(self.to_box.has_room() && self.may_read(), PollFlags::POLLIN);
        let output = when(
            !self.from_box.is_empty() && self.may_write(),
            PollFlags::POLLOUT,
        );
        let terminal = when(self.from_box.has_room(), PollFlags::POLLIN)
            | when(!self.to_box.is_empty(), PollFlags::POLLOUT);
        // Without a wish there is only the end to be heard of, again and again. The end of the caller's
        // terminal is the relay's own, so that is heard of once.
        let hears_of_end = self.raw.is_some() && self.pts.is_some();
        let fd = |stream, flags: PollFlags| PollFd::new(AsFd::as_fd(stream), flags);
        [
            (hears_of_end || !input.is_empty()).then(|| fd(&self.input, input)),
            (!output.is_empty()).then(|| fd(&self.output, output)),
            (!terminal.is_empty()).then(|| fd(&self.ptmx, terminal)),
        ]
    }

    /// Moves what can be moved, after a poll has said what is ready.
    pub(super) fn pump(&mut self, ready: [PollFlags; 3]) {
        const END: PollFlags = PollFlags::POLLHUP.union(PollFlags::POLLERR);
        const READ: PollFlags = PollFlags::POLLIN.union(END);
        const WRITE: PollFlags = PollFlags::POLLOUT.union(END);
        let [input, output, terminal] = ready;
        if self.raw.is_some() && input.intersects(END) {
            self.hung_up = true;
            return;
        }
        if input.intersects(READ) && self.to_box.has_room() && self.may_read() {
            self.read_input();
        }
        if terminal.intersects(READ) && self.from_box.has_room() {
            // EIO: nobody has the other end open.
            if matches!(self.from_box.fill(&mut self.ptmx), Ok(Some(0)) | Err(_)) {
                self.from_box.end_with(&[]);
            }
        }
        if terminal.contains(PollFlags::POLLOUT) && !self.to_box.is_empty() {
            self.to_box.drain(&mut self.ptmx);
        }
        if output.intersects(WRITE) && !self.from_box.is_empty() {
            self.from_box.drain(&mut self.output);
        }
    }

    fn read_input(&mut self) {
        match self.to_box.fill(&mut self.input) {
            Ok(None) => {}
            Ok(Some(count @ 1..)) => {
                let settings = Settings::of(self.ptmx.as_fd());
                let interrupt = settings.ok().and_then(|settings| settings.interrupt());
                let typed = self.to_box.newest(count);
                self.interrupted |= interrupt.is_some_and(|byte| typed.contains(&byte));
            }
            Ok(Some(0)) => self.end_input(),
            // EIO of a terminal whose foreground this process has lost a moment ago: no end of anything.
            Err(_) if self.raw.is_some() && !is_ours(self.input.as_fd()) => self.refresh(),
            Err(_) => self.end_input(),
        }
    }

    /// Tells the box that nothing more comes. In the middle of a line the byte that says so only ends the
    /// line, and is needed twice.
    fn end_input(&mut self) {
        let settings = Settings::of(self.ptmx.as_fd());
        let byte = settings.map_or(END_OF_FILE, |settings| settings.end_of_file());
        let times = match self.to_box.last() {
            None | Some(b'\n') => 1,
            Some(_) => 2,
        };
        self.to_box.end_with(&[byte; 2][..times]);
    }

    /// Whether a byte was typed that the box's terminal makes a SIGINT for this process group, since this
    /// was asked for.
    pub(super) fn take_interrupt(&mut self, group: u32) -> bool {
        std::mem::take(&mut self.interrupted)
            && tcgetpgrp(&self.ptmx).is_ok_and(|front| front.as_raw().cast_unsigned() == group)
    }

    /// Whether the caller's terminal is gone.
    pub(super) fn has_hung_up(&self) -> bool {
        self.hung_up
    }

    /// The box has ended: what is left is what it wrote.
    pub(super) fn box_has_ended(&mut self) {
        self.pts = None;
        self.to_box.close();
    }

    /// Whether something that the box wrote waits for the caller's terminal to take it.
    pub(super) fn has_output(&self) -> bool {
        !self.from_box.is_empty()
    }

    /// Whether all that the box wrote has been passed on. The end is the kernel's word that nobody has the
    /// terminal open (EIO), not that nothing is there at the moment: it may still be on its way.
    pub(super) fn is_done(&self) -> bool {
        self.from_box.has_ended() && self.from_box.is_empty()
    }

    /// Lets the caller's terminal be as it was while somebody else prints on it.
    pub(super) fn aside(&mut self, print: impl FnOnce()) {
        if let Some(raw) = &self.raw {
            raw.restore();
        }
        print();
        self.refresh();
    }
}
