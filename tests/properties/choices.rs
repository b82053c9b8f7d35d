//! Bytes that decide: the one source of everything that is made up here. A fuzzer changes the bytes, proptest
//! shrinks them, and the same bytes always make the same thing.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Decisions that are left. When there are none, the answer is always the first.
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// Less than `bound`, which is 256 at most.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    pub(crate) fn yes(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Once in `times`.
    pub(crate) fn rarely(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Any number, and more often than others one at an edge.
    pub(crate) fn number(&mut self) -> u64 {
        const EDGES: [u64; 12] = [
            0,
            1,
            2,
            7,
            64,
            1000,
            4096,
            1 << 31,
            u32::MAX as u64,
            1 << 32,
            i64::MAX as u64,
            u64::MAX,
        ];
        if self.yes() {
            return self.pick(&EDGES);
        }
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// Some bytes, of any value.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let length = self.below(24);
        (0..length).map(|_| self.byte()).collect()
    }

    /// A word that is made of pieces, and now and then of anything.
    pub(crate) fn text(&mut self, pieces: &[&str]) -> String {
        let count = self.below(8);
        (0..count)
            .map(|_| {
                if self.rarely(6) {
                    String::from_utf8_lossy(&self.bytes()).into_owned()
                } else {
                    self.pick(pieces).to_owned()
                }
            })
            .collect()
    }

    /// The same, as a string of the system, which need not be UTF-8.
    pub(crate) fn os_text(&mut self, pieces: &[&str]) -> OsString {
        if self.rarely(8) {
            OsString::from_vec(self.bytes())
        } else {
            self.text(pieces).into()
        }
    }
}
