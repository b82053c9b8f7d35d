// SPDX-License-Identifier: MIT OR Apache-2.0
//! Wall time and processor time of one launch.

use std::time::{Duration, Instant};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What it took, in microseconds: from before until after, and of the processor.
pub(crate) fn measured(launch: impl FnOnce() -> Result) -> Result<(f64, f64)> {
    let (before, began) = (cpu(), Instant::now());
    launch()?;
    let wall = began.elapsed().as_secs_f64() * 1e6;
    Ok((wall, cpu() - before))
}

/// The time that this process's threads but the busy ones, and its children, have used: of the thread that
/// launches, and of all that has been reaped.
fn cpu() -> f64 {
    let of = |who| {
        // SAFETY: numbers, for all of which 0 is a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes a struct rusage, which lives during the call.
        unsafe { libc::getrusage(who, &raw mut usage) };
        micros(usage.ru_utime) + micros(usage.ru_stime)
    };
    of(libc::RUSAGE_THREAD) + of(libc::RUSAGE_CHILDREN)
}

/// A time of the kernel's in microseconds.
pub(crate) fn micros(time: libc::timeval) -> f64 {
    Duration::new(time.tv_sec as u64, 0).as_secs_f64() * 1e6 + time.tv_usec as f64
}
