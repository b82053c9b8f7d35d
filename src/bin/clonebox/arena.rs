// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory for a start, in the build for musl: one piece, handed out from its beginning.
//!
//! The command allocates a few hundred small things, compiles its plan and then waits. musl's allocator
//! makes mappings for each class of size, and each costs a system call and a page fault: together a
//! seventh of the time of the whole command. Here the kernel is asked once. (glibc's allocator begins
//! with one piece as well, so there is nothing to gain.)

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a start with many options and a large environment uses. Whatever does not fit comes from the system.
const SIZE: usize = 64 * 1024;
/// What every start uses: it is made resident at once, which costs less than a page fault for each page.
const RESIDENT: usize = 24 * 1024;

/// The arena. Only the piece that was handed out last can grow, or come back.
#[derive(Debug)]
pub(crate) struct Arena {
    /// Where it begins: 0 before the first allocation.
    start: AtomicUsize,
    /// How much of it has been handed out.
    used: AtomicUsize,
}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self {
            start: AtomicUsize::new(0),
            used: AtomicUsize::new(SIZE),
        }
    }

    /// Its memory, mapped by the first caller: the process has one thread then.
    fn start(&self) -> usize {
        let start = self.start.load(Ordering::Relaxed);
        if start != 0 {
            return start;
        }
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start != libc::MAP_FAILED {
            // SAFETY: the range begins the mapping. It is an advice (since Linux 5.14): each page comes when it is touched
            // as well.
            unsafe { libc::madvise(start, RESIDENT, libc::MADV_POPULATE_WRITE) };
            self.used.store(0, Ordering::Relaxed);
        }
        self.start
            .store(start.expose_provenance(), Ordering::Relaxed);
        start.expose_provenance()
    }

    fn offset(&self, piece: *mut u8) -> Option<usize> {
        let offset = piece
            .addr()
            .wrapping_sub(self.start.load(Ordering::Relaxed));
        (offset < SIZE).then_some(offset)
    }

    /// Changes the length of a piece that ends where the used part ends.
    fn resize(&self, offset: usize, old: usize, new: usize) -> bool {
        let end = offset + new;
        end <= SIZE
            && self
                .used
                .compare_exchange(offset + old, end, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

// SAFETY: pieces lie within the mapping, do not overlap (`used` only goes back over a piece that its
// owner has given back), and are aligned; all others are the system's.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.start();
        let mut piece = 0;
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                piece = used.next_multiple_of(layout.align());
                piece.checked_add(layout.size()).filter(|end| *end <= SIZE)
            });
        if taken.is_ok() {
            return ptr::with_exposed_provenance_mut(start + piece);
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match self.offset(piece) {
            Some(offset) => {
                self.resize(offset, layout.size(), 0);
            }
            // SAFETY: it is not from the arena, so it is from the system.
            None => unsafe { System.dealloc(piece, layout) },
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match self.offset(piece) {
            Some(offset) if self.resize(offset, layout.size(), size) => piece,
            // What it does not need any more stays its own.
            Some(_) if size <= layout.size() => piece,
            Some(_) => {
                // SAFETY: the caller has seen to it that the size is one that a layout can have.
                let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
                // SAFETY: the caller's promise.
                let new = unsafe { self.alloc(wanted) };
                if !new.is_null() {
                    // SAFETY: both pieces are at least as long as what is copied, and do not overlap.
                    unsafe { ptr::copy_nonoverlapping(piece, new, size.min(layout.size())) };
                }
                new
            }
            // SAFETY: it is not from the arena, so it is from the system.
            None => unsafe { System.realloc(piece, layout, size) },
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one reason holds for all calls of a test"
)]
mod tests {
    use std::slice;

    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn pieces_are_aligned_and_do_not_overlap() {
        let arena = Arena::new();
        let pieces = [(3, 1), (8, 8), (1, 1), (64, 64), (5, 2)].map(|(size, align)| {
            // SAFETY: the sizes are not 0.
            let start = unsafe { arena.alloc(layout(size, align)) }.addr();
            assert_eq!(start % align, 0);
            start..start + size
        });
        assert!(pieces.windows(2).all(|pair| pair[0].end <= pair[1].start));
        assert_eq!(pieces[0].start, arena.start());
    }

    #[test]
    fn the_last_piece_grows_in_place_and_comes_back_and_others_move_with_their_content() {
        let arena = Arena::new();
        // SAFETY: the sizes are not 0, and the layouts are those of the pieces.
        unsafe {
            let first = arena.alloc(layout(4, 1));
            first.copy_from_nonoverlapping(b"abcd".as_ptr(), 4);
            let second = arena.alloc(layout(8, 8));
            assert_eq!(arena.realloc(second, layout(8, 8), 800), second);
            assert_eq!(arena.realloc(first, layout(4, 1), 4), first);
            let moved = arena.realloc(first, layout(4, 1), 40);
            assert_ne!(moved, first);
            assert_eq!(slice::from_raw_parts(moved, 4), b"abcd");
            arena.dealloc(moved, layout(40, 1));
            assert_eq!(arena.alloc(layout(9, 1)), moved);
        }
    }

    #[test]
    fn what_does_not_fit_is_the_systems() {
        let arena = Arena::new();
        // SAFETY: the sizes are not 0, and the layouts are those of the pieces.
        unsafe {
            let piece = arena.alloc(layout(16, 1));
            let large = arena.realloc(piece, layout(16, 1), SIZE + 1);
            assert_eq!(arena.offset(large), None);
            large.write_bytes(1, SIZE + 1);
            let larger = arena.realloc(large, layout(SIZE + 1, 1), 2 * SIZE);
            assert_eq!(larger.add(SIZE).read(), 1);
            arena.dealloc(larger, layout(2 * SIZE, 1));
        }
    }
}
