// SPDX-License-Identifier: MIT OR Apache-2.0
//! The caller's terminal: its settings, its size, its foreground. See termios(3), tty_ioctl(4).

use std::io::IsTerminal;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use crate::streams::{STDERR, STDIN, STDOUT};
use nix::errno::Errno;
use nix::pty::Winsize;
use nix::unistd::{getpgrp, tcgetpgrp};

/// The kernel's `struct termios` (`asm-generic/termbits.h`). libc's has another shape, and the guard,
/// which has no libc, must restore what was read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Settings {
    iflag: u32,
    oflag: u32,
    cflag: u32,
    lflag: u32,
    line: u8,
    cc: [u8; 19],
}

const _: () = assert!(size_of::<Settings>() == 36);

nix::ioctl_read_bad!(get_settings, libc::TCGETS, Settings);
nix::ioctl_write_ptr_bad!(set_settings, libc::TCSETS, Settings);
nix::ioctl_read_bad!(get_window_size, libc::TIOCGWINSZ, Winsize);
nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, Winsize);

impl Settings {
    /// Those in force.
    pub(super) fn of(terminal: BorrowedFd<'_>) -> nix::Result<Self> {
        let mut settings = Self {
            iflag: 0,
            oflag: 0,
            cflag: 0,
            lflag: 0,
            line: 0,
            cc: [0; 19],
        };
        // SAFETY: the kernel fills the structure, which has its size and shape.
        unsafe { get_settings(terminal.as_raw_fd(), &raw mut settings) }?;
        Ok(settings)
    }

    /// Puts them in force.
    pub(super) fn apply(&self, terminal: BorrowedFd<'_>) -> nix::Result<()> {
        // SAFETY: the kernel reads the structure, which has its size and shape.
        unsafe { set_settings(terminal.as_raw_fd(), self) }.map(drop)
    }

    /// The same with every byte passed on as it is: cfmakeraw(3).
    pub(super) fn raw(mut self) -> Self {
        use libc::{
            BRKINT, CS8, CSIZE, ECHO, ECHONL, ICANON, ICRNL, IEXTEN, IGNBRK, IGNCR, INLCR, ISIG,
            ISTRIP,
        };
        use libc::{IXON, OPOST, PARENB, PARMRK};
        self.iflag &= !(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
        self.oflag &= !OPOST;
        self.lflag &= !(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
        self.cflag = self.cflag & !(CSIZE | PARENB) | CS8;
        self.cc[libc::VMIN] = 1;
        self.cc[libc::VTIME] = 0;
        self
    }

    /// Whether a terminal that has these has been made raw by [`raw`](Self::raw) and not been set
    /// since. A driver may have a mind of its own about `cflag`: a pseudoterminal's does.
    pub(super) fn is_raw_of(&self, before: &Self) -> bool {
        let flags = |settings: &Self| [settings.iflag, settings.oflag, settings.lflag];
        flags(self) == flags(&before.raw())
    }

    /// Whether background process groups must not write: TOSTOP.
    fn stops_background_output(&self) -> bool {
        self.lflag & libc::TOSTOP != 0
    }

    /// The byte that means the end of input while lines are edited.
    pub(super) fn end_of_file(&self) -> u8 {
        self.cc[libc::VEOF]
    }

    /// The byte that is a SIGINT for the foreground, if there is one.
    pub(super) fn interrupt(&self) -> Option<u8> {
        let byte = self.cc[libc::VINTR];
        // 0 means none: _POSIX_VDISABLE.
        (self.lflag & libc::ISIG != 0 && byte != 0).then_some(byte)
    }

    /// The bytes in hexadecimal, for the guard.
    pub(super) fn hexadecimal(&self) -> String {
        let words = [self.iflag, self.oflag, self.cflag, self.lflag].map(u32::to_ne_bytes);
        let bytes = words
            .as_flattened()
            .iter()
            .chain([&self.line])
            .chain(&self.cc);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The size of a terminal: rows and columns.
pub(super) fn size(terminal: BorrowedFd<'_>) -> nix::Result<(u16, u16)> {
    let size = window_size(terminal)?;
    Ok((size.ws_row, size.ws_col))
}

/// Gives a terminal a size.
pub(super) fn set_size(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> nix::Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the kernel reads the structure.
    unsafe { set_window_size(terminal.as_raw_fd(), &raw const size) }.map(drop)
}

/// Gives one terminal the size of another.
pub(super) fn copy_size(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> nix::Result<()> {
    let size = window_size(from)?;
    // SAFETY: the kernel reads the structure.
    unsafe { set_window_size(to.as_raw_fd(), &raw const size) }.map(drop)
}

fn window_size(terminal: BorrowedFd<'_>) -> nix::Result<Winsize> {
    let mut size = Winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the kernel fills the structure.
    unsafe { get_window_size(terminal.as_raw_fd(), &raw mut size) }?;
    Ok(size)
}

/// Whether this process may read the terminal and set it: it is in the foreground, or the terminal
/// is not its controlling one.
pub(super) fn is_ours(terminal: BorrowedFd<'_>) -> bool {
    match tcgetpgrp(terminal) {
        Ok(group) => group == getpgrp(),
        Err(errno) => errno == Errno::ENOTTY && terminal.is_terminal(),
    }
}

/// Whether this process may write to the terminal.
pub(super) fn may_write(terminal: BorrowedFd<'_>) -> bool {
    let stops = || Settings::of(terminal).is_ok_and(|found| found.stops_background_output());
    is_ours(terminal) || !stops()
}

/// A standard stream that is a terminal: where the box's screen is. Output first.
pub(super) fn screen() -> Option<OwnedFd> {
    let terminal = |fd: BorrowedFd<'_>| {
        fd.is_terminal()
            .then(|| fd.try_clone_to_owned().ok())
            .flatten()
    };
    terminal(STDOUT)
        .or_else(|| terminal(STDERR))
        .or_else(|| terminal(STDIN))
}
