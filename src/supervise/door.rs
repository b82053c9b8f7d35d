// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where others come in to see what a kept box writes, and to type on its terminal: a socket of packets.
//!
//! ```text
//! keeper                                visitor
//! 't' or 'n': a terminal, or none ────▶
//! 'o' or 'e' and bytes ───────────────▶ standard output, standard error
//!                                 ◀──── 'i' and bytes: typed;  'w' rows columns: the size
//! 'x' code: the box has ended ────────▶
//! ```
//!
//! A visitor that does not read loses the connection, not the box its time: what it misses is in the log.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockFlag, accept4, recv, send};

use super::keep::Written;

/// How many may be there at once. Our own choice.
pub(super) const VISITORS: usize = 4;
/// The longest packet: a piece of output and its letter.
pub(super) const PACKET: usize = 4097;

/// The kinds of packets.
pub(super) mod letter {
    pub(in crate::supervise) const TERMINAL: u8 = b't';
    pub(in crate::supervise) const NO_TERMINAL: u8 = b'n';
    pub(in crate::supervise) const STDOUT: u8 = b'o';
    pub(in crate::supervise) const STDERR: u8 = b'e';
    pub(in crate::supervise) const INPUT: u8 = b'i';
    pub(in crate::supervise) const SIZE: u8 = b'w';
    pub(in crate::supervise) const END: u8 = b'x';
}

/// What a visitor wants.
pub(super) enum Wish {
    Type(Vec<u8>),
    Resize { rows: u16, columns: u16 },
}

/// The socket and those who have come in.
#[derive(Debug)]
pub(super) struct Door {
    socket: Option<OwnedFd>,
    visitors: [Option<OwnedFd>; VISITORS],
    terminal: bool,
}

impl Door {
    pub(super) fn new(socket: Option<OwnedFd>, terminal: bool) -> Self {
        Self {
            socket,
            visitors: [const { None }; VISITORS],
            terminal,
        }
    }

    /// The socket, while there is room.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        let room = self.visitors.iter().any(Option::is_none);
        self.socket.as_ref().filter(|_| room).map(AsFd::as_fd)
    }

    pub(super) fn visitors(&self) -> [Option<BorrowedFd<'_>>; VISITORS] {
        self.visitors
            .each_ref()
            .map(|one| one.as_ref().map(AsFd::as_fd))
    }

    /// Lets one in.
    pub(super) fn accept(&mut self) {
        let Some(socket) = &self.socket else { return };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let Ok(number) = accept4(socket.as_raw_fd(), flags) else {
            return;
        };
        // SAFETY: the descriptor is new and nobody else's.
        let visitor = unsafe { OwnedFd::from_raw_fd(number) };
        let kind = if self.terminal {
            letter::TERMINAL
        } else {
            letter::NO_TERMINAL
        };
        if let Some(place) = self.visitors.iter_mut().find(|place| place.is_none())
            && tell(&visitor, &[kind]).is_ok()
        {
            *place = Some(visitor);
        }
    }

    /// What a visitor has said; one that has gone is forgotten.
    pub(super) fn hear(&mut self, index: usize) -> Option<Wish> {
        let place = self.visitors.get_mut(index)?;
        let mut packet = [0; PACKET];
        let length = match recv(place.as_ref()?.as_raw_fd(), &mut packet, MsgFlags::empty()) {
            Ok(length @ 1..) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => return None,
            Ok(_) | Err(_) => {
                *place = None;
                return None;
            }
        };
        match packet.get(..length)? {
            [letter::INPUT, typed @ ..] => Some(Wish::Type(typed.to_vec())),
            &[letter::SIZE, a, b, c, d] => Some(Wish::Resize {
                rows: u16::from_le_bytes([a, b]),
                columns: u16::from_le_bytes([c, d]),
            }),
            _ => None,
        }
    }

    /// Shows all what the box has written.
    pub(super) fn show(&mut self, stream: Written, bytes: &[u8]) {
        let letter = match stream {
            Written::Stdout => letter::STDOUT,
            Written::Stderr => letter::STDERR,
        };
        self.tell_all(&[&[letter], bytes].concat());
    }

    /// Says that the box has ended.
    pub(super) fn say_end(&mut self, code: u8) {
        self.tell_all(&[letter::END, code]);
    }

    fn tell_all(&mut self, packet: &[u8]) {
        for place in &mut self.visitors {
            if place
                .as_ref()
                .is_some_and(|visitor| tell(visitor, packet).is_err())
            {
                *place = None;
            }
        }
    }
}

pub(super) fn tell(socket: &OwnedFd, packet: &[u8]) -> nix::Result<()> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    send(socket.as_raw_fd(), packet, flags).map(drop)
}
