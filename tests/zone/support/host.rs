// SPDX-License-Identifier: MIT OR Apache-2.0
//! What boxes can leave on the host: mounts, and cgroups.

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// How long it may take until what others have mounted meanwhile is gone. What a box has left stays.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is mounted, and the cgroups of this process's boxes.
#[derive(Debug)]
pub(crate) struct Host {
    mounts: String,
    cgroups: Vec<PathBuf>,
}

impl Host {
    pub(crate) fn look() -> Self {
        Self {
            mounts: mounts(),
            cgroups: cgroups(),
        }
    }

    /// Fails if it is not as it was.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self, after: impl Display) {
        assert_eq!(cgroups(), self.cgroups, "after: {after}");
        let began = Instant::now();
        while mounts() != self.mounts {
            assert!(
                began.elapsed() < PATIENCE,
                "before:\n{}after: {after}:\n{}",
                self.mounts,
                mounts()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn cgroups() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::from("/sys/fs/cgroup")];
    let own = format!("-{}-", std::process::id());
    while let Some(directory) = left.pop() {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        for path in below.map(|entry| entry.path()) {
            if path.to_string_lossy().contains(&own) {
                found.push(path.clone());
            }
            left.push(path);
        }
    }
    found.sort();
    found
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").expect("/proc")
}
