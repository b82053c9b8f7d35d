//! Words in memory that stays common to this process and everything that is cloned or forked from it.

use std::ptr;
use std::sync::atomic::AtomicU64;

/// A zeroed word of its own mapping, for ever.
pub(crate) fn word() -> &'static AtomicU64 {
    // SAFETY: a new mapping at an address of the kernel's choice changes no other memory.
    let address = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size_of::<AtomicU64>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(address, libc::MAP_FAILED, "a page can be mapped");
    // SAFETY: the mapping is aligned, long enough, zeroed, and never unmapped.
    unsafe { &*address.cast::<AtomicU64>() }
}
