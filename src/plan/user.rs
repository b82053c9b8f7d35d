// SPDX-License-Identifier: MIT OR Apache-2.0
//! Groups, gid, uid. See credentials(7).

use super::call::{Call, Value};
use super::draft::Draft;
use super::facts::{HostFacts, UserFacts};
use super::step::Steps;
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

/// Whether a step changes ids. In a user namespace of one id there is nothing to change to: the map
/// has made the caller who he is to be.
pub(super) fn change(draft: &Draft<'_>) -> bool {
    draft.userns.is_none() && draft.user.is_some()
}

/// Supplementary groups go, and the ids change if a user is asked for. The groups go first: without
/// uid 0 they could not. The calls are the kernel's own: libc's would change every thread of a parent
/// whose memory the child shares.
pub(super) fn set(draft: &Draft<'_>, steps: &mut Steps) {
    if draft.userns.is_some() {
        return;
    }
    let wanted = draft.user.as_ref();
    let origin = wanted.map_or(&Origin::Default, |user| &user.origin);
    let others = match &draft.facts.user {
        Some(Ok(user)) => &user.groups[..],
        _ => &[],
    };
    if !others.is_empty() {
        let bytes: Vec<u8> = others.iter().flat_map(|gid| gid.to_ne_bytes()).collect();
        let count = Value::Int(others.len() as i64);
        let args = [count, Value::Struct(bytes.into(), show_groups)];
        let groups = Call::new("setgroups", libc::SYS_setgroups, args);
        steps.push(origin, "take the user's other groups", groups);
    } else if wanted.is_some() || draft.facts.supplementary_groups {
        let groups = Call::new(
            "setgroups",
            libc::SYS_setgroups,
            [Value::Int(0), Value::Null],
        );
        steps.push(origin, "drop the supplementary groups", groups);
    }
    if let Some(User { uid, gid }) = wanted.map(|user| user.value) {
        let three = |id: u32| [0; 3].map(|_: i32| Value::Int(i64::from(id)));
        let group = Call::new("setresgid", libc::SYS_setresgid, three(gid));
        let user = Call::new("setresuid", libc::SYS_setresuid, three(uid));
        steps.push(origin, format!("become group {gid}"), group);
        steps.push(origin, format!("become user {uid}"), user);
    }
}

fn show_groups(bytes: &[u8]) -> String {
    let (words, _) = bytes.as_chunks::<4>();
    let groups: Vec<String> = words
        .iter()
        .map(|word| u32::from_ne_bytes(*word).to_string())
        .collect();
    format!("[{}]", groups.join(", "))
}
