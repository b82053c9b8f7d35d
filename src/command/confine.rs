// SPDX-License-Identifier: MIT OR Apache-2.0
//! Walls inside of the box: what its program may do with what it sees.

use std::path::PathBuf;

use super::Command;
use crate::spec::{Access, Arch, Namespace, Origin, PathRule, SeccompFilter, Setting};

impl Command {
    /// Lets the box use a file, or all below a directory, in this way. As soon as there is one of these,
    /// nothing else of the files may be used. See landlock(7), and [`Plan::missed`](crate::Plan::missed)
    /// for what the kernel cannot enforce.
    pub fn landlock_path(&mut self, access: Access, path: impl Into<PathBuf>) -> &mut Self {
        let path = path.into();
        let rule = setting!("landlock_path", PathRule { path, access });
        self.spec_mut().landlock.paths.push(rule);
        self
    }

    /// Lets the box connect to this TCP port, and to none besides those allowed.
    pub fn landlock_connect(&mut self, port: u16) -> &mut Self {
        let rule = setting!("landlock_connect", port);
        self.spec_mut().landlock.connect.push(rule);
        self
    }

    /// Lets the box bind to this TCP port, and to none besides those allowed; 0 is one that the kernel
    /// chooses.
    pub fn landlock_bind(&mut self, port: u16) -> &mut Self {
        let rule = setting!("landlock_bind", port);
        self.spec_mut().landlock.bind.push(rule);
        self
    }

    /// Chooses whether there is no box where the kernel's Landlock cannot enforce all that is asked of it.
    pub fn landlock_strict(&mut self, strict: bool) -> &mut Self {
        self.spec_mut().landlock.strict =
            strict.then_some(Origin::Call("Command::landlock_strict"));
        self
    }

    /// Chooses the filter of system calls.
    pub fn seccomp(&mut self, filter: SeccompFilter) -> &mut Self {
        self.spec_mut().seccomp.filter = setting!("seccomp", filter);
        self
    }

    /// Chooses whether the kernel logs the calls that the filter refuses.
    pub fn seccomp_log(&mut self, log: bool) -> &mut Self {
        self.spec_mut().seccomp.log = log.then_some(Origin::Call("Command::seccomp_log"));
        self
    }

    /// Chooses whether the calls that the filter refuses are made nevertheless, and noted:
    /// [`Child::refused`](crate::Child::refused). Each waits until somebody waits for the box. It is for
    /// writing a profile: such a box is not confined.
    pub fn seccomp_trace(&mut self, trace: bool) -> &mut Self {
        self.spec_mut().seccomp.trace = trace.then_some(Origin::Call("Command::seccomp_trace"));
        self
    }

    /// Filters the calls of a 32-bit architecture as those of the machine, instead of failing them all.
    pub fn seccomp_allow_arch(&mut self, arch: Arch) -> &mut Self {
        self.spec_mut()
            .seccomp
            .arches
            .push(setting!("seccomp_allow_arch", arch));
        self
    }

    /// Chooses the session keyring: one of the box's own, which is empty, or the caller's.
    pub fn keyring(&mut self, keyring: Namespace) -> &mut Self {
        self.spec_mut().keyring = setting!("keyring", keyring);
        self
    }

    /// Chooses whether user namespaces can be made inside. That they cannot takes a user namespace of the
    /// box's own.
    pub fn disable_userns(&mut self, disable: bool) -> &mut Self {
        self.spec_mut().disable_userns = disable.then_some(Origin::Call("Command::disable_userns"));
        self
    }

    /// Covers a file or directory more in /proc or /sys of a root filesystem.
    pub fn mask(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        self.spec_mut()
            .masks
            .mask
            .push(setting!("mask", path.into()));
        self
    }

    /// Leaves what is below a path in /proc or /sys of a root filesystem neither covered nor read-only; `/`
    /// is all of it.
    pub fn unmask(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        self.spec_mut()
            .masks
            .unmask
            .push(setting!("unmask", path.into()));
        self
    }
}
