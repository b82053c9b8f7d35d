// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory that parent and child share during one launch.

use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicUsize, Ordering};

use crate::step::{SLOTS, Slot};

/// Bytes of [`Shared::scratch`]: `PATH_MAX` of `linux/limits.h`, the longest answer of getcwd(2)
/// that we accept.
pub const SCRATCH_LEN: usize = 4096;

/// The kernel's `struct pollfd` (`asm-generic/poll.h`).
#[derive(Debug)]
#[repr(C)]
pub struct Pollfd {
    /// The descriptor to poll.
    pub fd: AtomicI32,
    /// `events` in the low, `revents` in the high half on little-endian machines.
    pub events: AtomicU32,
}

/// What the child says of itself: 8 bytes.
#[derive(Debug)]
#[repr(C)]
pub struct Report {
    step: AtomicU32,
    errno: AtomicU32,
}

const _: () = assert!(size_of::<Report>() == 8);

impl Report {
    /// Writes the failure: the step first, so that whoever sees the errno sees its step.
    pub(crate) fn fail(&self, step: u32, errno: u32) {
        self.step.store(step, Ordering::Relaxed);
        self.errno.store(errno, Ordering::Release);
    }

    /// `Some((step, errno))` when a step has failed.
    pub fn failure(&self) -> Option<(u32, u32)> {
        match self.errno.load(Ordering::Acquire) {
            0 => None,
            errno => Some((self.step.load(Ordering::Relaxed), errno)),
        }
    }
}

/// How far the child is: the index of the step that it is about to make.
#[derive(Debug)]
#[repr(transparent)]
pub struct Progress(AtomicU32);

impl Progress {
    pub(crate) fn set(&self, step: u32) {
        self.0.store(step, Ordering::Relaxed);
    }

    /// The index of the step that was begun last.
    pub fn step(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One launch's shared memory. It is mapped `MAP_SHARED`, so that it works where `CLONE_VM` is
/// turned into a copy of the address space (valgrind, user-mode emulators).
#[derive(Debug)]
#[repr(C)]
pub struct Shared {
    /// Not 0 while the child uses the parent's memory. The kernel clears it and wakes its futex
    /// at execve or exit (`CLONE_CHILD_CLEARTID`).
    pub running: AtomicU32,
    /// Not 0 when a child that waits here may go on: a futex, which the parent wakes.
    pub gate: AtomicU32,
    /// The child's pidfd, written by the kernel (`CLONE_PIDFD`) before the child runs.
    pub pidfd: AtomicI32,
    /// See [`Progress`].
    pub progress: Progress,
    /// See [`Report`].
    pub report: Report,
    /// The parent's pidfd, ready for poll(2).
    pub parent: Pollfd,
    slots: [AtomicUsize; SLOTS],
    /// Memory that the kernel may write for the child: the answer of getcwd(2).
    pub scratch: [AtomicU8; SCRATCH_LEN],
}

impl Shared {
    /// The word in `slot`; 0 in one that does not exist.
    pub fn slot(&self, slot: Slot) -> usize {
        match self.slots.get(usize::from(slot.0)) {
            Some(word) => word.load(Ordering::Relaxed),
            None => 0,
        }
    }

    /// The address of `slot`; 0, which the kernel refuses, for one that does not exist.
    pub fn slot_address(&self, slot: Slot) -> usize {
        match self.slots.get(usize::from(slot.0)) {
            Some(word) => word.as_ptr().addr(),
            None => 0,
        }
    }

    /// Puts `word` into `slot`; a slot that does not exist takes nothing.
    pub fn set_slot(&self, slot: Slot, word: usize) {
        if let Some(place) = self.slots.get(usize::from(slot.0)) {
            place.store(word, Ordering::Relaxed);
        }
    }

    /// Makes the memory ready for the next launch.
    pub fn reset(&self) {
        self.running.store(1, Ordering::Relaxed);
        self.gate.store(0, Ordering::Relaxed);
        self.pidfd.store(-1, Ordering::Relaxed);
        self.progress.set(0);
        self.report.fail(0, 0);
        for slot in &self.slots {
            slot.store(0, Ordering::Relaxed);
        }
    }

    /// The little-endian word that begins at byte `at` of the scratch memory; 0 beyond its end.
    pub(crate) fn scratch_word(&self, at: usize) -> u32 {
        match self.scratch.get(at..).and_then(<[_]>::first_chunk) {
            // Written out, as in `enter.rs`.
            Some([a, b, c, d]) => u32::from_le_bytes([
                a.load(Ordering::Relaxed),
                b.load(Ordering::Relaxed),
                c.load(Ordering::Relaxed),
                d.load(Ordering::Relaxed),
            ]),
            None => 0,
        }
    }

    pub(crate) fn scratch_is_absolute(&self) -> bool {
        match self.scratch.first() {
            Some(byte) => byte.load(Ordering::Relaxed) == b'/',
            None => false,
        }
    }
}
