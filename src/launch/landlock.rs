// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asking for the kernel's Landlock: landlock_create_ruleset(2).

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use nix::errno::Errno;

use crate::plan::DEVICES;
use crate::spec::Spec;

/// The version of its interface; 0 where it is missing, turned off or forbidden. Nobody is asked if nothing
/// is wanted of it.
pub(super) fn abi(spec: &Spec) -> u32 {
    if !spec.landlock.any() {
        return 0;
    }
    version().unwrap_or(0)
}

/// The version of its interface.
///
/// # Errors
///
/// `EOPNOTSUPP` where it is turned off; `ENOSYS` where it is missing.
pub(crate) fn version() -> nix::Result<u32> {
    /// `LANDLOCK_CREATE_RULESET_VERSION` in `linux/landlock.h`.
    const VERSION: usize = 1;
    // SAFETY: with this flag the call takes no memory.
    let abi = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::null::<u8>(),
            0,
            VERSION,
        )
    };
    Errno::result(abi).map(|abi| abi as u32)
}

/// Those of the devices that every box keeps which the caller has.
pub(super) fn devices(spec: &Spec) -> Vec<&'static CStr> {
    if spec.landlock.paths.is_empty() {
        return Vec::new();
    }
    let there = |name: &&CStr| Path::new(OsStr::from_bytes(name.to_bytes())).exists();
    DEVICES.into_iter().filter(there).collect()
}
