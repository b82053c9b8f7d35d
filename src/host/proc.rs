// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether /proc is all to be seen: in a user namespace the kernel mounts a new one only then.

use std::fs;

/// What is mounted over parts of /proc.
pub(crate) fn covered() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|target| target.starts_with("/proc/"))
        .map(str::to_owned)
        .collect()
}

/// Why the kernel mounts no /proc in a user namespace, if that is why.
pub(crate) fn refusal() -> Option<String> {
    let covered = covered();
    (!covered.is_empty()).then(|| {
        format!(
            "the host's /proc is partly covered here ({}), and the kernel then refuses a new one in a user namespace: \
             start outside of that container, or with its privileges",
            covered.join(", ")
        )
    })
}
