// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cgroups of boxes, looked for in all hierarchies.

use std::fs;
use std::path::PathBuf;

use clonebox::{Command, Setting, Spec};

use super::processes::eventually;

/// Where they are mounted.
const MOUNTED: &str = "/sys/fs/cgroup";

/// A name that no other box has.
pub(crate) fn name(test: &str) -> String {
    format!("limits.{test}.{}", std::process::id())
}

/// A box of this name around a program, with limits of two controllers.
pub(crate) fn limited(program: &str, name: &str) -> Command {
    let mut spec = Spec::new(program);
    spec.name = Some(Setting::default_of(name.to_owned()));
    spec.limits.memory = Some(Setting::default_of(64 << 20));
    spec.limits.pids = Some(Setting::default_of(64));
    Command::from(spec)
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
