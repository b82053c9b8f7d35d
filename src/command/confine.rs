// SPDX-License-Identifier: MIT OR Apache-2.0
//! Walls inside of the box: what its program may do with what it sees.

use std::path::PathBuf;

use super::Command;
use crate::spec::{Namespace, Origin, Setting};

impl Command {
    /// Chooses the session keyring: one of the box's own, which is empty, or the caller's.
    pub fn keyring(&mut self, keyring: Namespace) -> &mut Self {
        self.spec.keyring = setting!("keyring", keyring);
        self
    }

    /// Chooses whether user namespaces can be made inside. That they cannot takes a user namespace of the
    /// box's own.
    pub fn disable_userns(&mut self, disable: bool) -> &mut Self {
        self.spec.disable_userns = disable.then_some(Origin::Call("Command::disable_userns"));
        self
    }

    /// Covers a file or directory more in /proc or /sys of a root filesystem.
    pub fn mask(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        self.spec.masks.mask.push(setting!("mask", path.into()));
        self
    }

    /// Leaves what is below a path in /proc or /sys of a root filesystem neither covered nor read-only; `/`
    /// is all of it.
    pub fn unmask(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        self.spec.masks.unmask.push(setting!("unmask", path.into()));
        self
    }
}
