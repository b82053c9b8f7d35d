// SPDX-License-Identifier: MIT OR Apache-2.0
//! The maps of a user namespace with one id. See user_namespaces(7).

use super::draft::Draft;
use super::file;
use super::step::Steps;
use crate::spec::User;

/// Maps the caller to the user that the box runs as, root if nobody asked for one. The child may
/// write this map itself, because it is one line that names the writer's own id; setgroups(2) has to
/// be denied first (CVE-2014-8989).
pub(super) fn map(draft: &Draft<'_>, steps: &mut Steps) {
    let Some(origin) = &draft.userns else {
        return;
    };
    let User { uid, gid } = draft
        .user
        .as_ref()
        .map_or(User { uid: 0, gid: 0 }, |user| user.value);
    let facts = draft.facts;
    file::write(
        origin,
        "deny setgroups",
        c"/proc/self/setgroups",
        "deny".to_owned(),
        steps,
    );
    file::write(
        origin,
        "map the group",
        c"/proc/self/gid_map",
        format!("{gid} {} 1\n", facts.gid),
        steps,
    );
    file::write(
        origin,
        "map the user",
        c"/proc/self/uid_map",
        format!("{uid} {} 1\n", facts.uid),
        steps,
    );
}
