// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory of one launch: the child's stack, and what it shares with the parent.

use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use clonebox_child::{Entry, STACK_BUDGET, Shared};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// Bytes of the child's stack. Our own limit: an unoptimised child takes several times its budget.
const STACK_LEN: usize = 16 * 1024;
const _: () = assert!(STACK_LEN >= 8 * STACK_BUDGET);
/// Bytes below the stack that may not be touched: an overflow is a SIGSEGV, not damage.
const GUARD_LEN: usize = 64 * 1024;
/// How many are kept for later launches. Our own limit: as many as may launch at once before some
/// have to map memory anew.
const KEPT: usize = 64;

static FREE: Mutex<Vec<Memory>> = Mutex::new(Vec::new());

/// What child and parent have in common.
#[repr(C)]
struct Common {
    shared: Shared,
    /// What the child is given. It stays where it is, wherever the launch's other words are moved.
    entry: MaybeUninit<Entry>,
}

/// Where it lies in the mapping: above the stack, the end of which is touched first.
const COMMON: usize = GUARD_LEN + STACK_LEN;
const _: () = assert!(COMMON.is_multiple_of(align_of::<Common>()));
/// Bytes of the mapping.
const LENGTH: NonZeroUsize = NonZeroUsize::new(COMMON + size_of::<Common>()).unwrap();
/// A page on most machines. Where pages are larger, the advice in `map` is refused.
const PAGE: usize = 4096;

/// A guard, a stack and a [`Common`] in one mapping, which goes back to the kernel when this is dropped.
#[derive(Debug)]
pub(super) struct Memory {
    start: NonNull<libc::c_void>,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Memory {}
// SAFETY: what lies in it is reached through `Shared`, whose fields are atomic, or with `&mut`; the stack is
// used by the child alone.
unsafe impl Sync for Memory {}

impl Memory {
    /// Takes memory that an earlier launch has left, or maps some.
    pub(super) fn take() -> nix::Result<Self> {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = free.map_or_else(Self::map, Ok)?;
        memory.shared().reset();
        Ok(memory)
    }

    /// Leaves the memory to a later launch. Nobody else may use it any more.
    pub(super) fn give_back(self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(self);
        }
    }

    fn map() -> nix::Result<Self> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // Shared, so that it stays common where CLONE_VM is turned into a copy (valgrind, emulators).
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_STACK;
        // SAFETY: a new mapping at an address of the kernel's choice changes no other memory.
        let start = unsafe { mmap_anonymous(None, LENGTH, protection, flags) }?;
        let memory = Self { start };
        // SAFETY: the range begins the mapping and nothing has been put there.
        unsafe { mprotect(start, GUARD_LEN, ProtFlags::PROT_NONE) }?;
        // What each launch touches is made resident at once: the end of the stack, into which the child's frames fit,
        // and what is above it. It is an advice (since Linux 5.14): each page comes when it is touched as well.
        let touched = start.as_ptr().wrapping_byte_add(COMMON - PAGE);
        // SAFETY: the range is the end of the mapping, and nothing has been put there.
        unsafe {
            libc::madvise(
                touched,
                LENGTH.get() - COMMON + PAGE,
                libc::MADV_POPULATE_WRITE,
            )
        };
        Ok(memory)
    }

    /// The stack: its lowest address above the guard, and its length.
    pub(super) fn stack(&self) -> (usize, usize) {
        (self.start.addr().get() + GUARD_LEN, STACK_LEN)
    }

    fn common(&self) -> *mut Common {
        self.start.as_ptr().wrapping_byte_add(COMMON).cast()
    }

    /// Writes what the child will be given.
    pub(super) fn set_entry(&mut self, entry: Entry) -> &Entry {
        // SAFETY: the place is within the mapping and aligned, and with `&mut self` nobody else looks.
        unsafe { self.entry_place().write(entry) };
        self.entry()
    }

    /// What the child is given: a frame has written it.
    pub(super) fn entry(&self) -> &Entry {
        // SAFETY: it has been written, and stays as long as `self`.
        unsafe { &*self.entry_place() }
    }

    fn entry_place(&self) -> *mut Entry {
        // SAFETY: the place is within the mapping and aligned; nothing is read.
        unsafe { (&raw mut (*self.common()).entry).cast() }
    }

    pub(super) fn shared(&self) -> &Shared {
        // SAFETY:
        // - the place is within the mapping and aligned, and lives as long as `self`;
        // - it was zero at first, which is a valid Shared: it is made of atomic integers only.
        unsafe { &(*self.common()).shared }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and with `self` goes the last one who knew of it. It cannot fail.
        let _ = unsafe { munmap(self.start, LENGTH.get()) };
    }
}
