// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the process begins: `main` as the C library calls it.
//!
//! The runtime that Rust puts before `fn main` looks for the end of the stack and installs a handler that
//! reports its overflow: a tenth of the time of the whole command. Of what it does, a launcher needs the
//! two things below.

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::slice;

use crate::descriptors::open_standard_streams;

/// # Safety
///
/// The C library calls it, once, with `argv` of `argc` strings that live as long as the process.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, expect(dead_code, reason = "tests begin elsewhere"))]
unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    ignore_sigpipe();
    open_standard_streams();
    // A process can be executed with no argument at all, not even its name: execve(2).
    let argv = match usize::try_from(argc) {
        // SAFETY: the C library's promise.
        Ok(argc) if argc > 0 => unsafe { slice::from_raw_parts(argv, argc) },
        _ => &[],
    };
    let words = argv.iter().skip(1).map(|&word| {
        // SAFETY: the C library's promise.
        let word = unsafe { CStr::from_ptr(word) };
        OsStr::from_bytes(word.to_bytes()).to_owned()
    });
    crate::run_and_report(words).into()
}

/// A reader that has gone away is an error of write(2), and no end before the terminal is restored.
fn ignore_sigpipe() {
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
