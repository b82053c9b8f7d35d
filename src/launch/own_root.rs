// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a directory holds the caller's own root, under whatever name.
//!
//! The table of mounts says which part of which filesystem each is. So a bind of the root is found, and the whole
//! of a disk of which the root is a part, and a directory below which either is mounted. See
//! proc_pid_mountinfo(5).

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::paths::{open_directory, path_of};
use crate::host::mountinfo::{Mount, Table, id_of};

/// What has root's own files: who may write there is root soon.
const OWN: [&str; 2] = ["/", "/etc"];

/// Whether the directory, or with `recursive` a mount below it, is the caller's root or its /etc, or has it in it.
pub(super) fn is_in(directory: &Path, recursive: bool) -> bool {
    is_same(directory, Path::new("/")) || is_mounted_in(directory, recursive).unwrap_or(false)
}

/// In a chroot the table says nothing of the root.
fn is_same(directory: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    identity(directory).is_some_and(|one| identity(other) == Some(one))
}

fn is_mounted_in(directory: &Path, recursive: bool) -> Option<bool> {
    let table = Table::read()?;
    let (path, part) = Part::of(directory, &table)?;
    let below = table.mounts().filter(|mount| {
        let point = mount.point();
        recursive && point != path && point.starts_with(&path)
    });
    let parts: Vec<Part> = below
        .map(|mount| Part::mounted(&mount))
        .chain([part])
        .collect();
    let own = OWN
        .iter()
        .filter_map(|own| Part::of(Path::new(own), &table));
    let mut own = own.map(|(_, own)| own);
    Some(own.any(|own| parts.iter().any(|part| part.holds(&own))))
}

/// A directory of a filesystem, wherever it is mounted.
struct Part {
    device: Vec<u8>,
    path: PathBuf,
}

impl Part {
    fn mounted(mount: &Mount<'_>) -> Self {
        Self {
            device: mount.device.to_owned(),
            path: mount.root(),
        }
    }

    /// Where a directory is, and which part of a filesystem it is. Its mount is that of a descriptor: one that
    /// lies below another is in the table too.
    fn of(directory: &Path, table: &Table) -> Option<(PathBuf, Self)> {
        let directory = open_directory(directory)?;
        let id = id_of(directory.as_raw_fd())?;
        let mount = table.mounts().find(|mount| mount.id == id.as_bytes())?;
        let path = path_of(&directory)?;
        let mut part = Self::mounted(&mount);
        part.path.push(path.strip_prefix(mount.point()).ok()?);
        Some((path, part))
    }

    fn holds(&self, other: &Self) -> bool {
        self.device == other.device && other.path.starts_with(&self.path)
    }
}
