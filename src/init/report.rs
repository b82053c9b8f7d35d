// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the init tells the launcher: three words each. `src/launch/init.rs` reads them.

use crate::kernel::{WRITE, call};

/// The program runs.
pub(crate) const STARTED: u32 = 1;
/// It could not be executed: the candidate, and the errno.
pub(crate) const FAILED: u32 = 2;
/// It has ended: its wait status.
pub(crate) const ENDED: u32 = 3;

/// There is no process in the namespace that was to be entered: the errno.
pub(crate) const NO_PROCESS: u32 = 4;

/// A process is in the namespace that was to be entered: its number outside.
pub(crate) const PROCESS: u32 = 5;

/// Writes one report. It is shorter than `PIPE_BUF`, so it arrives whole; when nobody reads any more
/// (SIGPIPE is blocked), nobody needs it.
pub(crate) fn send(fd: usize, words: [u32; 3]) {
    call(
        WRITE,
        [fd, words.as_ptr().addr(), size_of_val(&words), 0, 0, 0],
    );
}
