// SPDX-License-Identifier: MIT OR Apache-2.0
//! What lies under the root, and the security modules that look at paths.

use std::fs;
use std::path::Path;

/// A security module is among those that are active.
pub(crate) fn has_security_module(name: &str) -> bool {
    fs::read_to_string("/sys/kernel/security/lsm").map_or_else(
        |_| Path::new("/sys/kernel/security").join(name).exists(),
        |modules| modules.split(',').any(|module| module.trim() == name),
    )
}

/// The root is the initial ramfs, from which the kernel does not pivot.
pub(crate) fn is_initramfs() -> bool {
    fs::read_to_string("/proc/self/mounts").is_ok_and(|table| {
        table
            .lines()
            .any(|line| line.starts_with("rootfs / rootfs "))
    })
}
