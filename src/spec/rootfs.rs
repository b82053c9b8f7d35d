// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root filesystem.

use std::path::PathBuf;

/// A directory that becomes the root of the box. See pivot_root(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rootfs {
    /// The directory, as the caller sees it.
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
