// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removing the cgroups that others have left: those whose makers were killed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Directory, is_ours};

/// How long a process that launches all the time does not look again: a look costs a call for each box that runs.
const REST: Duration = Duration::from_secs(1);

/// The directories that this process has looked through, and when.
static LOOKED: Mutex<Looked> = Mutex::new(Looked(Vec::new()));

struct Looked(Vec<(PathBuf, Instant)>);

impl Looked {
    /// Whether a directory is to be looked through; it is then.
    fn is_due(&mut self, directory: &Path, now: Instant) -> bool {
        match self.0.iter_mut().find(|(known, _)| known == directory) {
            Some((_, last)) if now.saturating_duration_since(*last) < REST => false,
            Some((_, last)) => {
                *last = now;
                true
            }
            None => {
                self.0.push((directory.to_owned(), now));
                true
            }
        }
    }
}

/// Removes what nobody cares for and nobody is in.
pub(super) fn sweep(parent: &Path) {
    let mut looked = LOOKED.lock().unwrap_or_else(PoisonError::into_inner);
    if !looked.is_due(parent, Instant::now()) {
        return;
    }
    drop(looked);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directory_is_looked_through_at_first_and_again_after_a_rest() {
        let mut looked = Looked(Vec::new());
        let began = Instant::now();
        let [one, other] = ["/one", "/other"].map(Path::new);
        assert!(looked.is_due(one, began));
        assert!(!looked.is_due(one, began));
        assert!(looked.is_due(other, began));
        let later = began + REST;
        assert!(looked.is_due(one, later));
        assert!(!looked.is_due(one, later + REST / 2));
        assert!(looked.is_due(one, later + REST));
    }
}
