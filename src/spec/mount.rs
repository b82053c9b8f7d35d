// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mounts of the box's own. See mount(2).

mod parse;

use std::path::PathBuf;

pub use parse::MountParseError;

/// A mount: what, where, how. They are made in the order in which they are asked for.
///
/// Its constructors make the plain ones; [`read_only`](Self::read_only) and the fields change them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where: an absolute path in the box. With a root filesystem of its own, what is missing of it is
    /// made.
    pub target: PathBuf,
    /// What.
    pub kind: MountKind,
    /// How.
    pub attributes: Attributes,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// A directory or a file of the caller's.
    Bind {
        /// Its path, as the caller sees it.
        source: PathBuf,
        /// Whether what is mounted below it comes with it.
        recursive: bool,
        /// Whether it may be missing: then nothing is mounted.
        optional: bool,
    },
    /// A filesystem in memory. See tmpfs(5).
    Tmpfs {
        /// Its size in bytes; half of the memory when `None`.
        size: Option<u64>,
        /// The mode of its root directory, 0 to 0o7777; 0o755 when `None`.
        mode: Option<u32>,
    },
    /// Directories of the caller's on top of each other.
    Overlay {
        /// Those that stay as they are, the topmost first.
        lower: Vec<PathBuf>,
        /// The one that is written to, and an empty one on the same filesystem; read-only when `None`.
        upper: Option<(PathBuf, PathBuf)>,
    },
    /// Process information. See proc(5).
    Proc,
    /// Devices and drivers. See sysfs(5).
    Sysfs,
    /// Pseudoterminals of its own. See pts(4).
    Devpts,
    /// POSIX message queues. See mq_overview(7).
    Mqueue,
    /// A file with these bytes, in memory.
    File {
        /// What is in it.
        data: Vec<u8>,
        /// Its mode, 0 to 0o7777.
        mode: u32,
    },
}

/// How something is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Nothing can be written. Of a recursive bind the mounts below it are read-only as well.
    pub read_only: bool,
    /// Set-user-id bits have no effect.
    pub nosuid: bool,
    /// Devices cannot be opened.
    pub nodev: bool,
    /// Programs cannot be executed.
    pub noexec: bool,
    /// Of a bind: its files have inside the ids that they have on the disk, although the box's are others
    /// outside. See "Idmappings" in the kernel's documentation; since Linux 5.12. It needs CAP_SYS_ADMIN.
    pub idmap: bool,
    /// Whether later mounts of the caller's appear in the box.
    pub propagation: Propagation,
}

/// Whether mounts below a bind pass between the caller and the box. See mount_namespaces(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// In neither direction.
    #[default]
    Private,
    /// From the caller to the box, below each mount of the bind.
    Slave,
}

impl Mount {
    fn new(target: impl Into<PathBuf>, kind: MountKind) -> Self {
        Self {
            target: target.into(),
            kind,
            attributes: Attributes::default(),
        }
    }

    /// The caller's `source` at `target`, with what is mounted below it.
    pub fn bind(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        let kind = MountKind::Bind {
            source: source.into(),
            recursive: true,
            optional: false,
        };
        Self::new(target, kind)
    }

    /// An empty filesystem in memory, without set-user-id programs and devices.
    pub fn tmpfs(target: impl Into<PathBuf>) -> Self {
        let kind = MountKind::Tmpfs {
            size: None,
            mode: None,
        };
        let mut mount = Self::new(target, kind);
        mount.attributes.nosuid = true;
        mount.attributes.nodev = true;
        mount
    }

    /// A file with these bytes, which only its owner can read.
    pub fn file(data: impl Into<Vec<u8>>, target: impl Into<PathBuf>) -> Self {
        let kind = MountKind::File {
            data: data.into(),
            mode: 0o600,
        };
        Self::new(target, kind)
    }

    /// The same, read-only.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.attributes.read_only = true;
        self
    }
}
