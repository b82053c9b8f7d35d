// SPDX-License-Identifier: MIT OR Apache-2.0
//! One direction of the relay: what has been read and not been written yet.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

/// Bytes that one direction holds: four times what a pty holds.
const BUFFER_LEN: usize = 16 * 1024;
/// Bytes that can be written after a poll(2) that has found room, to whatever it is.
const FEW: usize = 256;

/// A stream of the caller.
#[derive(Debug)]
pub(super) struct Stream {
    file: File,
    /// How many bytes may be written at once.
    at_once: usize,
}

impl Stream {
    /// What comes from the caller. It is read after a poll(2) that has found something.
    pub(super) fn input(fd: BorrowedFd<'_>) -> io::Result<Self> {
        // Once more only if it is a terminal: a file begins anew, and a fifo forgets its end.
        let options = fd
            .is_terminal()
            .then(|| OpenOptions::new().read(true).clone());
        Self::open(fd, options)
    }

    /// What goes to the caller.
    pub(super) fn output(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let kind = File::from(fd.try_clone_to_owned()?).metadata()?.file_type();
        let blocks = fd.is_terminal() || kind.is_fifo();
        let mut stream = Self::open(fd, blocks.then(|| OpenOptions::new().write(true).clone()))?;
        if kind.is_file() {
            stream.at_once = BUFFER_LEN;
        }
        Ok(stream)
    }

    /// Opens a descriptor once more, so that it may be non-blocking without making the caller's so, who
    /// shares it. One that cannot be (a terminal of another user, a socket) is shared after all, and
    /// gets few bytes at a time: a write that blocks would keep signals and the clock waiting.
    fn open(fd: BorrowedFd<'_>, again: Option<OpenOptions>) -> io::Result<Self> {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        if let Some(Ok(file)) = again.map(|mut options| options.custom_flags(flags).open(path)) {
            let at_once = BUFFER_LEN;
            return Ok(Self { file, at_once });
        }
        Ok(Self {
            file: fd.try_clone_to_owned()?.into(),
            at_once: FEW,
        })
    }
}

/// The box's end of the relay, whose description is nobody else's.
impl From<OwnedFd> for Stream {
    fn from(fd: OwnedFd) -> Self {
        Self {
            file: fd.into(),
            at_once: BUFFER_LEN,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Bytes on their way.
#[derive(Debug)]
pub(super) struct Pump {
    buffer: Box<[u8; BUFFER_LEN]>,
    start: usize,
    end: usize,
    /// The byte that was read last.
    last: Option<u8>,
    /// Nothing more comes.
    ended: bool,
}

impl Pump {
    pub(super) fn new() -> Self {
        Self {
            buffer: Box::new([0; BUFFER_LEN]),
            start: 0,
            end: 0,
            last: None,
            ended: false,
        }
    }

    /// Whether there is more to come, and room for it and for the two bytes that may end it.
    pub(super) fn has_room(&self) -> bool {
        !self.ended && self.end + 2 < BUFFER_LEN
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Forgets what there is; nothing more comes.
    pub(super) fn close(&mut self) {
        (self.start, self.end, self.ended) = (0, 0, true);
    }

    /// Nothing more comes, but these bytes.
    pub(super) fn end_with(&mut self, bytes: &[u8]) {
        self.ended = true;
        for (place, byte) in self.buffer[self.end..].iter_mut().zip(bytes) {
            *place = *byte;
            self.end += 1;
        }
    }

    /// The byte that was read last.
    pub(super) fn last(&self) -> Option<u8> {
        self.last
    }

    /// The bytes that were read last: so many.
    pub(super) fn newest(&self, count: usize) -> &[u8] {
        &self.buffer[self.end.saturating_sub(count)..self.end]
    }

    /// Reads what fits: how many bytes, `None` if there is nothing at the moment. The end of file is 0.
    pub(super) fn fill(&mut self, from: &mut Stream) -> io::Result<Option<usize>> {
        match from.file.read(&mut self.buffer[self.end..BUFFER_LEN - 2]) {
            Ok(count) => {
                self.end += count;
                self.last = self.buffer[..self.end].last().copied();
                Ok(Some(count))
            }
            Err(error) if is_for_now(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes what can be written.
    pub(super) fn drain(&mut self, to: &mut Stream) {
        let end = self.end.min(self.start + to.at_once);
        match to.file.write(&self.buffer[self.start..end]) {
            Ok(count) => self.start += count,
            Err(error) if is_for_now(&error) => {}
            // Nobody is there to see it.
            Err(_) => self.start = self.end,
        }
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }
}

fn is_for_now(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
