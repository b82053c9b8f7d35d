// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cgroups of one box, from their making to their removal. See cgroups(7).

mod make;
mod remove;
mod usage;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::fcntl::Flock;

pub(crate) use make::MakeError;
pub use usage::LimitsUsage;

/// The cgroups of a box. What is left of them when this is dropped is removed, if nobody is in it.
#[derive(Debug)]
pub(crate) struct Cgroup {
    directories: Vec<Directory>,
}

/// One cgroup: a directory that is locked as long as somebody cares for it.
#[derive(Debug)]
struct Directory {
    unified: bool,
    controllers: Vec<&'static str>,
    path: PathBuf,
    /// The directory above is removed with the last one in it.
    own_parent: bool,
    lock: Flock<File>,
}

impl Cgroup {
    /// The directory of the cgroup of version 2, for `CLONE_INTO_CGROUP`.
    pub(crate) fn unified(&self) -> Option<BorrowedFd<'_>> {
        let mut directories = self.directories.iter();
        directories
            .find(|directory| directory.unified)
            .map(|directory| directory.lock.as_fd())
    }

    /// The files to which a process writes `0` to enter, one for each cgroup, in the plan's order.
    pub(crate) fn doors(&self) -> nix::Result<Vec<OwnedFd>> {
        self.directories.iter().map(Directory::door).collect()
    }
}
