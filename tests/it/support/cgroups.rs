// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cgroups of boxes, looked for in all hierarchies.

use std::fs;
use std::path::PathBuf;

use super::processes::eventually;

/// Where they are mounted.
const MOUNTED: &str = "/sys/fs/cgroup";

/// A name that no other box has.
pub(crate) fn name(test: &str) -> String {
    format!("limits.{test}.{}", std::process::id())
}

/// The cgroups of boxes of this name.
pub(crate) fn left(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(MOUNTED)];
    let start = format!("{name}-");
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_string_lossy().starts_with(&start) {
                found.push(entry.path());
            }
            open.push(entry.path());
        }
    }
    found
}

/// Waits until there is none.
#[track_caller]
pub(crate) fn assert_nothing_left(name: &str) {
    assert!(eventually(|| left(name).is_empty()), "{:?}", left(name));
}
