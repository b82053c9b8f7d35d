// SPDX-License-Identifier: MIT OR Apache-2.0
//! No signal may be delivered to the child: its handlers would run on the parent's memory.

use std::ptr;

/// Blocks all 64 signals of the calling thread until it is dropped.
///
/// The call is the kernel's own, because libc's leaves 32 and 33 open, with which glibc changes ids
/// and cancels threads.
#[derive(Debug)]
pub(super) struct AllBlocked {
    before: u64,
}

impl AllBlocked {
    pub(super) fn new() -> Self {
        Self {
            before: set_mask(u64::MAX),
        }
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        set_mask(self.before);
    }
}

fn set_mask(mask: u64) -> u64 {
    let mut before = 0u64;
    // SAFETY: both sets are ours and have the 8 bytes that the call is told of. It cannot fail.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            ptr::from_ref(&mask),
            ptr::from_mut(&mut before),
            size_of::<u64>(),
        )
    };
    before
}
