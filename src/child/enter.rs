// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interpreter.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::arch;
use crate::shared::Shared;
use crate::step::{Arg, Expect, OnError, Step};

const ENOENT: u32 = 2;
const ESRCH: u32 = 3;
const EAGAIN: u32 = 11;
const EACCES: u32 = 13;
const ENODEV: u32 = 19;
const ENOTDIR: u32 = 20;
const ETIMEDOUT: u32 = 110;
const ESTALE: u32 = 116;

/// How often a call is made again. Our own limit: somebody may keep its answer from ever coming.
const RETRIES: u32 = 1000;
/// `linux/magic.h`.
const PROC_SUPER_MAGIC: u32 = 0x9fa0;
const S_IFMT: u32 = 0o170_000;
const S_IFCHR: u32 = 0o020_000;

const CLOCK_MONOTONIC: usize = 1;
/// What the child exits with after a failure. Nobody reads it: the report says more.
const EXIT_FAILED: usize = 125;

/// What the child is given: the plan's steps and this launch's memory.
///
/// It refers to them by address, because no lifetime can say "until the child has left".
#[derive(Debug)]
pub struct Entry {
    steps: *const [Step],
    shared: *const Shared,
    times: *const [AtomicU64],
}

impl Entry {
    /// `steps` are the system calls, in order; the last one is an execve(2). `times` take the time
    /// (`CLOCK_MONOTONIC`, nanoseconds) before the first step and after each; empty when nobody asks.
    pub fn new(steps: &[Step], shared: &Shared, times: &[AtomicU64]) -> Self {
        Self {
            steps,
            shared,
            times,
        }
    }
}

/// Makes the steps, one after the other. Leaves by execve(2) or, when a step fails, by
/// exit_group(2) after a report.
pub(crate) extern "C" fn enter(entry: &Entry) -> ! {
    // SAFETY: whoever cloned has promised that what the entry refers to lives until the child has left.
    let steps = unsafe { &*entry.steps };
    // SAFETY: the same.
    let shared = unsafe { &*entry.shared };
    // SAFETY: the same.
    let times = unsafe { &*entry.times };
    let mut times = times.iter();
    if let Some(time) = times.next() {
        record(time);
    }
    let mut index: u32 = 0;
    // The first candidate of a search that was found and refused. Like the shell, and execvp(3),
    // we rather say "permission denied" of that one than "not found" of the last one.
    let mut denied: Option<u32> = None;
    // The last failure: what to say when the steps end without an execve(2).
    let mut last = (0, ESRCH);

    for step in steps {
        shared.progress.set(index);
        let mut tries: u32 = 0;
        let result = loop {
            // SAFETY: the parent compiled the step from a plan which outlives the child's use of it;
            // every address in it belongs to that plan or to `shared`.
            let result = unsafe { call(step, shared) };
            match (step.on_error, result) {
                (OnError::Retry, Err(EAGAIN)) if tries < RETRIES => tries = tries.wrapping_add(1),
                _ => break result,
            }
        };
        if let (Some(slot), Ok(word)) = (step.save, result) {
            shared.set_slot(slot, word);
        }
        if let Some(time) = times.next() {
            record(time);
        }
        if let Err(errno) = result.and_then(|word| verify(step.expect, word, shared)) {
            last = (index, errno);
            match step.on_error {
                OnError::Ignore(fine) if fine.cast_unsigned() == errno => {}
                OnError::TryNext if errno == EACCES => denied = Some(denied.unwrap_or(index)),
                OnError::TryNext if is_not_here(errno) => {}
                OnError::Fail | OnError::Ignore(_) | OnError::Retry | OnError::TryNext => {
                    denied = None;
                    break;
                }
            }
        }
        index = index.wrapping_add(1);
    }
    let (step, errno) = match denied {
        Some(step) => (step, EACCES),
        None => last,
    };
    shared.report.fail(step, errno);
    loop {
        // SAFETY: ends this process (its own thread group, not the parent's) and nothing else.
        unsafe { arch::syscall(arch::EXIT_GROUP, [EXIT_FAILED, 0, 0, 0, 0, 0]) };
    }
}

/// Errors of an execve(2) that mean "go on with the next directory of PATH".
fn is_not_here(errno: u32) -> bool {
    matches!(errno, ENOENT | ENOTDIR | ENODEV | ETIMEDOUT | ESTALE)
}

/// # Safety
///
/// The call and its arguments must be what the parent's plan says, with every address valid.
unsafe fn call(step: &Step, shared: &Shared) -> Result<usize, u32> {
    // Written out: array::map brings drop glue and checks, and with them symbols of panics.
    let [a, b, c, d, e, f] = step.args;
    let words = [
        word(a, shared),
        word(b, shared),
        word(c, shared),
        word(d, shared),
        word(e, shared),
        word(f, shared),
    ];
    // SAFETY: the caller's promise.
    let result = unsafe { arch::syscall(step.number, words) };
    match result {
        // The kernel's MAX_ERRNO (include/linux/err.h).
        -4095..=-1 => Err(result.wrapping_neg().cast_unsigned() as u32),
        _ => Ok(result.cast_unsigned()),
    }
}

fn word(arg: Arg, shared: &Shared) -> usize {
    match arg {
        Arg::Word(word) => word,
        Arg::Slot(slot) => shared.slot(slot),
        Arg::SlotAddress(slot) => shared.slot_address(slot),
    }
}

fn verify(expect: Expect, word: usize, shared: &Shared) -> Result<(), u32> {
    match expect {
        Expect::Success => Ok(()),
        Expect::Zero if word == 0 => Ok(()),
        Expect::Zero => Err(ESRCH),
        Expect::AbsolutePath if shared.scratch_is_absolute() => Ok(()),
        Expect::AbsolutePath => Err(ENOTDIR),
        Expect::Procfs if shared.scratch_word(0) == PROC_SUPER_MAGIC => Ok(()),
        Expect::NullDevice if is_null_device(shared) => Ok(()),
        Expect::Procfs | Expect::NullDevice => Err(ENODEV),
    }
}

/// Whether a `struct statx` (`linux/stat.h`) is of the character device 1:3.
fn is_null_device(shared: &Shared) -> bool {
    const STX_MODE: usize = 28;
    const STX_RDEV_MAJOR: usize = 128;
    const STX_RDEV_MINOR: usize = 132;
    let kind = shared.scratch_word(STX_MODE) & S_IFMT;
    let device = (
        shared.scratch_word(STX_RDEV_MAJOR),
        shared.scratch_word(STX_RDEV_MINOR),
    );
    kind == S_IFCHR && device == (1, 3)
}

fn record(place: &AtomicU64) {
    let mut now = [0u64; 2];
    // SAFETY: `now` is a timespec, two 64-bit words, and ours; the kernel writes it and nothing else.
    unsafe {
        arch::syscall(
            arch::CLOCK_GETTIME,
            [CLOCK_MONOTONIC, (&raw mut now).addr(), 0, 0, 0, 0],
        )
    };
    let [seconds, nanoseconds] = now;
    place.store(
        seconds
            .wrapping_mul(1_000_000_000)
            .wrapping_add(nanoseconds),
        Ordering::Relaxed,
    );
}
