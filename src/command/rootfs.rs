// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root filesystem of the box, and what is mounted in it.

use std::path::PathBuf;

use super::Command;
use crate::spec::{Dev, Mount, Origin, Rootfs, Setting, Writes, system_root};

impl Command {
    /// Makes a directory the root of the box. What the box writes there, it writes to the directory.
    pub fn rootfs(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        let rootfs = Rootfs {
            path: path.into(),
            writes: Writes::Through,
        };
        self.spec_mut().rootfs = Some(setting!("rootfs", rootfs));
        self
    }

    /// Makes a directory the root of the box, and leaves it as it is: what the box writes is lost at
    /// its end.
    pub fn rootfs_overlay(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        let rootfs = Rootfs {
            path: path.into(),
            writes: Writes::Discard,
        };
        self.spec_mut().rootfs = Some(setting!("rootfs_overlay", rootfs));
        self
    }

    /// Makes the programs of the system that the caller sees the root of the box: `/usr`, `/bin` and the like, and
    /// what they need of `/etc`, all of it read-only. Nothing else of the host is there, and what the box writes is lost
    /// at its end. Mounts that are added later lie on top.
    pub fn rootfs_system(&mut self) -> &mut Self {
        let (rootfs, mounts) = system_root(&Origin::Call("Command::rootfs_system"));
        self.spec_mut().rootfs = Some(rootfs);
        self.spec_mut().mounts.extend(mounts);
        self
    }

    /// Chooses whether the root filesystem is read-only.
    pub fn read_only(&mut self, read_only: bool) -> &mut Self {
        self.spec_mut().read_only = read_only.then_some(Origin::Call("Command::read_only"));
        self
    }

    /// Adds a mount. Mounts are made in the order in which they are added.
    pub fn mount(&mut self, mount: Mount) -> &mut Self {
        self.spec_mut().mounts.push(setting!("mount", mount));
        self
    }

    /// Chooses what the root filesystem has in /dev.
    pub fn dev(&mut self, dev: Dev) -> &mut Self {
        self.spec_mut().dev = setting!("dev", dev);
        self
    }
}
