// SPDX-License-Identifier: MIT OR Apache-2.0
//! Descriptors that the caller has left to this program.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::process;

/// Whether the caller has left a descriptor of this number. Those that this program opens itself are
/// marked to be closed by execve(2), and those of the caller have come through one.
pub(crate) fn is_inherited(number: RawFd) -> bool {
    flags(number).is_some_and(|flags| flags & libc::FD_CLOEXEC == 0)
}

/// Opens the standard streams that the caller has closed: the next descriptor that is opened must not
/// become one.
pub(crate) fn open_standard_streams() {
    for number in (0..3).filter(|&number| flags(number).is_none()) {
        // SAFETY: the string ends with NUL and lives during the call. The lowest free number is this one.
        if unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } != number {
            process::abort();
        }
    }
}

/// Puts a file in the place of the standard streams.
pub(crate) fn replace_standard_streams(file: &impl AsRawFd) -> io::Result<()> {
    for number in 0..3 {
        // SAFETY: the streams are this process's, and nothing holds them as its own.
        if unsafe { libc::dup2(file.as_raw_fd(), number) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Closes what the caller has left open besides the standard streams.
pub(crate) fn close_inherited() -> io::Result<()> {
    let numbers: Vec<RawFd> = fs::read_dir("/proc/self/fd")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for number in numbers
        .into_iter()
        .filter(|&number| number > 2 && is_inherited(number))
    {
        // SAFETY: it is the caller's, and nothing here holds it as its own.
        unsafe { libc::close(number) };
    }
    Ok(())
}

/// The flags of a descriptor that is open.
fn flags(number: RawFd) -> Option<i32> {
    // SAFETY: the call takes numbers and touches no memory.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    (flags >= 0).then_some(flags)
}
