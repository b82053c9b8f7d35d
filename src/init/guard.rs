// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guard: when its parent dies without having done so, it gives the terminal its settings back.
//!
//! A terminal in raw mode after a SIGKILL is a shell that shows nothing. Descriptor 0 is the terminal,
//! descriptor 1 the parent's pidfd; the arguments are the settings to restore and those that the
//! parent has made, in hexadecimal. If the terminal has other flags, somebody else has taken care of it.

use crate::Args;
use crate::kernel::{IOCTL, POLLIN, PPOLL, PR_SET_DUMPABLE, PRCTL, block_signals, call, exit};

/// `TCGETS` and `TCSETS` in `asm-generic/ioctls.h`, the same on both architectures.
const TCGETS: usize = 0x5401;
const TCSETS: usize = 0x5402;
/// Bytes of the kernel's `struct termios` (`asm-generic/termbits.h`): four words, the line
/// discipline, 19 control characters.
const LENGTH: usize = 36;

pub(crate) fn run(args: &Args) -> ! {
    // It has as few capabilities as a box: one that sees it must not trace it, nor look at its root.
    call(PRCTL, [PR_SET_DUMPABLE, 0, 0, 0, 0, 0]);
    // SIGTTOU above all: a process in the background may set a terminal only if it blocks it.
    block_signals();
    let (Some(settings), Some(raw)) = (decode(args.bytes(1)), decode(args.bytes(2))) else {
        exit(125)
    };
    // struct pollfd: descriptor 1, POLLIN.
    let mut parent: u64 = 1 | POLLIN << 32;
    while call(PPOLL, [(&raw mut parent).addr(), 1, 0, 0, 0, 0]) < 0 {}
    let mut found = [0u8; LENGTH];
    call(IOCTL, [0, TCGETS, found.as_mut_ptr().addr(), 0, 0, 0]);
    // The word at 8 is cflag, about which a driver may have a mind of its own.
    if found[..8] == raw[..8] && found[12..16] == raw[12..16] {
        call(IOCTL, [0, TCSETS, settings.as_ptr().addr(), 0, 0, 0]);
    }
    exit(0)
}

fn decode(text: &[u8]) -> Option<[u8; LENGTH]> {
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != LENGTH || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = [0; LENGTH];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
    }
    Some(bytes)
}
