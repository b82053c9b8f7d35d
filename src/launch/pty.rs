// SPDX-License-Identifier: MIT OR Apache-2.0
//! A new terminal. See pty(7).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use crate::streams::{STDERR, STDIN, STDOUT};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::pty::{Winsize, posix_openpt};
use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};

/// Both ends of a new terminal.
#[derive(Debug)]
pub(super) struct Pty {
    /// The end that is relayed.
    pub(super) ptmx: OwnedFd,
    /// The end that is the box's terminal.
    pub(super) pts: OwnedFd,
}

nix::ioctl_read_bad!(
    /// The size of a terminal: TIOCGWINSZ(2const).
    window_size, libc::TIOCGWINSZ, Winsize
);
nix::ioctl_write_ptr_bad!(
    /// Sets it: TIOCSWINSZ(2const).
    set_window_size, libc::TIOCSWINSZ, Winsize
);

impl Pty {
    /// A terminal with the size and the settings of the caller's, if there is one among the standard
    /// streams. In the background it has the kernel's settings: the caller's are those of a shell that
    /// edits a line.
    pub(super) fn open() -> nix::Result<Self> {
        let ptmx = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
        // SAFETY: into_raw_fd gives up the only owner.
        Self::of(unsafe { OwnedFd::from_raw_fd(ptmx.into_raw_fd()) })
    }

    /// The same, of an end that is open.
    pub(super) fn of(ptmx: OwnedFd) -> nix::Result<Self> {
        unlock(&ptmx)?;
        let pts = peer(&ptmx)?;
        for stream in [STDIN, STDOUT, STDERR] {
            if copy_settings(stream, &pts).is_ok() {
                break;
            }
        }
        Ok(Self { ptmx, pts })
    }
}

/// See TIOCSPTLCK(2const).
fn unlock(ptmx: &OwnedFd) -> nix::Result<()> {
    let locked: libc::c_int = 0;
    // SAFETY: the kernel reads the number, which is there for the call.
    let result = unsafe { libc::ioctl(ptmx.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked) };
    Errno::result(result).map(drop)
}

/// The other end, by TIOCGPTPEER(2const): no path is opened that could be somebody else's.
pub(crate) fn peer(ptmx: &impl AsRawFd) -> nix::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the call takes flags by value and touches no memory of ours.
    let fd = Errno::result(unsafe { libc::ioctl(ptmx.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The settings and the size for a terminal that the child makes, as the kernel has them in memory: those
/// of the caller's under the same conditions as above, the kernel's own otherwise.
pub(super) fn settings() -> (KernelTermios, Winsize) {
    let found = [STDIN, STDOUT, STDERR].into_iter().find_map(|stream| {
        let (mut termios, mut size) = (STANDARD, NO_SIZE);
        let number = stream.as_raw_fd();
        // SAFETY: the kernel fills the structure, which is ours.
        let result = unsafe { libc::ioctl(number, libc::TCGETS, &raw mut termios) };
        Errno::result(result).ok()?;
        if tcgetpgrp(stream).is_ok_and(|group| group != getpgrp()) {
            termios = STANDARD;
        }
        // SAFETY: the same.
        let _ = unsafe { window_size(number, &raw mut size) };
        Some((termios, size))
    });
    found.unwrap_or((STANDARD, NO_SIZE))
}

/// `struct termios` of the kernel (`asm-generic/termbits.h`): no speeds, 19 control characters.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct KernelTermios {
    flags: [u32; 4],
    line: u8,
    control: [u8; 19],
}

/// What a terminal begins with: `tty_std_termios` in drivers/tty/tty_io.c.
const STANDARD: KernelTermios = KernelTermios {
    flags: [
        libc::ICRNL | libc::IXON,
        libc::OPOST | libc::ONLCR,
        libc::B38400 | libc::CS8 | libc::CREAD | libc::HUPCL,
        libc::ISIG
            | libc::ICANON
            | libc::ECHO
            | libc::ECHOE
            | libc::ECHOK
            | libc::ECHOCTL
            | libc::ECHOKE
            | libc::IEXTEN,
    ],
    line: 0,
    control: *b"\x03\x1c\x7f\x15\x04\0\x01\0\x11\x13\x1a\0\x12\x0f\x17\x16\0\0\0",
};

const NO_SIZE: Winsize = Winsize {
    ws_row: 0,
    ws_col: 0,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

fn copy_settings(terminal: BorrowedFd<'_>, to: &OwnedFd) -> nix::Result<()> {
    let settings = tcgetattr(terminal)?;
    if !tcgetpgrp(terminal).is_ok_and(|group| group != getpgrp()) {
        tcsetattr(to, SetArg::TCSANOW, &settings)?;
    }
    let mut size = NO_SIZE;
    // SAFETY: the structure is ours and the kernel fills it.
    unsafe { window_size(terminal.as_raw_fd(), &raw mut size) }?;
    // SAFETY: the kernel reads the structure.
    unsafe { set_window_size(to.as_raw_fd(), &raw const size) }?;
    Ok(())
}
