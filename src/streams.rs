// SPDX-License-Identifier: MIT OR Apache-2.0
//! The standard streams as descriptors. The handles of std bring a buffer and a lock each, which take
//! longer to make than anything that is asked of the streams here.

use std::os::fd::BorrowedFd;

/// Standard input.
pub(crate) const STDIN: BorrowedFd<'static> = standard(libc::STDIN_FILENO);
/// Standard output.
pub(crate) const STDOUT: BorrowedFd<'static> = standard(libc::STDOUT_FILENO);
/// Standard error.
pub(crate) const STDERR: BorrowedFd<'static> = standard(libc::STDERR_FILENO);

const fn standard(number: i32) -> BorrowedFd<'static> {
    // SAFETY: the number is not -1, and the standard streams are open as long as the process lives, as std
    // takes for granted too. Where one is closed nevertheless, each call says so.
    unsafe { BorrowedFd::borrow_raw(number) }
}
