// SPDX-License-Identifier: MIT OR Apache-2.0
//! The re-exec way, done well: one clone with all namespaces and without a copy of the page tables,
//! which executes /proc/self/exe; that makes the box at the very top of its `main`.
//!
//! It does less than clonebox: nobody is told whether the exec of the program has succeeded, and
//! nobody looks whether the parent still lives.

use std::env;
use std::ffi::{CStr, CString, c_char};
use std::ptr;

use super::straight::{self, Straight};
use crate::floor::child::call;

const MARK: &CStr = c"--become-child";

/// What the first child executes.
pub(super) struct Words {
    argv: Vec<*const c_char>,
    /// Owns what `argv` points to.
    _words: Vec<CString>,
    envp: *const *const c_char,
}

impl Words {
    pub(super) fn new(straight: &Straight) -> Self {
        let mut words = vec![c"reexec".to_owned(), MARK.to_owned()];
        words.extend(straight.tell());
        let argv = words.iter().map(|word| word.as_ptr());
        Self {
            argv: argv.chain([ptr::null()]).collect(),
            _words: words,
            envp: straight.envp(),
        }
    }
}

pub(super) extern "C" fn enter(words: &Words) -> ! {
    let mask = 0u64;
    let mask = ptr::from_ref(&mask).addr();
    call(
        libc::SYS_rt_sigprocmask,
        [libc::SIG_SETMASK as usize, mask, 0, 8],
    );
    straight::execve(
        c"/proc/self/exe".as_ptr().addr(),
        words.argv.as_ptr().addr(),
        words.envp.addr(),
    )
}

/// Whether this process is the second one.
pub(crate) fn is_child() -> bool {
    env::args_os()
        .nth(1)
        .is_some_and(|word| word.as_encoded_bytes() == MARK.to_bytes())
}

/// What the second process does.
pub(crate) fn become_child() -> ! {
    match Straight::told(env::args_os().skip(2)) {
        Some(straight) => straight::enter(&straight),
        None => panic!("the words do not say what to do"),
    }
}
