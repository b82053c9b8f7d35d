// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cgroups of one box, from their making to their removal. See cgroups(7).

mod expected;
mod make;
mod place;
mod remove;
mod sweep;
mod usage;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::Flock;

pub(crate) use make::MakeError;
pub use place::Load;
pub(crate) use place::Place;
pub(crate) use remove::clear_left;
pub use usage::LimitsUsage;

/// The cgroups of a box. What is left of them when this is dropped is removed, if nobody is in it.
#[derive(Debug)]
pub(crate) struct Cgroup {
    directories: Vec<Directory>,
}

/// One cgroup: a directory that is locked as long as somebody cares for it.
#[derive(Debug)]
struct Directory {
    place: Place,
    lock: Flock<File>,
}

impl Cgroup {
    /// The directory of the cgroup of version 2, for `CLONE_INTO_CGROUP`.
    pub(crate) fn unified(&self) -> Option<BorrowedFd<'_>> {
        let mut directories = self.directories.iter();
        directories
            .find(|directory| directory.place.unified)
            .map(|directory| directory.lock.as_fd())
    }

    /// The files to which a process writes `0` to enter, one for each cgroup, in the plan's order.
    pub(crate) fn doors(&self) -> nix::Result<Vec<OwnedFd>> {
        self.directories.iter().map(Directory::door).collect()
    }

    /// Where they are.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.directories.iter().map(|directory| &directory.place)
    }
}

/// What marks a cgroup as one of ours, wherever it is made.
const MARK: &str = ".clonebox";

/// The name of the cgroup of a box: no other has it at the same time.
fn name(of_box: &str, process: u32, count: u32) -> String {
    format!("{}{count}{MARK}", start_of_name(of_box, process))
}

/// What the names of all begin with that a process makes for boxes of this name.
fn start_of_name(of_box: &str, process: u32) -> String {
    format!("{of_box}-{process}-")
}

/// Whether it is a name that [`name`] gives.
fn is_ours(name: &str) -> bool {
    let Some(numbered) = name.strip_suffix(MARK) else {
        return false;
    };
    let mut parts = numbered.rsplitn(3, '-');
    let mut number = || parts.next().is_some_and(|part| part.parse::<u32>().is_ok());
    number() && number() && parts.next().is_some_and(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_are_swept() {
        assert!(is_ours(&name("brave-otter-1", 12, 0)));
        for other in [
            "docker",
            "a-1-2",
            "a-b-c.clonebox",
            "1-2.clonebox",
            "-1-2.clonebox",
            "a-1-b.clonebox",
            "a-1-2clonebox",
            "clonebox",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
