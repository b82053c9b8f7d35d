// SPDX-License-Identifier: MIT OR Apache-2.0
//! The errno of what std calls an error.

use std::io;

use nix::errno::Errno;

/// That of the kernel; `EIO` for an error that is none of the kernel's.
pub(crate) fn of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
