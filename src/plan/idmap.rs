// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mounts that the launch makes before the clone and hands to the child: in a user namespace, of a caller
//! who may mount.
//!
//! The caller may see what the child may not, which has no privilege over the host's files any more. And
//! only a caller who has CAP_SYS_ADMIN over a filesystem maps the ids of a mount of it: with an idmapped
//! mount a file of the id 5 on the disk is one of the id 5 of the box, whatever that is outside. See
//! mount_setattr(2), `MOUNT_ATTR_IDMAP`.

use std::path::{Path, PathBuf};

use clonebox_child::{SLOTS, Slot};

use super::call::shown;
use super::draft::Draft;
use super::mount;
use super::slot;
use super::userns::Userns;
use crate::spec::{
    MountKind, Origin, Propagation, Rootfs, Setting, Violation, Writes, container_of,
};

/// A copy of a mount, or of all below it.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) slot: Slot,
    pub(crate) path: PathBuf,
    pub(crate) recursive: bool,
    /// Its files have the ids of the box.
    pub(crate) idmap: bool,
    /// Later mounts of the host appear in it.
    pub(crate) slave: bool,
    pub(crate) origin: Origin,
}

/// How many binds a box may have for which the launch makes mounts. Our own limit: each is an open
/// descriptor, of which a process commonly has 1,024.
const MOST: usize = SLOTS - slot::FIRST_TREE as usize;

/// The slot of the mount of this index among those that were asked for.
pub(super) fn slot_of(mount: usize) -> Slot {
    Slot(slot::FIRST_TREE + u16::try_from(mount).unwrap_or(u16::MAX))
}

/// Which mounts the launch makes; what it cannot.
pub(super) fn decide(draft: &Draft<'_>) -> Result<Vec<Tree>, Vec<Violation>> {
    let spec = draft.spec;
    let mut trees = Vec::new();
    let mut found = Vec::new();
    let mut refuse = |origin: &Origin, reason: &str| {
        found.push(Violation {
            reason: reason.to_owned(),
            origin: origin.clone(),
        });
    };
    if let Some(mount) = spec
        .mounts
        .iter()
        .find(|mount| mount.value.attributes.idmap)
    {
        if draft.userns.is_none() {
            refuse(
                &mount.origin,
                "the box has no ids of its own to be mapped: --userns auto gives it some",
            );
        } else if !draft.mounts_before() {
            refuse(&mount.origin, missing(draft));
        }
    }
    if let (Some(userns), Some(rootfs)) = (&draft.userns, &spec.rootfs) {
        root(draft, userns, rootfs, &mut trees, &mut refuse);
    }
    if draft.mounts_before() {
        binds(draft, &mut trees);
        if let Some(first) = spec.mounts.get(MOST) {
            refuse(
                &first.origin,
                &format!("with a user namespace a box of root has at most {MOST} mounts"),
            );
        }
    }
    if found.is_empty() {
        Ok(trees)
    } else {
        Err(found)
    }
}

/// Why the launch maps no ids.
fn missing(draft: &Draft<'_>) -> &'static str {
    if draft.facts.paths.mount_setattr {
        "only a caller with CAP_SYS_ADMIN maps the ids of a mount: run with sudo"
    } else {
        "this kernel cannot map the ids of a mount: mount_setattr(2) is there since Linux 5.12"
    }
}

/// The root filesystem, and what is written over it. A directory that belongs to somebody of the box has
/// been made for it: those of others are mapped.
fn root(
    draft: &Draft<'_>,
    userns: &Userns,
    rootfs: &Setting<Rootfs>,
    trees: &mut Vec<Tree>,
    refuse: &mut impl FnMut(&Origin, &str),
) {
    let upper = match &rootfs.value.writes {
        Writes::Memory => return,
        Writes::Keep(upper) => Some(upper),
        Writes::Through | Writes::Discard => None,
    };
    let through = rootfs.value.writes == Writes::Through;
    let directories = [
        (
            if through { slot::ROOT } else { slot::LOWER },
            Some(&rootfs.value.path),
        ),
        (slot::UPPER, upper),
    ];
    let facts = &draft.facts.paths;
    let looked_at = facts.root_owners.into_iter().zip(facts.own_root);
    for ((slot, path), (owner, own_root)) in directories.into_iter().zip(looked_at) {
        let Some(path) = path else { continue };
        let strange = owner.is_some_and(|owner| container_of(&userns.maps.uids, owner).is_none());
        if draft.mounts_before() && strange && own_root {
            refuse(&rootfs.origin, &is_own(path, userns));
        } else if draft.mounts_before() {
            trees.push(Tree {
                slot,
                path: Path::to_owned(path),
                recursive: through,
                idmap: strange,
                slave: draft.slaves(),
                origin: rootfs.origin.clone(),
            });
        } else if strange && draft.facts.uid == 0 {
            let path = shown(path);
            let why = missing(draft);
            refuse(
                &rootfs.origin,
                &format!(
                    "{path} belongs to nobody of the box's user namespace ({}), and {why}",
                    userns.origin
                ),
            );
        }
    }
}

/// With its ids mapped, root of the box would be root in it.
fn is_own(path: &Path, userns: &Userns) -> String {
    format!(
        "the caller's own root is in {}, whose files would be those of root of the box ({}): \
         --rootfs system has the programs of it, read-only",
        shown(path),
        userns.origin
    )
}

fn binds(draft: &Draft<'_>, trees: &mut Vec<Tree>) {
    for asked in mount::present(draft) {
        let MountKind::Bind {
            source, recursive, ..
        } = &asked.mount.kind
        else {
            continue;
        };
        let attributes = &asked.mount.attributes;
        trees.push(Tree {
            slot: slot_of(asked.index),
            path: source.clone(),
            recursive: *recursive,
            idmap: attributes.idmap,
            slave: attributes.propagation == Propagation::Slave,
            origin: asked.origin.clone(),
        });
    }
}
