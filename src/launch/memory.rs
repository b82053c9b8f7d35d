// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory of one launch: the child's stack, and what it shares with the parent.

use std::mem::{MaybeUninit, offset_of};
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

/// A stack and a [`Shared`], both mapped; they go back to the kernel when this is dropped.
#[derive(Debug)]
pub(super) struct Memory {
    stack: Mapping,
    shared: Mapping,
}

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
        let private = MapFlags::MAP_PRIVATE | MapFlags::MAP_STACK;
        let stack = Mapping::new(GUARD_LEN + STACK_LEN, private)?;
        stack.guard(GUARD_LEN)?;
        stack.touch_end();
        // Shared, so that it stays common where CLONE_VM is turned into a copy (emulators).
        let shared = Mapping::new(
            size_of::<Common>(),
            MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE,
        )?;
        Ok(Self { stack, shared })
    }

    /// The stack: its lowest address above the guard, and its length.
    pub(super) fn stack(&self) -> (usize, usize) {
        (self.stack.start.addr().get() + GUARD_LEN, STACK_LEN)
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
        let start = self.shared.start.as_ptr();
        start.wrapping_byte_add(offset_of!(Common, entry)).cast()
    }

    pub(super) fn shared(&self) -> &Shared {
        // SAFETY:
        // - the mapping is as long as a Shared and page-aligned, and lives as long as `self`;
        // - it was zero at first, which is a valid Shared: it is made of atomic integers only.
        unsafe { self.shared.start.cast::<Shared>().as_ref() }
    }
}

#[derive(Debug)]
struct Mapping {
    start: NonNull<libc::c_void>,
    length: NonZeroUsize,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: what lies in it is reached through `Shared`, whose fields are atomic; the stack is used by
// the child alone.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(length: usize, flags: MapFlags) -> nix::Result<Self> {
        let length = NonZeroUsize::new(length).ok_or(nix::Error::EINVAL)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice changes no other memory.
        let start = unsafe { mmap_anonymous(None, length, protection, flags) }?;
        Ok(Self { start, length })
    }

    /// Makes the first bytes untouchable.
    fn guard(&self, length: usize) -> nix::Result<()> {
        // SAFETY: the range begins the mapping and nothing has been put there.
        unsafe { mprotect(self.start, length, ProtFlags::PROT_NONE) }
    }

    /// Makes the last page resident: the child's frames fit into it. MAP_POPULATE would fill the guard too.
    fn touch_end(&self) {
        let last = self.length.get() - 1;
        // SAFETY: the byte is within the mapping.
        let byte = unsafe { self.start.cast::<u8>().add(last) };
        // SAFETY: the guard begins the mapping and is shorter, so the byte may be written, and nobody
        // has put anything there.
        unsafe { byte.write_volatile(0) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and with `self` goes the last one who knew of it. It cannot fail.
        let _ = unsafe { munmap(self.start, self.length.get()) };
    }
}
