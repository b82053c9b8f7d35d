// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cgroups of the floor: made, limited, entered, removed, and nothing else.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

const ROOT: &str = "/sys/fs/cgroup";

/// The limits of all ways, in bytes and processes.
pub(super) const MEMORY: u64 = 64 << 20;
pub(super) const PIDS: u64 = 64;

/// Where the limits are written: the directories, and of each the files with their values.
pub(super) struct Layout {
    pub(super) unified: bool,
    directories: Vec<(PathBuf, Vec<(&'static str, u64)>)>,
}

impl Layout {
    /// One directory on version 2, one in each hierarchy on version 1.
    pub(super) fn of_host() -> Self {
        let unified = statfs(ROOT).is_ok_and(|at| at.filesystem_type() == CGROUP2_SUPER_MAGIC);
        let root = Path::new(ROOT);
        let directories = if unified {
            let files = vec![("memory.max", MEMORY), ("pids.max", PIDS)];
            vec![(root.to_owned(), files)]
        } else {
            vec![
                (root.join("memory"), vec![("memory.limit_in_bytes", MEMORY)]),
                (root.join("pids"), vec![("pids.max", PIDS)]),
            ]
        };
        Self {
            unified,
            directories,
        }
    }

    pub(super) fn make(&self) -> std::io::Result<Cgroups> {
        let name = format!("bench-{}", std::process::id());
        let mut made = Cgroups {
            paths: Vec::with_capacity(2),
            doors: Vec::with_capacity(2),
            unified: self.unified,
        };
        for (parent, files) in &self.directories {
            let path = parent.join(&name);
            fs::create_dir(&path)?;
            for (file, limit) in files {
                let mut file = OpenOptions::new().write(true).open(path.join(file))?;
                file.write_all(limit.to_string().as_bytes())?;
            }
            let door = if self.unified {
                File::open(&path)?
            } else {
                OpenOptions::new().write(true).open(path.join("tasks"))?
            };
            made.doors.push(super::above(door.into()));
            made.paths.push(path);
        }
        Ok(made)
    }
}

/// The cgroups of one launch.
pub(super) struct Cgroups {
    paths: Vec<PathBuf>,
    /// The directory on version 2; on version 1 the files to which the child writes.
    doors: Vec<OwnedFd>,
    unified: bool,
}

impl Cgroups {
    pub(super) fn unified(&self) -> Option<BorrowedFd<'_>> {
        self.doors.first().filter(|_| self.unified).map(AsFd::as_fd)
    }

    pub(super) fn doors(&self) -> Vec<RawFd> {
        let doors = self.doors.iter().filter(|_| !self.unified);
        doors.map(AsRawFd::as_raw_fd).collect()
    }

    pub(super) fn remove(self) {
        drop(self.doors);
        for path in &self.paths {
            fs::remove_dir(path).expect("nobody is left in the cgroup");
        }
    }
}
