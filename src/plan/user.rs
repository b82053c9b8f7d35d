// SPDX-License-Identifier: MIT OR Apache-2.0
//! Groups, gid, uid. See credentials(7).

use super::call::{Call, Value};
use super::draft::Draft;
use super::facts::{HostFacts, UserFacts};
use super::step::Steps;
use super::userns::{self, Userns};
use crate::spec::{Origin, Setting, Spec, User, Violation};

/// Who was asked for, by number or by name.
pub(super) fn resolve(
    spec: &Spec,
    facts: &HostFacts,
) -> Result<Option<Setting<User>>, Vec<Violation>> {
    let Some(login) = &spec.login else {
        return Ok(spec.user.clone());
    };
    let violation = |reason: &str| {
        vec![Violation {
            reason: reason.to_owned(),
            origin: login.origin.clone(),
        }]
    };
    match &facts.user {
        Some(Ok(UserFacts { uid, gid, .. })) => {
            let user = User {
                uid: *uid,
                gid: *gid,
            };
            Ok(Some(Setting::new(user, login.origin.clone())))
        }
        Some(Err(reason)) => Err(violation(reason)),
        None => Err(violation("nobody has looked who that is")),
    }
}

/// Supplementary groups go, and the ids change if the program is to run as somebody else. The groups go
/// first: without uid 0 they could not. The calls are the kernel's own: libc's would change every thread of
/// a parent whose memory the child shares.
pub(super) fn set(draft: &Draft<'_>, steps: &mut Steps) {
    // Where the child maps itself, setgroups(2) is denied.
    let may = draft.userns.as_ref().is_none_or(Userns::groups_change);
    let wanted = draft.change();
    let origin = wanted.map_or(&Origin::Default, |user| &user.origin);
    let others = match &draft.facts.user {
        Some(Ok(user)) if may => &user.groups[..],
        _ => &[],
    };
    if !others.is_empty() {
        let bytes: Vec<u8> = others.iter().flat_map(|gid| gid.to_ne_bytes()).collect();
        let count = Value::Int(others.len() as i64);
        let args = [count, Value::Struct(bytes.into(), show_groups)];
        let groups = Call::new("setgroups", libc::SYS_setgroups, args);
        steps.push(origin, "take the user's other groups", groups);
    } else if drops_groups(draft) {
        drop_groups(origin, steps);
    }
    if let Some(user) = wanted {
        become_user(origin, user.value, steps);
    }
}

/// Whether the caller's other groups are to go, and have not gone yet.
fn drops_groups(draft: &Draft<'_>) -> bool {
    match &draft.userns {
        None => draft.user.is_some() || draft.facts.supplementary_groups,
        Some(userns) => {
            let there = draft.facts.supplementary_groups && !userns::becomes(draft);
            there && userns.groups_change()
        }
    }
}

pub(super) fn drop_groups(origin: &Origin, steps: &mut Steps) {
    let groups = Call::new(
        "setgroups",
        libc::SYS_setgroups,
        [Value::Int(0), Value::Null],
    );
    steps.push(origin, "drop the supplementary groups", groups);
}

pub(super) fn become_user(origin: &Origin, User { uid, gid }: User, steps: &mut Steps) {
    let three = |id: u32| [0; 3].map(|_: i32| Value::Int(i64::from(id)));
    let group = Call::new("setresgid", libc::SYS_setresgid, three(gid));
    let user = Call::new("setresuid", libc::SYS_setresuid, three(uid));
    steps.push(origin, format!("become group {gid}"), group);
    steps.push(origin, format!("become user {uid}"), user);
}

fn show_groups(bytes: &[u8]) -> String {
    let (words, _) = bytes.as_chunks::<4>();
    let groups: Vec<String> = words
        .iter()
        .map(|word| u32::from_ne_bytes(*word).to_string())
        .collect();
    format!("[{}]", groups.join(", "))
}
