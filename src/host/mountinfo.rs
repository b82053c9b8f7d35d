// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is mounted where: proc_pid_mountinfo(5), and of which mount a descriptor is: proc_pid_fdinfo(5).

use std::ffi::OsStr;
use std::fs;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The mounts that this process sees, as they are at one moment.
pub(crate) struct Table(Vec<u8>);

impl Table {
    pub(crate) fn read() -> Option<Self> {
        fs::read("/proc/self/mountinfo").ok().map(Self)
    }

    /// In the order of the table: of several on one place the last lies on top.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = Mount<'_>> {
        self.0.split(|&byte| byte == b'\n').filter_map(Mount::read)
    }
}

/// A line of the table. What is no path is as it stands there.
pub(crate) struct Mount<'a> {
    pub(crate) id: &'a [u8],
    /// MAJOR:MINOR.
    pub(crate) device: &'a [u8],
    root: &'a [u8],
    point: &'a [u8],
    /// The type of the filesystem.
    pub(crate) kind: &'a [u8],
    /// The options of the filesystem, not of the mount.
    pub(crate) options: &'a [u8],
}

impl<'a> Mount<'a> {
    /// ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD...] - KIND SOURCE OPTIONS
    fn read(line: &'a [u8]) -> Option<Self> {
        let mut words = line.split(|&byte| byte == b' ');
        let id = words.next()?;
        let device = words.nth(1)?;
        let (root, point) = (words.next()?, words.next()?);
        words.find(|word| *word == b"-")?;
        let kind = words.next()?;
        let options = words.nth(1)?;
        Some(Self {
            id,
            device,
            root,
            point,
            kind,
            options,
        })
    }

    /// The directory of the filesystem that is mounted.
    pub(crate) fn root(&self) -> PathBuf {
        path(self.root)
    }

    /// Where it is mounted.
    pub(crate) fn point(&self) -> PathBuf {
        path(self.point)
    }
}

fn path(word: &[u8]) -> PathBuf {
    Path::new(OsStr::from_bytes(&unescape(word))).to_owned()
}

/// The id of the mount that a descriptor is of: two of one directory may be of different ones.
pub(crate) fn id_of(fd: RawFd) -> Option<String> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    Some(id.trim().to_owned())
}

/// The type of the filesystem that a path is on.
pub(crate) fn filesystem(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let table = Table::read()?;
    let around = table
        .mounts()
        .filter(|mount| path.starts_with(mount.point()));
    // Of several on one place the last lies on top.
    let mount = around.max_by_key(|mount| mount.point().as_os_str().len())?;
    Some(String::from_utf8_lossy(mount.kind).into_owned())
}

/// The octal escapes of proc_pid_mountinfo(5).
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, more @ ..] = rest {
        let octal = |digits: &[u8; 3]| {
            digits.iter().try_fold(0u8, |number, digit| {
                let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
                number.checked_mul(8)?.checked_add(digit)
            })
        };
        match (first, more.first_chunk::<3>().and_then(octal)) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &more[3..];
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_optional_fields_and_bytes_it_has() {
        let line = b"36 35 98:0 /mnt1 /a\\040b\\134\\011\\9 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue";
        let table = Table([&line[..], b"\n", b"1 2 0:5 / / rw - proc\n"].concat());
        let mounts: Vec<Mount<'_>> = table.mounts().collect();
        let [mount] = &mounts[..] else {
            panic!("a line that is cut off is none");
        };
        assert_eq!((mount.id, mount.device), (&b"36"[..], &b"98:0"[..]));
        assert_eq!(
            (mount.root(), mount.point()),
            ("/mnt1".into(), "/a b\\\t\\9".into())
        );
        assert_eq!(
            (mount.kind, mount.options),
            (&b"ext3"[..], &b"rw,errors=continue"[..])
        );
    }
}
