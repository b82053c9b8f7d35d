// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mount namespace that begins with the root filesystem, not with a copy of all that the caller has mounted.
//! See open_tree(2), setns(2), mount_namespaces(7).
//!
//! A clone with `CLONE_NEWNS` copies every mount of the host, and the end of the box takes them all away again,
//! only because the root filesystem is one of them. Where open_tree(2) makes namespaces (`OPEN_TREE_NAMESPACE`)
//! the child is cloned into the caller's. There it makes a copy of each mount that the box gets of the host's,
//! which is nowhere yet, and a namespace that has the root filesystem and nothing else. It joins that, and of
//! the host's tree nothing is left to leave. What cannot be seen from there is made in the copy of the caller's
//! namespace, as on older kernels.

use clonebox_child::Slot;

use super::call::{Call, FlagNames, Value, shown};
use super::draft::Draft;
use super::facts::HostFacts;
use super::path::{self, LOOK_UP, close};
use super::slot;
use super::step::Steps;
use super::{idmap, mount, template, tree};
use crate::spec::{
    Attributes, Dev, Mount, MountKind, Origin, Propagation, Rootfs, Setting, Spec, Writes,
};

/// How many mounts a box may have that begins so. Our own limit: each bind is an open descriptor of the child's
/// until it is where it belongs, of which the caller may have few.
const MOST: usize = 64;

pub(super) const NEWNS: FlagNames = &[("CLONE_NEWNS", libc::CLONE_NEWNS as u64)];

/// Whether a launch begins so.
pub(super) fn decide(spec: &Spec, facts: &HostFacts, userns: bool) -> bool {
    let seen = |mount: &Setting<Mount>| {
        let mount = &mount.value;
        // Mounts of the host come only to what is below its own; layers are paths of the host's.
        mount.attributes.propagation == Propagation::Private
            && !matches!(mount.kind, MountKind::Overlay { .. })
    };
    spec.rootfs.is_some()
        && facts.paths.open_tree_namespace
        && spec.dev.value != Dev::Host
        && template::needs_nothing_of_hosts(spec, facts, userns)
        && spec.mounts.len() <= MOST
        && spec.mounts.iter().all(seen)
}

/// What is opened of the host's, and the namespace.
pub(super) fn begin(draft: &Draft<'_>, steps: &mut Steps) {
    let Some(rootfs) = draft.spec.rootfs.as_ref().filter(|_| draft.fresh) else {
        return;
    };
    let origin = &rootfs.origin;
    let open = path::open_host(&rootfs.value.path, LOOK_UP | libc::O_DIRECTORY);
    let action = match rootfs.value.writes {
        Writes::Memory => "open the root".to_owned(),
        _ => format!("open the root filesystem {}", shown(&rootfs.value.path)),
    };
    steps.push(origin, action, open.save(slot::ROOTFS));
    let whole = rootfs.value.writes == Writes::Through;
    let make = tree::namespace_of(slot::ROOTFS, whole).save(slot::NAMESPACE);
    let action = match rootfs.value.writes {
        Writes::Through => format!("make a mount of {}", shown(&rootfs.value.path)),
        _ => "make a mount namespace".to_owned(),
    };
    // The first of its mounts: it comes first in tables of them.
    steps.push(origin, action, make);
    layers(rootfs, steps);
    binds(draft, steps);
    close(origin, slot::ROOTFS, steps);
    let args = [
        Value::Slot(slot::NAMESPACE),
        Value::Flags(NEWNS, libc::CLONE_NEWNS as u64),
    ];
    let join = Call::new("setns", libc::SYS_setns, args);
    steps.push(origin, "join the box's mounts", join);
    close(origin, slot::NAMESPACE, steps);
}

/// The layers of an overlay.
fn layers(rootfs: &Setting<Rootfs>, steps: &mut Steps) {
    let origin = &rootfs.origin;
    if !matches!(rootfs.value.writes, Writes::Discard | Writes::Keep(_)) {
        return;
    }
    let lower = tree::clone_of(slot::ROOTFS, false).save(slot::LOWER);
    steps.push(origin, "make a mount of the lower layer", lower);
    private(origin, slot::LOWER, false, steps);
    if let Writes::Keep(upper) = &rootfs.value.writes {
        let tree = tree::clone_of_callers(upper, false).save(slot::UPPER);
        steps.push(origin, format!("make a mount of {}", shown(upper)), tree);
        private(origin, slot::UPPER, false, steps);
    }
}

fn binds(draft: &Draft<'_>, steps: &mut Steps) {
    for asked in mount::present(draft) {
        let MountKind::Bind {
            source, recursive, ..
        } = &asked.mount.kind
        else {
            continue;
        };
        let slot = idmap::slot_of(asked.index);
        let tree = tree::clone_of_callers(source, *recursive).save(slot);
        steps.push(
            asked.origin,
            format!("make a mount of {}", shown(source)),
            tree,
        );
        if mount::is_plain(draft, asked.mount) {
            private(asked.origin, slot, *recursive, steps);
        }
    }
}

/// A copy of a mount that is shared is a peer of it: what is mounted on it would be mounted on the host.
fn private(origin: &Origin, slot: Slot, recursive: bool, steps: &mut Steps) {
    let call = tree::set_attributes(slot, Attributes::default(), recursive);
    steps.push(origin, "separate it from the host's", call);
}
