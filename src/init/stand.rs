// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stands in a box until it is told what to execute: the box of a pool, complete but for its program.
//!
//! It shares no memory with the launcher, and holds of the box what the program will: its ids, its
//! capabilities, its descriptors, and the one on which it is told, and reports. When the launcher is gone, so
//! is whoever could tell: it ends.
//!
//! What it is told: three words, which are how many bytes follow, how many of the strings in them are
//! arguments, and how many are the environment; then the strings, each with its NUL.

use core::ptr;

use crate::Args;
use crate::exec::execute;
use crate::kernel::{EINTR, FCNTL, FD_CLOEXEC, F_SETFD, MMAP, READ, call, exit};
use crate::report::{self, STARTED};

pub(crate) fn run(args: &Args) -> ! {
    let (Some(report), Some(candidates)) = (args.number(1), args.number(3)) else {
        exit(125)
    };
    call(FCNTL, [report, F_SETFD, FD_CLOEXEC, 0, 0, 0]);
    let mut head = [0u32; 3];
    if !read(report, head.as_mut_ptr().addr(), size_of_val(&head)) {
        exit(0)
    }
    let [length, argc, envc] = head.map(|word| word as usize);
    // The strings, and the arrays of their addresses, each with its NULL.
    let words = argc + envc + 2;
    let (Some(text), Some(array)) = (map(length), map(words * size_of::<usize>())) else {
        exit(125)
    };
    if !read(report, text, length) {
        exit(0)
    }
    let array: *mut usize = ptr::with_exposed_provenance_mut(array);
    let mut at = text;
    for word in 0..words {
        if word == argc || word + 1 == words {
            continue;
        }
        // SAFETY: the mapping has room for so many words.
        unsafe { array.wrapping_add(word).write(at) };
        at += length_of(at, text + length) + 1;
    }
    report::send(report, [STARTED, 0, 0]);
    let envp = array.wrapping_add(argc + 1);
    execute(args, candidates, report, array.addr(), envp.addr())
}

/// Bytes of a string before its NUL.
fn length_of(start: usize, end: usize) -> usize {
    let bytes: *const u8 = ptr::with_exposed_provenance(start);
    let mut length = 0;
    // SAFETY: it is read up to the end of the mapping's text.
    while start + length < end && unsafe { *bytes.wrapping_add(length) } != 0 {
        length += 1;
    }
    length
}

/// Reads all of it; false when there is no more.
fn read(fd: usize, mut place: usize, mut length: usize) -> bool {
    while length > 0 {
        match call(READ, [fd, place, length, 0, 0, 0]) {
            done if done > 0 => {
                place += done.cast_unsigned();
                length -= done.cast_unsigned();
            }
            error if error == -EINTR => {}
            _ => return false,
        }
    }
    true
}

/// Zeroed memory: the address.
fn map(length: usize) -> Option<usize> {
    const READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    let length = length.max(1);
    let address = call(
        MMAP,
        [0, length, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0],
    );
    (address > 0).then_some(address.cast_unsigned())
}
