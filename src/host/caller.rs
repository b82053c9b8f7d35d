// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the calling process may do, and where it is.

use std::fs;
use std::path::Path;

use super::mountinfo::Table;
use crate::plan::HostFacts;
use crate::spec::{CapabilitySet, Spec};

pub(crate) const CAP_SYS_ADMIN: u8 = 21;

/// The way out where [`is_filtered`].
pub(crate) const FILTERED: &str = "a seccomp filter is in force here, as in a container, and this process has no \
                                   CAP_SYS_ADMIN: start that container with --privileged, that box with --seccomp off, \
                                   or clonebox outside of it";

/// Its effective capabilities.
pub(crate) fn capabilities() -> CapabilitySet {
    HostFacts::gather(&Spec::new("/")).effective
}

/// Whether a capability is not among its effective ones.
pub(crate) fn lacks(capability: u8) -> bool {
    !capabilities().contains(capability)
}

/// A seccomp filter is in force.
pub(crate) fn has_filter() -> bool {
    const MODE_FILTER: &str = "2";
    status("Seccomp:").as_deref() == Some(MODE_FILTER)
}

/// A filter as that of a container, which forbids without CAP_SYS_ADMIN what it allows with it.
pub(crate) fn is_filtered() -> bool {
    has_filter() && lacks(CAP_SYS_ADMIN)
}

/// execve(2) gives this process nothing that it does not have: set-user-id has no effect.
pub(crate) fn has_no_new_privs() -> bool {
    nix::sys::prctl::get_no_new_privs().unwrap_or(false)
}

/// A line of proc_pid_status(5).
fn status(name: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().to_owned())
}

/// The root of this process is not the root of its mount namespace.
pub(crate) fn is_in_chroot() -> bool {
    Table::read().is_some_and(|table| {
        let mut points = table.mounts().map(|mount| mount.point()).peekable();
        points.peek().is_some() && !points.any(|point| point == Path::new("/"))
    })
}

/// What says that this is a container: a file or a variable that those who make containers leave in them.
/// There is no call that would tell, and nothing is decided by it.
pub(crate) fn container() -> Option<&'static str> {
    const FILES: [&str; 3] = [
        "/run/.containerenv",
        "/.dockerenv",
        "/run/systemd/container",
    ];
    let named = std::env::var_os("container").is_some_and(|name| !name.is_empty());
    let file = FILES.into_iter().find(|path| Path::new(path).exists());
    file.or(named.then_some("the variable container"))
}
