// SPDX-License-Identifier: MIT OR Apache-2.0
//! The environment.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use super::exec::c_string;
use super::facts::HostFacts;
use crate::spec::Env;

/// Names and values, by name.
pub(super) type Variables<'a> = BTreeMap<&'a OsStr, &'a OsStr>;

/// The caller's environment, or none, the home of a user who was looked up, and the changes made to it.
pub(super) fn compose<'a>(env: &'a Env, facts: &'a HostFacts) -> Variables<'a> {
    let inherited = facts
        .environment
        .iter()
        .filter(|_| env.clear.is_none())
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
