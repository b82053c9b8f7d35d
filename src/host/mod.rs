// SPDX-License-Identifier: MIT OR Apache-2.0
//! What stands in a box's way on this host. The hints of errors and [`crate::Diagnosis`] ask here, so that
//! both say the same.
//!
//! Each question is answered by looking at this moment; nothing is remembered.

use std::path::PathBuf;

pub(crate) mod caller;
pub(crate) mod mountinfo;
pub(crate) mod namespace;
pub(crate) mod proc;
pub(crate) mod root;
pub(crate) mod subid;
pub(crate) mod userns;

/// Where a program is in PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// The number in a file of /proc.
pub(crate) fn read_number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
