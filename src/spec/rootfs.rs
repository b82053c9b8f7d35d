// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root filesystem.

use std::path::PathBuf;

use super::{Mount, MountKind, Origin, Setting};

/// A directory that becomes the root of the box. See pivot_root(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rootfs {
    /// The directory, as the caller sees it. [`Writes::Memory`] has none.
    pub path: PathBuf,
    /// Where what the box writes goes.
    pub writes: Writes,
}

/// Where what a box writes to its root filesystem goes. See "Overlay Filesystem" in the kernel's
/// documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Into the directory.
    Through,
    /// Into memory, which goes with the box. The directory stays as it is.
    Discard,
    /// Into another directory, which gets two of its own, `upper` and `work`. The first one stays as it
    /// is.
    Keep(PathBuf),
    /// Into memory, and there is no directory: the root is empty but for what is mounted in it.
    Memory,
}

/// Where programs are, and what they are made of.
const PROGRAMS: [&str; 7] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
];
/// What programs read there, and what tells nothing that a box may not know. No secret of the host's is among it,
/// whoever starts the box.
const SETTINGS: [&str; 20] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "fonts",
    "group",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki/tls/certs",
    "profile",
    "ssl/certs",
    "terminfo",
];

impl Rootfs {
    /// A root in memory, for what is mounted in it.
    pub fn memory() -> Self {
        Self {
            path: "/".into(),
            writes: Writes::Memory,
        }
    }
}

/// A root in memory with the programs of the system that the caller sees, read-only: what is in `/usr`, `/bin` and
/// the like, and what they need of `/etc`; what is not there is left out. These are all files of the host's in it.
pub fn system_root(origin: &Origin) -> (Setting<Rootfs>, Vec<Setting<Mount>>) {
    let settings = SETTINGS.iter().map(|name| format!("/etc/{name}"));
    let programs = PROGRAMS.iter().map(|&path| path.to_owned());
    let mount = |path: String| {
        let mut mount = Mount::bind(path.clone(), path).read_only();
        if let MountKind::Bind { optional, .. } = &mut mount.kind {
            *optional = true;
        }
        mount.attributes.nosuid = true;
        mount.attributes.nodev = true;
        Setting::new(mount, origin.clone())
    };
    let root = Setting::new(Rootfs::memory(), origin.clone());
    (root, programs.chain(settings).map(mount).collect())
}

/// What a root filesystem has in /dev.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dev {
    /// A fresh directory with null, zero, full, random, urandom, tty, pts, shm and the usual links.
    #[default]
    Minimal,
    /// The host's.
    Host,
    /// Its own.
    None,
}
