// SPDX-License-Identifier: MIT OR Apache-2.0
//! The environment.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::exec::c_string;
use super::facts::HostFacts;
use crate::spec::Env;

/// The caller's environment, or none, with the changes made to it.
pub(super) fn compose(env: &Env, facts: &HostFacts) -> BTreeMap<OsString, OsString> {
    let inherited = facts
        .environment
        .iter()
        .filter(|_| env.clear.is_none())
        .cloned();
    let mut variables: BTreeMap<OsString, OsString> = inherited.collect();
    for change in &env.changes {
        match change.value.clone() {
            (name, Some(value)) => drop(variables.insert(name, value)),
            (name, None) => drop(variables.remove(&name)),
        }
    }
    variables
}

/// `NAME=value` strings, sorted by name.
pub(super) fn pairs(variables: BTreeMap<OsString, OsString>) -> Vec<CString> {
    variables
        .into_iter()
        .map(|(name, value)| {
            let mut pair = name.into_vec();
            pair.reserve_exact(value.len() + 2);
            pair.push(b'=');
            pair.extend_from_slice(value.as_bytes());
            c_string(pair)
        })
        .collect()
}
