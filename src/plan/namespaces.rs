// SPDX-License-Identifier: MIT OR Apache-2.0
//! The clone: which namespaces are new. See clone(2), namespaces(7).

use super::cgroup::{CLONE_INTO_CGROUP, clone_into};
use super::draft::Draft;
use super::facts::HostFacts;
use super::step::{CLONE_CLEAR_SIGHAND, CloneCall};
use crate::spec::{Namespace, Origin, Setting};

/// The clone of a child that makes the mounts of a template.
pub(super) fn clone_for_mounts(facts: &HostFacts, origin: &Origin) -> CloneCall {
    let flags = libc::CLONE_VM | libc::CLONE_PIDFD | libc::CLONE_CHILD_CLEARTID | libc::CLONE_NEWNS;
    let clear = if facts.clone3 { CLONE_CLEAR_SIGHAND } else { 0 };
    CloneCall {
        flags: flags as u64 | clear,
        clone3: facts.clone3,
        origins: vec![("mount", origin.clone())],
    }
}

pub(super) fn clone_call(draft: &Draft<'_>) -> CloneCall {
    let own = &draft.spec.namespaces;
    let cgroup = draft.cgroupns();
    let mut flags = (libc::CLONE_VM | libc::CLONE_PIDFD | libc::CLONE_CHILD_CLEARTID) as u64;
    let mut origins = Vec::with_capacity(7);
    let mut add = |name, flag: i32, origin: &Origin| {
        flags |= flag as u64;
        origins.push((name, origin.clone()));
    };
    if let Some(userns) = draft.userns.as_ref().filter(|userns| userns.is_made()) {
        add("user", libc::CLONE_NEWUSER, &userns.origin);
    }
    if draft.split.is_none() && !draft.fresh && draft.spec.join.is_none() {
        add("mount", libc::CLONE_NEWNS, &Origin::Default);
    }
    let new = |namespace: &Setting<Namespace>| namespace.value == Namespace::Private;
    for (name, flag, new, origin) in [
        ("uts", libc::CLONE_NEWUTS, new(&own.uts), &own.uts.origin),
        ("pid", libc::CLONE_NEWPID, new(&own.pid), &own.pid.origin),
        ("ipc", libc::CLONE_NEWIPC, new(&own.ipc), &own.ipc.origin),
        (
            "net",
            libc::CLONE_NEWNET,
            own.net.value.is_new(),
            &own.net.origin,
        ),
        (
            "cgroup",
            libc::CLONE_NEWCGROUP,
            new(&cgroup),
            &cgroup.origin,
        ),
    ] {
        // With limits the child makes it, in the cgroup that it has entered.
        let later = name == "cgroup" && !draft.cgroups.groups.is_empty();
        if new && !later {
            add(name, flag, origin);
        }
    }
    if draft.facts.clone3 {
        flags |= CLONE_CLEAR_SIGHAND;
    }
    if clone_into(draft) {
        flags |= CLONE_INTO_CGROUP;
    }
    // The kernel applies a new oom score to every process that shares the memory, which the parent does,
    // unless the child is one of vfork(2): __set_oom_adj in fs/proc/base.c. When the memory of a cgroup is
    // used up, it kills all of them for the one that it picks there, and never picks such a child:
    // oom_badness in mm/oom_kill.c. The call that wants the memory fails then.
    if draft.spec.oom_score_adj.is_some() || draft.cgroups.any() {
        flags |= libc::CLONE_VFORK as u64;
    }
    CloneCall {
        flags,
        clone3: draft.facts.clone3,
        origins,
    }
}
