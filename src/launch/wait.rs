// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting until the child has left the shared memory.

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// Waits until the kernel clears `running` (`CLONE_CHILD_CLEARTID`: at execve or exit) or until the
/// deadline. Says whether it was cleared.
///
/// No pipe and no extra descriptor; unlike with `CLONE_VFORK`, the parent can give up.
pub(super) fn until_left(running: &AtomicU32, deadline: Option<Instant>) -> bool {
    let timeout = deadline.map(absolute);
    loop {
        let value = running.load(Ordering::Acquire);
        if value == 0 {
            return true;
        }
        if futex_wait(running, value, timeout) == Err(Errno::ETIMEDOUT) {
            return running.load(Ordering::Acquire) == 0;
        }
    }
}

/// Clears it in the place of a child that was never made.
pub(super) fn leave(running: &AtomicU32) {
    running.store(0, Ordering::Release);
    // SAFETY: the word lives during the call, which touches no memory.
    unsafe { libc::syscall(libc::SYS_futex, running.as_ptr(), libc::FUTEX_WAKE, 1) };
}

/// The deadline on the kernel's clock, in the form that `FUTEX_WAIT_BITSET` takes.
fn absolute(deadline: Instant) -> TimeSpec {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or(TimeSpec::new(0, 0));
    now + TimeSpec::from_duration(deadline.saturating_duration_since(Instant::now()))
}

/// futex(2), not private: the kernel's wake at the child's exit is not either.
fn futex_wait(word: &AtomicU32, value: u32, timeout: Option<TimeSpec>) -> nix::Result<()> {
    // SAFETY: the word and the timeout live during the call, and the kernel writes neither.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET,
            value,
            timeout.as_ref().map_or(ptr::null(), ptr::from_ref),
            ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    Errno::result(result).map(drop)
}
