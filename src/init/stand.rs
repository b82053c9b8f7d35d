// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stands in a box until it is told what to execute: the box of a pool, complete but for its program.
//!
//! It shares no memory with the launcher, and holds of the box what the program will: its ids, its
//! capabilities, its descriptors, and the one on which it is told, and reports. When the launcher is gone, so
//! is whoever could tell: it ends.
//!
//! What it is told: four words, which are how many bytes follow, how many of the strings in them are
//! arguments, how many are the environment, and what else there is; then one byte with the streams, if there
//! are any; then the working directory, if there is one, and the strings, each with its NUL. An environment that is
//! not told is the one that it has itself.

use core::ptr;

use crate::Args;
use crate::exec::execute;
use crate::kernel::{
    CHDIR, DUP3, EINTR, F_DUPFD_CLOEXEC, F_SETFD, FCNTL, FD_CLOEXEC, GETCWD, MMAP, READ, RECVMSG,
    call, exit,
};
use crate::report::{self, FAILED};

/// The bit that says that there is a working directory; those below it are streams.
const WORKDIR: usize = 1 << 3;
/// The bit that says that there is an environment.
const ENVIRONMENT: usize = 1 << 4;
/// What stands for the working directory where a report has the number of a candidate.
const NO_CANDIDATE: u32 = u32::MAX;
const ENOTDIR: u32 = 20;

pub(crate) fn run(args: &Args) -> ! {
    let (Some(report), Some(candidates)) = (args.number(1), args.number(3)) else {
        exit(125)
    };
    call(FCNTL, [report, F_SETFD, FD_CLOEXEC, 0, 0, 0]);
    let mut head = [0u32; 4];
    if !read(report, head.as_mut_ptr().addr(), size_of_val(&head)) {
        exit(0)
    }
    let [length, argc, envc, more] = head.map(|word| word as usize);
    if more & (WORKDIR - 1) != 0 && !take_streams(report, more) {
        exit(0)
    }
    // The arrays of the strings' addresses, each with its NULL, and the strings.
    let words = argc + envc + 2;
    let arrays = words * size_of::<usize>();
    let Some(array) = map(arrays + length) else {
        exit(125)
    };
    let text = array + arrays;
    if !read(report, text, length) {
        exit(0)
    }
    let array: *mut usize = ptr::with_exposed_provenance_mut(array);
    let mut at = text;
    if more & WORKDIR != 0 {
        at += length_of(at, text + length) + 1;
    }
    for word in 0..words {
        if word == argc || word + 1 == words {
            continue;
        }
        // SAFETY: the mapping has room for so many words.
        unsafe { array.wrapping_add(word).write(at) };
        at += length_of(at, text + length) + 1;
    }
    if more & WORKDIR != 0
        && let Err(errno) = enter(text)
    {
        report::send(report, [FAILED, NO_CANDIDATE, errno]);
        exit(125)
    }
    let envp = if more & ENVIRONMENT != 0 {
        array.wrapping_add(argc + 1).addr()
    } else {
        args.environment()
    };
    execute(args, candidates, report, array.addr(), envp)
}

/// Enters a directory, which must be below the root: one that is not is a way out of it (CVE-2024-21626).
fn enter(path: usize) -> Result<(), u32> {
    const PATH_MAX: usize = 4096;
    let mut found = [0u8; PATH_MAX];
    let entered = call(CHDIR, [path, 0, 0, 0, 0, 0]);
    let asked = match entered {
        0 => call(GETCWD, [found.as_mut_ptr().addr(), PATH_MAX, 0, 0, 0, 0]),
        error => error,
    };
    match asked {
        error if error < 0 => Err(error.wrapping_neg() as u32),
        _ if found.first() != Some(&b'/') => Err(ENOTDIR),
        _ => Ok(()),
    }
}

/// `struct msghdr`, whose counts are of the size of an address here.
#[repr(C)]
struct Message {
    name: [usize; 2],
    data: [usize; 2],
    control: [usize; 2],
    flags: usize,
}

/// Receives descriptors (SCM_RIGHTS: unix(7)), and makes them the streams that the bits stand for.
fn take_streams(report: usize, streams: usize) -> bool {
    const CMSG_CLOEXEC: usize = 0x4000_0000;
    let mut byte = 0u8;
    // A `struct cmsghdr` with three descriptors: its length, level and kind, the descriptors.
    let mut control = [0u32; 8];
    let data = [(&raw mut byte).addr(), 1];
    let mut message = Message {
        name: [0; 2],
        data: [(&raw const data).addr(), 1],
        control: [(&raw mut control).addr(), size_of_val(&control)],
        flags: 0,
    };
    loop {
        let address = (&raw mut message).addr();
        match call(RECVMSG, [report, address, CMSG_CLOEXEC, 0, 0, 0]) {
            1 => break,
            error if error == -EINTR => {}
            _ => return false,
        }
    }
    let [_, _, _, _, fds @ ..] = control;
    let mut fds = fds.into_iter();
    for stream in 0..3 {
        if streams & 1 << stream == 0 {
            continue;
        }
        let fd = fds.next().map_or(usize::MAX, |fd| fd as usize);
        // One that has come with a low number is in the way of a stream.
        let high = call(FCNTL, [fd, F_DUPFD_CLOEXEC, 3, 0, 0, 0]);
        if high < 0 || call(DUP3, [high.cast_unsigned(), stream, 0, 0, 0, 0]) < 0 {
            return false;
        }
    }
    true
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
