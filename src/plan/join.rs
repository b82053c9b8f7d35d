// SPDX-License-Identifier: MIT OR Apache-2.0
//! A box that runs, which the child joins. See setns(2).
//!
//! One call joins all namespaces, the user namespace first, in which the child gets the capabilities that
//! the others take. It may do so although it shares the launcher's memory: it has one thread, and no
//! directories in common. But it must not be seen in the box while it shares that memory, and the capabilities of
//! whoever is root there do not matter for that: so a process namespace, which only new processes enter,
//! is for a program of ours to enter, behind execve(2): `src/init/join.rs`.

use super::call::{Call, FlagNames, Value};
use super::draft::Draft;
use super::facts::{HostFacts, JoinFacts};
use super::slot;
use super::step::{Devpts, Role, Steps, Terminal};
use super::time;
use super::userns::{Maps, Userns, Writer};
use crate::spec::{Join, Setting, Spec, User, Violation, container_of, host_of};

const CAP_CHOWN: u8 = 0;

const FLAGS: FlagNames = &[
    ("CLONE_NEWUSER", libc::CLONE_NEWUSER as u64),
    ("CLONE_NEWNS", libc::CLONE_NEWNS as u64),
    ("CLONE_NEWUTS", libc::CLONE_NEWUTS as u64),
    ("CLONE_NEWIPC", libc::CLONE_NEWIPC as u64),
    ("CLONE_NEWPID", libc::CLONE_NEWPID as u64),
    ("CLONE_NEWNET", libc::CLONE_NEWNET as u64),
    ("CLONE_NEWCGROUP", libc::CLONE_NEWCGROUP as u64),
];

/// What has been found out about the box.
fn facts(facts: &HostFacts) -> Option<&JoinFacts> {
    facts.join.as_ref()?.as_ref().ok()
}

fn has(facts_of_host: &HostFacts, namespace: i32) -> bool {
    facts(facts_of_host).is_some_and(|facts| facts.namespaces & namespace != 0)
}

/// Whether the box can be joined.
///
/// # Errors
///
/// Why not.
pub(super) fn check(spec: &Spec, facts: &HostFacts) -> Result<(), Vec<Violation>> {
    let Some(join) = &spec.join else {
        return Ok(());
    };
    let refuse = |reason: String| {
        Err(vec![Violation {
            reason,
            origin: join.origin.clone(),
        }])
    };
    match &facts.join {
        None => refuse("nobody has looked at the box".to_owned()),
        Some(Err(reason)) => refuse(reason.clone()),
        Some(Ok(_)) => Ok(()),
    }
}

/// What executes the program.
pub(super) fn role(facts: &HostFacts) -> Role {
    if has(facts, libc::CLONE_NEWPID) {
        Role::Join
    } else {
        Role::Exec
    }
}

/// A terminal in the devpts of the box, where it has one: there its program finds it by name.
pub(super) fn devpts(draft: &Draft<'_>) -> Option<Devpts> {
    let found = facts(draft.facts).is_some_and(|facts| facts.devpts);
    if !found || draft.terminal != Terminal::New {
        return None;
    }
    // The caller's ids may be none of the box's: then nobody in there could give it away.
    let outside = draft.userns.as_ref();
    let outside = outside.filter(|_| draft.facts.effective.contains(CAP_CHOWN));
    Some(Devpts {
        owner: outside.and_then(|userns| host_of(&userns.maps.uids, userns.program.value.uid)),
    })
}

/// The user namespace of the box, if it has one of its own.
pub(super) fn userns(
    join: &Setting<Join>,
    host: &HostFacts,
    user: Option<&Setting<User>>,
) -> Option<Userns> {
    let box_facts = facts(host).filter(|facts| facts.namespaces & libc::CLONE_NEWUSER != 0)?;
    let caller = container_of(&box_facts.uids, host.uid)
        .zip(container_of(&box_facts.gids, host.gid))
        .map(|(uid, gid)| User { uid, gid });
    let own = || Setting::new(join.value.walls.user, join.origin.clone());
    let program = user.cloned().unwrap_or_else(own);
    Some(Userns {
        origin: join.origin.clone(),
        maps: Maps {
            uids: box_facts.uids.clone(),
            gids: box_facts.gids.clone(),
        },
        writer: Writer::Nobody {
            setgroups: box_facts.setgroups,
        },
        caller,
        set_up: caller.unwrap_or(program.value),
        program,
    })
}

/// Joins the namespaces, and takes the root of the box's first process: that of the mount namespace may be
/// another one.
pub(super) fn enter(draft: &Draft<'_>, steps: &mut Steps) {
    let Some(join) = &draft.spec.join else { return };
    let origin = &join.origin;
    let namespaces = facts(draft.facts).map_or(0, |facts| facts.namespaces);
    time::before_joining(draft, steps);
    if namespaces != 0 {
        let args = [
            Value::Slot(slot::BOX),
            Value::Flags(FLAGS, namespaces as u64),
        ];
        let call = Call::new("setns", libc::SYS_setns, args);
        let action = format!("join the namespaces of the box {}", join.value.name);
        steps.push(origin, action, call);
    }
    time::after_joining(draft, steps);
    let root = Call::new("fchdir", libc::SYS_fchdir, [Value::Slot(slot::BOX_ROOT)]);
    let chroot = Call::new("chroot", libc::SYS_chroot, [Value::Static(c".")]);
    steps.push(origin, "enter the root of the box", root);
    steps.push(origin, "make it the root", chroot);
}
