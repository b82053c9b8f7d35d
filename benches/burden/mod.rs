// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a worker carries.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};

const PAGE: usize = 4096;

/// Memory in use: private, touched, in small pages, as a heap that has grown bit by bit.
pub(crate) struct Resident(Option<(NonNull<libc::c_void>, NonZeroUsize)>);

impl Resident {
    pub(crate) fn new(mib: usize) -> Self {
        Self(NonZeroUsize::new(mib << 20).map(|length| (map(length), length)))
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        if let Some((start, length)) = self.0 {
            // SAFETY: the mapping is ours, and nobody else knows of it.
            let _ = unsafe { munmap(start, length.get()) };
        }
    }
}

fn map(length: NonZeroUsize) -> NonNull<libc::c_void> {
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice changes no other memory.
    let start = unsafe { mmap_anonymous(None, length, protection, MapFlags::MAP_PRIVATE) };
    let start = start.expect("memory to be resident");
    // SAFETY: the range is the mapping. A kernel without huge pages refuses, and needs no advice.
    let _ = unsafe { madvise(start, length.get(), MmapAdvise::MADV_NOHUGEPAGE) };
    for offset in (0..length.get()).step_by(PAGE) {
        // SAFETY: the address is within the mapping.
        let byte = unsafe { start.cast::<u8>().add(offset) };
        // SAFETY: the byte is mapped, writable and nobody else's.
        unsafe { byte.write_volatile(1) };
    }
    start
}

/// Threads that allocate and free, and so hold the heap's locks much of the time; they sleep
/// unless something is measured.
pub(crate) struct Busy(Arc<Gate>);

#[derive(Default)]
struct Gate {
    open: AtomicBool,
    closed: Mutex<()>,
    opened: Condvar,
}

impl Busy {
    pub(crate) fn new(threads: usize) -> Self {
        let gate = Arc::<Gate>::default();
        for _ in 0..threads {
            let gate = Arc::clone(&gate);
            // It ends with the process.
            thread::spawn(move || gate.work());
        }
        Self(gate)
    }

    /// Does something while the threads are busy.
    pub(crate) fn during<T>(&self, measured: impl FnOnce() -> T) -> T {
        {
            let _closed = self.0.closed.lock().unwrap_or_else(PoisonError::into_inner);
            self.0.open.store(true, Ordering::Relaxed);
        }
        self.0.opened.notify_all();
        let result = measured();
        self.0.open.store(false, Ordering::Relaxed);
        result
    }
}

impl Gate {
    fn work(&self) {
        loop {
            let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self
                .opened
                .wait_while(closed, |()| !self.open.load(Ordering::Relaxed));
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            while self.open.load(Ordering::Relaxed) {
                black_box(vec![1u8; 1000]);
            }
        }
    }
}
