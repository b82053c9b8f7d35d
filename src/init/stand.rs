// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stands in a box until it is told what to execute: the box of a pool, complete but for its program.
//!
//! It shares no memory with the launcher, and holds of the box what the program will: its ids, its
//! capabilities, its descriptors, and the one on which it is told, and reports. When the launcher is gone, so
//! is whoever could tell: it ends.
//!
//! What it is told: four words, which are how many bytes follow, how many of the strings in them are
//! arguments, how many are the environment, and what else there is; then the working directory, if there is one, and
//! the strings, each with its NUL. With the first byte come the streams, if there are any (SCM_RIGHTS: unix(7)). An
//! environment that is not told is the one that it has itself.

use core::{ptr, slice};

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
/// The bytes of the four words.
const HEAD: usize = 16;
/// What stands for the working directory where a report has the number of a candidate.
const WORKING_DIRECTORY: u32 = u32::MAX;
/// The same for what could not be taken of what it was told.
const TOLD: u32 = u32::MAX - 1;
const ENOMEM: u32 = 12;
const ENOTDIR: u32 = 20;
const EMFILE: u32 = 24;

pub(crate) fn run(args: &Args) -> ! {
    let (Some(report), Some(candidates)) = (args.number(1), args.number(3)) else {
        exit(125)
    };
    call(FCNTL, [report, F_SETFD, FD_CLOEXEC, 0, 0, 0]);
    // Room for what most are told. Its pages are there before anybody waits: a fault takes longer than a call.
    let mut room = [0; 1024];
    let mut place: &mut [usize] = &mut room;
    let address = place.as_mut_ptr().addr();
    let Some((mut have, fds)) = receive(report, address, size_of_val(place)) else {
        exit(0)
    };
    if have < HEAD {
        if !read(report, address + have, HEAD - have) {
            exit(0)
        }
        have = HEAD;
    }
    let head: *const [u32; 4] = place.as_ptr().cast();
    // SAFETY: the place is longer.
    let [length, argc, envc, more] = unsafe { *head }.map(|word| word as usize);
    if let Err(errno) = put_streams(more, fds) {
        fail(report, TOLD, errno)
    }
    // Behind the strings, in whole words, the arrays of their addresses, each with its NULL.
    let end = HEAD + length;
    let strings = end.div_ceil(size_of::<usize>());
    let words = strings + argc + envc + 2;
    if words > place.len() {
        let Some(larger) = map(words) else {
            fail(report, TOLD, ENOMEM)
        };
        for (new, old) in larger.iter_mut().zip(&*place) {
            *new = *old;
        }
        place = larger;
    }
    let address = place.as_mut_ptr().addr();
    if !read(report, address + have, end - have) {
        exit(0)
    }
    let end = address + end;
    let mut at = address + HEAD;
    if more & WORKDIR != 0 {
        at += length_of(at, end) + 1;
    }
    let Some(array) = place.get_mut(strings..words) else {
        exit(125)
    };
    for (number, word) in array.iter_mut().enumerate() {
        if number == argc || number == argc + 1 + envc {
            *word = 0;
        } else {
            *word = at;
            at += length_of(at, end) + 1;
        }
    }
    let argv = array.as_ptr();
    if more & WORKDIR != 0
        && let Err(errno) = enter(address + HEAD)
    {
        fail(report, WORKING_DIRECTORY, errno)
    }
    let envp = if more & ENVIRONMENT != 0 {
        argv.wrapping_add(argc + 1).addr()
    } else {
        args.environment()
    };
    execute(args, candidates, report, argv.addr(), envp)
}

fn fail(report: usize, at: u32, errno: u32) -> ! {
    report::send(report, [FAILED, at, errno]);
    exit(125)
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

/// Receives what there is first: how many bytes, and the descriptors that have come with them, if there was room for
/// them. `None` when there is nobody who could send.
fn receive(report: usize, place: usize, length: usize) -> Option<(usize, [Option<u32>; 3])> {
    const CMSG_CLOEXEC: usize = 0x4000_0000;
    const NONE: u32 = u32::MAX;
    // A `struct cmsghdr` with three descriptors: its length, level and kind, the descriptors.
    let mut control = [NONE; 8];
    let data = [place, length];
    let mut message = Message {
        name: [0; 2],
        data: [(&raw const data).addr(), 1],
        control: [(&raw mut control).addr(), size_of_val(&control)],
        flags: 0,
    };
    loop {
        let address = (&raw mut message).addr();
        match call(RECVMSG, [report, address, CMSG_CLOEXEC, 0, 0, 0]) {
            done if done > 0 => {
                let [_, _, _, _, first, second, third, _] = control;
                let fds = [first, second, third].map(|fd| (fd != NONE).then_some(fd));
                return Some((done.cast_unsigned(), fds));
            }
            error if error == -EINTR => {}
            _ => return None,
        }
    }
}

/// Makes the descriptors the streams that the bits stand for.
fn put_streams(streams: usize, fds: [Option<u32>; 3]) -> Result<(), u32> {
    let mut fds = fds.into_iter();
    for stream in (0..3).filter(|stream| streams & 1 << stream != 0) {
        let Some(fd) = fds.next().flatten() else {
            return Err(EMFILE);
        };
        // One that has come with a low number is in the way of a stream.
        let mut done = call(FCNTL, [fd as usize, F_DUPFD_CLOEXEC, 3, 0, 0, 0]);
        if done >= 0 {
            done = call(DUP3, [done.cast_unsigned(), stream, 0, 0, 0, 0]);
        }
        if done < 0 {
            return Err(done.wrapping_neg() as u32);
        }
    }
    Ok(())
}

/// Bytes of a string before its NUL.
fn length_of(start: usize, end: usize) -> usize {
    let bytes: *const u8 = ptr::with_exposed_provenance(start);
    let mut length = 0;
    // SAFETY: it is read up to the end of the text.
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

/// Memory of so many words.
fn map(words: usize) -> Option<&'static mut [usize]> {
    const READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    let length = words.checked_mul(size_of::<usize>())?;
    let result = call(
        MMAP,
        [0, length, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0],
    );
    let start = usize::try_from(result)
        .ok()
        .map(ptr::with_exposed_provenance_mut)?;
    // SAFETY: the mapping is new, and so long.
    Some(unsafe { slice::from_raw_parts_mut(start, words) })
}
