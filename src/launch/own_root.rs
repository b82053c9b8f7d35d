// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a directory holds the caller's own root, under whatever name.
//!
//! The table of mounts says which part of which filesystem each is. So a bind of the root is found, and the whole
//! of a disk of which the root is a part, and a directory below which either is mounted. See
//! proc_pid_mountinfo(5).

use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::paths::{open_directory, path_of, unescape};

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
    let (path, part) = table.part(directory)?;
    let below = table
        .0
        .iter()
        .filter(|mount| recursive && mount.point != path && mount.point.starts_with(&path));
    let parts: Vec<Part> = below
        .map(|mount| mount.part.clone())
        .chain([part])
        .collect();
    let own = OWN.iter().filter_map(|own| table.part(Path::new(own)));
    let mut own = own.map(|(_, own)| own);
    Some(own.any(|own| parts.iter().any(|part| part.holds(&own))))
}

/// A directory of a filesystem, wherever it is mounted.
#[derive(Clone)]
struct Part {
    device: Vec<u8>,
    path: PathBuf,
}

impl Part {
    fn holds(&self, other: &Self) -> bool {
        self.device == other.device && other.path.starts_with(&self.path)
    }
}

struct Mount {
    id: Vec<u8>,
    point: PathBuf,
    part: Part,
}

/// The mounts that the caller sees.
struct Table(Vec<Mount>);

impl Table {
    fn read() -> Option<Self> {
        let table = fs::read("/proc/self/mountinfo").ok()?;
        let lines = table.split(|&byte| byte == b'\n');
        Some(Self(lines.filter_map(Mount::read).collect()))
    }

    /// Where a directory is, and which part of a filesystem it is. Its mount is that of a descriptor: one that
    /// lies below another is in the table too.
    fn part(&self, directory: &Path) -> Option<(PathBuf, Part)> {
        let directory = open_directory(directory)?;
        let info =
            fs::read_to_string(format!("/proc/self/fdinfo/{}", directory.as_raw_fd())).ok()?;
        let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
        let mount = self
            .0
            .iter()
            .find(|mount| mount.id == id.trim().as_bytes())?;
        let path = path_of(&directory)?;
        let below = path.strip_prefix(&mount.point).ok()?;
        let part = Part {
            device: mount.part.device.clone(),
            path: mount.part.path.join(below),
        };
        Some((path, part))
    }
}

impl Mount {
    /// ID PARENT MAJOR:MINOR ROOT POINT ...
    fn read(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|&byte| byte == b' ');
        let path = |word: &[u8]| PathBuf::from(OsStr::from_bytes(&unescape(word)));
        let id = words.next()?.to_owned();
        let device = words.nth(1)?.to_owned();
        let part = Part {
            device,
            path: path(words.next()?),
        };
        let point = path(words.next()?);
        Some(Self { id, point, part })
    }
}
