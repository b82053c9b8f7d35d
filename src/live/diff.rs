// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the upper layer of an overlay has made of the lower one. See "Overlay Filesystem" in the kernel's
//! documentation.
//!
//! The box may change the layer while it is looked at, so that every name is looked up from the directory that
//! it is in, and no link is followed.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

/// What has become of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// There was nothing.
    Added,
    /// Its content, its attributes or what is in it.
    Changed,
    /// It is gone.
    Deleted,
}

const DIRECTORY: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_RDONLY);

/// All changes, by path: those of a directory before those in it. Told is each name of the upper layer that was
/// compared.
pub(crate) fn diff(
    lower: &Path,
    upper: &Path,
    compared: &mut dyn FnMut(&Path),
) -> nix::Result<Vec<(Change, PathBuf)>> {
    let follow = DIRECTORY.difference(OFlag::O_NOFOLLOW);
    let lower = open(lower, follow, Mode::empty())?;
    let upper = open(upper, follow, Mode::empty())?;
    let mut changes = Vec::new();
    compare(Some(&lower), &upper, Path::new("/"), &mut changes, compared)?;
    changes.sort_by(|(_, one), (_, other)| one.cmp(other));
    Ok(changes)
}

fn compare(
    lower: Option<&OwnedFd>,
    upper: &OwnedFd,
    path: &Path,
    changes: &mut Vec<(Change, PathBuf)>,
    compared: &mut dyn FnMut(&Path),
) -> nix::Result<()> {
    let names = names(upper)?;
    for name in &names {
        let Some(now) = look(upper, name)? else {
            // It was there a moment ago.
            continue;
        };
        let before = match lower {
            Some(lower) => look(lower, name)?,
            None => None,
        };
        let path = path.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        compared(&path);
        if is_whiteout(&now) {
            changes.push((Change::Deleted, path));
            continue;
        }
        let change = if before.is_some() {
            Change::Changed
        } else {
            Change::Added
        };
        changes.push((change, path.clone()));
        if kind(&now) != SFlag::S_IFDIR {
            continue;
        }
        let now = match openat(upper, name.as_c_str(), DIRECTORY, Mode::empty()) {
            Ok(now) => now,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
            Err(errno) => return Err(errno),
        };
        let was_directory = before.is_some_and(|before| kind(&before) == SFlag::S_IFDIR);
        let before = match lower.filter(|_| was_directory) {
            Some(lower) => Some(openat(lower, name.as_c_str(), DIRECTORY, Mode::empty())?),
            None => None,
        };
        compare(before.as_ref(), &now, &path, changes, compared)?;
    }
    if let Some(lower) = lower.filter(|_| is_opaque(upper)) {
        let gone = self::names(lower)?
            .into_iter()
            .filter(|name| !names.contains(name));
        changes.extend(gone.map(|name| {
            let name = std::ffi::OsStr::from_bytes(name.to_bytes()).to_owned();
            (Change::Deleted, path.join(name))
        }));
    }
    Ok(())
}

fn names(directory: &OwnedFd) -> nix::Result<Vec<CString>> {
    let mut again = Dir::openat(directory, ".", DIRECTORY, Mode::empty())?;
    let mut names = Vec::new();
    for entry in again.iter() {
        let name = entry?.file_name().to_owned();
        if ![c".", c".."].contains(&name.as_c_str()) {
            names.push(name);
        }
    }
    Ok(names)
}

fn look(directory: &OwnedFd, name: &CStr) -> nix::Result<Option<FileStat>> {
    match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn kind(found: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT
}

/// A character device of the number 0 stands for a name that is deleted.
fn is_whiteout(found: &FileStat) -> bool {
    kind(found) == SFlag::S_IFCHR && found.st_rdev == 0
}

/// Whether a directory hides what is below it: `trusted.` for root, `user.` in a user namespace.
fn is_opaque(directory: &impl AsFd) -> bool {
    let mut names = [c"trusted.overlay.opaque", c"user.overlay.opaque"].into_iter();
    names.any(|name| {
        let mut value = [0u8; 1];
        let number = directory.as_fd().as_raw_fd();
        // SAFETY: the name ends with NUL, and the kernel writes at most one byte to `value`.
        let length =
            unsafe { libc::fgetxattr(number, name.as_ptr(), value.as_mut_ptr().cast(), 1) };
        length == 1 && value == *b"y"
    })
}
