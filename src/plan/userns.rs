// SPDX-License-Identifier: MIT OR Apache-2.0
//! A user namespace: its maps, and who the child is in it. See user_namespaces(7).
//!
//! A child may write one line about its own id. Every other map is written by the parent, or by
//! newuidmap(1) and newgidmap(1) for it, while the child waits at a gate: a futex(2) in the shared memory.

use clonebox_child::OnError;

use super::call::{Call, Value};
use super::draft::Draft;
use super::slot;
use super::step::Steps;
use super::{death, file, user};
use crate::spec::{IdMapping, Origin, Setting, User};

/// The user namespace of a box.
#[derive(Debug)]
pub(super) struct Userns {
    /// Who asked for it.
    pub(super) origin: Origin,
    pub(super) maps: Maps,
    pub(super) writer: Writer,
    /// Who the child is when the maps have been written; nobody if the caller's ids are not among them.
    pub(super) caller: Option<User>,
    /// Who it is during the set-up.
    pub(super) set_up: User,
    /// Who the program runs as.
    pub(super) program: Setting<User>,
}

/// What is written to uid_map and gid_map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Maps {
    pub(crate) uids: Vec<IdMapping>,
    pub(crate) gids: Vec<IdMapping>,
}

/// Who writes the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The child: one id, its own.
    Child,
    /// The parent, which has CAP_SETUID and CAP_SETGID.
    Parent,
    /// newuidmap(1) and newgidmap(1).
    Helpers,
    /// Nobody: they have been written, for the box that is joined. Whether its groups can be changed.
    Nobody { setgroups: bool },
}

impl Writer {
    /// Whether the child waits at the gate until they are written.
    pub(crate) fn is_waited_for(self) -> bool {
        matches!(self, Self::Parent | Self::Helpers)
    }
}

impl Userns {
    /// Whether it is a new one.
    pub(super) fn is_made(&self) -> bool {
        !matches!(self.writer, Writer::Nobody { .. })
    }

    /// Whether the kernel lets the groups be changed: newgidmap(1) denies it with the caller's group alone.
    pub(super) fn groups_change(&self) -> bool {
        let others = |gid: &IdMapping| gid.size > 1 || self.maps.gids.len() > 1;
        match self.writer {
            Writer::Child => false,
            Writer::Parent => true,
            Writer::Nobody { setgroups } => setgroups,
            Writer::Helpers => self.maps.gids.iter().any(others),
        }
    }
}

/// The file for ranges of ids: a line each.
pub(crate) fn lines(mappings: &[IdMapping]) -> String {
    mappings
        .iter()
        .map(|mapping| format!("{mapping}\n"))
        .collect()
}

/// Writes the maps, or waits until they have been written.
///
/// It *must* follow [`death::look`]: a child whose parent has died before would wait for ever.
pub(super) fn map(draft: &Draft<'_>, steps: &mut Steps) {
    let made = draft.userns.as_ref().filter(|userns| userns.is_made());
    let Some(userns) = made else { return };
    let origin = &userns.origin;
    if draft.waits_for_maps() {
        let args = [
            Value::Slot(slot::GATE),
            Value::Name("FUTEX_WAIT", libc::FUTEX_WAIT as usize),
            Value::Int(0),
            Value::Null,
        ];
        let wait = Call::new("futex", libc::SYS_futex, args);
        // It is open already.
        let wait = wait.on_error(OnError::Ignore(libc::EAGAIN));
        steps.push(origin, "wait until the ids are mapped", wait);
        if draft.pasta.is_none() {
            death::disarm(draft, steps);
        }
        return;
    }
    // setgroups(2) has to be denied before a caller without privileges maps a group (CVE-2014-8989).
    for (action, path, text) in [
        ("deny setgroups", c"/proc/self/setgroups", "deny".to_owned()),
        (
            "map the group",
            c"/proc/self/gid_map",
            lines(&userns.maps.gids),
        ),
        (
            "map the user",
            c"/proc/self/uid_map",
            lines(&userns.maps.uids),
        ),
    ] {
        file::write(origin, action, path, text, steps);
    }
}

/// Whether the child becomes somebody of the box for the set-up: the caller is nobody there, and nobody
/// makes a file.
pub(super) fn becomes(draft: &Draft<'_>) -> bool {
    draft
        .userns
        .as_ref()
        .is_some_and(|userns| userns.caller.is_none())
}

/// Whether the maps are written by somebody who is not root, into files that are root's if the memory is not
/// dumpable.
pub(super) fn without_privilege(draft: &Draft<'_>) -> bool {
    let made = draft.userns.as_ref().filter(|userns| userns.is_made());
    made.is_some_and(|userns| userns.writer != Writer::Parent) && draft.facts.uid != 0
}

/// Makes the child somebody of the box. The kernel forgets the parent-death signal then.
///
/// It *must* follow what is opened as the caller, and what is written to /proc/self: that is the caller's,
/// and, as ids have changed, root's.
pub(super) fn become_somebody(draft: &Draft<'_>, steps: &mut Steps) {
    let Some(userns) = draft.userns.as_ref().filter(|_| becomes(draft)) else {
        return;
    };
    let origin = &userns.origin;
    if draft.facts.supplementary_groups && userns.groups_change() {
        user::drop_groups(origin, steps);
    }
    user::become_user(origin, userns.set_up, steps);
    death::renew(draft, steps);
}
