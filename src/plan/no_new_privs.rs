// SPDX-License-Identifier: MIT OR Apache-2.0
//! No execve(2) of the box gains a privilege.

use super::call::{Call, Value};
use super::draft::Draft;
use super::step::Steps;

/// PR_SET_NO_NEW_PRIVS(2const).
pub(super) fn set(draft: &Draft<'_>, steps: &mut Steps) {
    let setting = &draft.spec.no_new_privs;
    if !setting.value {
        return;
    }
    let name = Value::Name("PR_SET_NO_NEW_PRIVS", libc::PR_SET_NO_NEW_PRIVS as usize);
    let args = [
        name,
        Value::Int(1),
        Value::Int(0),
        Value::Int(0),
        Value::Int(0),
    ];
    steps.push(
        &setting.origin,
        "give up new privileges",
        Call::new("prctl", libc::SYS_prctl, args),
    );
}
