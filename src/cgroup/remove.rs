// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removing cgroups: one's own, and what was left by those who could not.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Cgroup, Directory, Place, is_ours};

/// How long processes that were killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(1);

impl Cgroup {
    /// Kills whoever is still in them, and removes them. To be called when the box's first process has
    /// ended.
    pub(crate) fn remove(mut self) {
        for directory in self.directories.drain(..) {
            directory.place.clear();
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for directory in &self.directories {
            // One that is not empty stays: whoever sweeps later finds it.
            let _ = fs::remove_dir(&directory.place.path);
        }
    }
}

impl Place {
    /// Kills and removes until it is gone.
    pub(super) fn clear(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match fs::remove_dir(&self.path) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                _ => return,
            }
            self.kill();
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Kills all that are in it, also those who are just being forked: `cgroup.kill` does (since Linux
    /// 5.14). Without, they are stopped first where that is possible, so that none forks.
    fn kill(&self) {
        if self.unified && fs::write(self.path.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        let freeze = self.path.join("cgroup.freeze");
        let _ = fs::write(&freeze, "1");
        let list = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        let processes = list.lines().filter_map(|line| line.parse().ok());
        for process in processes.filter(|&process| process > 0) {
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
        let _ = fs::write(&freeze, "0");
    }
}

/// Removes what nobody cares for and nobody is in: cgroups whose makers were killed.
pub(super) fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_str().is_some_and(is_ours) {
            continue;
        }
        let path = entry.path();
        // Held, it is not one that is just being made.
        if let Ok(_lock) = Directory::hold(&path) {
            let _: io::Result<()> = fs::remove_dir(&path);
        }
    }
}
