// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removing the cgroups of a box that has ended, with whoever is still in them.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::usage::field_of;
use super::{Cgroup, Directory, Place};

/// How long processes that were killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the kernel may take to freeze all: one that sleeps in a call that cannot be interrupted holds it up, and
/// forks nothing meanwhile.
const FREEZING: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(1);
/// How often those are looked for who were forked while others were killed.
const ROUNDS: usize = 100;

impl Cgroup {
    /// Kills whoever is still in them, and removes them. To be called when the box's first process has
    /// ended.
    pub(crate) fn remove(mut self) {
        // They are locked until all of them are gone.
        let directories = std::mem::take(&mut self.directories);
        clear(directories.iter().map(|directory| &directory.place));
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

/// Kills and removes until all cgroups of a box are gone.
fn clear<'a>(places: impl Iterator<Item = &'a Place>) {
    let mut left: Vec<&Place> = places.filter(|place| !place.vanishes()).collect();
    let deadline = Instant::now() + PATIENCE;
    while !left.is_empty() && Instant::now() < deadline {
        for place in &left {
            place.forbid_forks();
        }
        for place in &left {
            place.kill();
        }
        thread::sleep(PAUSE);
        left.retain(|place| !place.vanishes());
    }
}

/// Does the same for a box that is gone, and whose launcher was killed before it could. What somebody else has made of
/// the name meanwhile is left alone.
pub(crate) fn clear_left(places: &[Place]) {
    let held: Vec<_> = places
        .iter()
        .filter_map(|place| Some((place, Directory::hold(&place.path).ok()?)))
        .collect();
    clear(held.iter().map(|(place, _)| *place));
}

impl Place {
    /// Removes it, if nobody is in it. Whether it is gone, or nothing can be done.
    fn vanishes(&self) -> bool {
        fs::remove_dir(&self.path)
            .map_or_else(|error| error.raw_os_error() != Some(libc::EBUSY), |()| true)
    }

    /// On version 1 the freezer is a hierarchy of its own, in which a box is only while it is paused, and to move each
    /// process there takes longer than to fork another one. Where the box has a cgroup of the pids controller, that
    /// stops the forking as well. Where it has none, they are killed as fast as they can be found.
    fn forbid_forks(&self) {
        if !self.unified && self.controllers.contains(&"pids") {
            let _ = self.write("pids.max", "0");
        }
    }

    /// Kills all that are in it, also those who are just being forked: `cgroup.kill` does (since Linux
    /// 5.14). Without, they are frozen first on version 2, so that none forks.
    fn kill(&self) {
        if !self.unified {
            self.kill_each();
        } else if self.write("cgroup.kill", "1").is_err() {
            let _ = self.write("cgroup.freeze", "1");
            let deadline = Instant::now() + FREEZING;
            while !self.is_frozen() && Instant::now() < deadline {
                thread::sleep(PAUSE);
            }
            self.kill_each();
            let _ = self.write("cgroup.freeze", "0");
        }
    }

    fn is_frozen(&self) -> bool {
        let events = self.text("cgroup.events").unwrap_or_default();
        field_of(&events, "frozen") == Some(1)
    }

    /// Kills one after the other, and who was forked meanwhile.
    fn kill_each(&self) {
        let mut killed = BTreeSet::new();
        for _ in 0..ROUNDS {
            let mut found = self.processes();
            found.retain(|&process| process > 0 && killed.insert(process));
            if found.is_empty() {
                return;
            }
            for process in found {
                let _ = kill(Pid::from_raw(process.cast_signed()), Signal::SIGKILL);
            }
        }
    }
}
