// SPDX-License-Identifier: MIT OR Apache-2.0
//! Groups, gid, uid. See credentials(7).

use super::call::{Call, Value};
use super::draft::Draft;
use super::step::Steps;
use crate::spec::{Origin, User};

/// Whether a step changes ids. In a user namespace of one id there is nothing to change to: the map
/// has made the caller who he is to be.
pub(super) fn change(draft: &Draft<'_>) -> bool {
    draft.userns.is_none() && draft.spec.user.is_some()
}

/// Supplementary groups go, and the ids change if a user is asked for. The groups go first: without
/// uid 0 they could not. The calls are the kernel's own: libc's would change every thread of a parent
/// whose memory the child shares.
pub(super) fn set(draft: &Draft<'_>, steps: &mut Steps) {
    if draft.userns.is_some() {
        return;
    }
    let wanted = draft.spec.user.as_ref();
    let origin = wanted.map_or(&Origin::Default, |user| &user.origin);
    if wanted.is_some() || draft.facts.supplementary_groups {
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
