// SPDX-License-Identifier: MIT OR Apache-2.0
//! The environment.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use super::draft::Draft;
use super::exec::c_string;

/// Names and values, by name.
pub(super) type Variables<'a> = BTreeMap<&'a OsStr, &'a OsStr>;

/// Variables that name files and sockets of the host, or hold them: a box with a root filesystem of its own
/// has other files at these paths, or none. Those of the loader and the shells run code from there.
const OF_THE_HOST: [&str; 12] = [
    "BASH_ENV",
    "DBUS_SESSION_BUS_ADDRESS",
    "DBUS_SYSTEM_BUS_ADDRESS",
    "ENV",
    "GLIBC_TUNABLES",
    "GNOME_KEYRING_CONTROL",
    "GPG_AGENT_INFO",
    "SSH_AGENT_PID",
    "SSH_AUTH_SOCK",
    "TMPDIR",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
];

/// Whether a variable of the caller's means something in the box. What sudo(8) says of who has called it are
/// ids of the host, which are others' in a user namespace and a root filesystem.
fn fits(name: &OsStr, draft: &Draft<'_>) -> bool {
    let bytes = name.as_bytes();
    let rootfs = draft.foreign_root();
    let of_host = rootfs
        && (bytes.starts_with(b"LD_") || OF_THE_HOST.iter().any(|one| one.as_bytes() == bytes));
    let of_sudo = (rootfs || draft.userns.is_some()) && bytes.starts_with(b"SUDO_");
    !of_host && !of_sudo
}

/// The caller's environment as far as it fits, or none, the home of a user who was looked up, and the
/// changes made to it.
pub(super) fn compose<'a>(draft: &Draft<'a>) -> Variables<'a> {
    let (env, facts) = (&draft.spec.env, draft.facts);
    let inherited = facts
        .environment
        .iter()
        .filter(|(name, _)| env.clear.is_none() && fits(name, draft))
        .map(|(name, value)| (name.as_os_str(), value.as_os_str()));
    // One by one: collecting would sort them first, which so few are not worth.
    let mut variables = Variables::new();
    variables.extend(inherited);
    if let Some(Ok(user)) = &facts.user {
        variables.insert(OsStr::new("HOME"), user.home.as_os_str());
    }
    for change in &env.changes {
        match &change.value {
            (name, Some(value)) => drop(variables.insert(name, value)),
            (name, None) => drop(variables.remove(name.as_os_str())),
        }
    }
    variables
}

/// `NAME=value` strings, sorted by name.
pub(super) fn pairs(variables: &Variables<'_>) -> Vec<CString> {
    variables
        .iter()
        .map(|(name, value)| {
            // With the NUL it fits exactly, and is not moved.
            let mut pair = Vec::with_capacity(name.len() + value.len() + 2);
            pair.extend_from_slice(name.as_bytes());
            pair.push(b'=');
            pair.extend_from_slice(value.as_bytes());
            c_string(pair)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_documented() {
        let page = include_str!("../../docs/walls.md");
        for name in OF_THE_HOST.into_iter().chain(["LD_*", "SUDO_*"]) {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}
