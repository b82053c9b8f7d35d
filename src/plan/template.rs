// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mounts that a template makes once, in a mount namespace of its own. See mount_namespaces(7), setns(2).
//!
//! A clone with `CLONE_NEWNS` copies every mount of the host, only for most of them to be thrown away. So the
//! steps are split. Those of [`Stage::Once`] run in a child of their own, which ends by sending its mount
//! namespace; those of [`Stage::Each`] join that namespace, take a copy of it, which is small, and make what
//! must be new: what a box can write to without the caller's word, and what shows its processes.
//!
//! The root of that namespace is the box's, or, where a launch has something to put together, a tmpfs with
//! the parts, the *store*: the root, or the lower layer of an overlay that forgets, and binds whose place
//! is in something new. Then the launch ends in pivot_root(2), as without a template.

use std::path::Path;

use super::call::{Call, Value};
use super::draft::Draft;
use super::facts::HostFacts;
use super::fresh::NEWNS;
use super::path::{self, LOOK_UP, close, cwd, enter};
use super::slot;
use super::step::{Stage, Steps};
use super::{death, tree};
use crate::spec::{Dev, Mount, MountKind, Origin, Spec, Writes};

const CAP_SYS_CHROOT: u8 = 18;
const CAP_MKNOD: u8 = 27;

/// What of a split plan is made when.
#[derive(Clone, Debug)]
pub(super) struct Split {
    /// The root is made once: it is no overlay that forgets.
    pub(super) root_once: bool,
    /// There is a store.
    pub(super) store: bool,
    /// Of each mount that was asked for, when its place is made, and when it is put there.
    stages: Vec<[Stage; 2]>,
}

/// Whether the mounts can be made once, and which. `None` for a box on the caller's root, whose mounts are
/// those of the host and as many; for a root in memory, which is new in each box; with a user namespace, because a child in one may not join a mount
/// namespace of its caller's; and where a launch would need files of the host that it cannot see any more.
pub(super) fn decide(spec: &Spec, facts: &HostFacts, userns: bool) -> Option<Split> {
    let rootfs = &spec.rootfs.as_ref()?.value;
    if rootfs.writes == Writes::Memory {
        return None;
    }
    let root_once = rootfs.writes != Writes::Discard;
    if !needs_nothing_of_hosts(spec, facts, userns) || spec.dev.value == Dev::Host && !root_once {
        return None;
    }
    let stages = stages(spec, facts, root_once)?;
    let mut all = spec.mounts.iter().zip(&stages);
    let waits = all.any(|(mount, stages)| is_shared(&mount.value) && stages[1] == Stage::Each);
    Some(Split {
        root_once,
        store: !root_once || waits,
        stages,
    })
}

/// Whether a child that has joined another mount namespace than the caller's can make what is new in each box,
/// but for the host's /dev.
pub(super) fn needs_nothing_of_hosts(spec: &Spec, facts: &HostFacts, userns: bool) -> bool {
    let paths = &facts.paths;
    let dev = match spec.dev.value {
        Dev::Minimal => facts.effective.contains(CAP_MKNOD),
        Dev::Host => true,
        Dev::None => !spec.proc.value,
    };
    let sys = paths.own_network || !spec.namespaces.net.value.is_callers();
    // What covers a file of /sys is the caller's null device.
    let masks = &spec.masks.mask;
    let sys = sys && !masks.iter().any(|mask| mask.value.starts_with("/sys"));
    !userns
        && paths.initial_user_namespace
        && facts.effective.contains(CAP_SYS_CHROOT)
        && paths.openat2
        && paths.mount_setattr
        && dev
        && sys
}

/// Whether all launches may have the same mount: it cannot be written to, or what is written goes where the
/// caller has said.
fn is_shared(mount: &Mount) -> bool {
    match mount.kind {
        MountKind::Bind { .. } | MountKind::Overlay { .. } => true,
        MountKind::File { .. } => mount.attributes.read_only,
        MountKind::Tmpfs { .. }
        | MountKind::Proc
        | MountKind::Sysfs
        | MountKind::Devpts
        | MountKind::Mqueue => false,
    }
}

/// A mount is put into its place once unless one that comes before it, and is made at each launch, is above
/// or below that place. `None` if that is not known.
fn stages(spec: &Spec, facts: &HostFacts, root_once: bool) -> Option<Vec<[Stage; 2]>> {
    let mut new: Vec<&Path> = vec![Path::new("/proc"), Path::new("/dev"), Path::new("/sys")];
    let stage = |once| if once { Stage::Once } else { Stage::Each };
    let mut stages = Vec::new();
    for (mount, facts) in spec.mounts.iter().zip(&facts.paths.mounts) {
        let place = facts.place.as_deref()?;
        let above = new.iter().any(|new| place.starts_with(new));
        let below = new.iter().any(|new| new.starts_with(place));
        let once = root_once && is_shared(&mount.value) && !above && !below;
        stages.push([stage(root_once && !above), stage(once)]);
        if !once {
            new.push(place);
        }
    }
    Some(stages)
}

impl Draft<'_> {
    /// When something is done to the root.
    pub(super) fn root_stage(&self) -> Stage {
        match &self.split {
            Some(split) if !split.root_once => Stage::Each,
            _ => Stage::Once,
        }
    }

    /// When the place of the mount with this index is made.
    pub(super) fn make_stage(&self, index: usize) -> Stage {
        let split = self.split.as_ref();
        let stages = split.and_then(|split| split.stages.get(index));
        stages.map_or(Stage::Each, |stages| stages[0])
    }

    pub(super) fn has_store(&self) -> bool {
        self.split.as_ref().is_some_and(|split| split.store)
    }

    /// The name in the store of the mount with this index, if that is where it waits.
    pub(super) fn stored(&self, index: usize) -> Option<String> {
        let split = self.split.as_ref()?;
        let mount = &self.spec.mounts.get(index)?.value;
        let waits = is_shared(mount) && split.stages.get(index)?[1] == Stage::Each;
        waits.then(|| index.to_string())
    }
}

/// The beginning of both lists.
pub(super) fn begin(draft: &Draft<'_>, steps: &mut Steps) {
    if draft.split.is_none() {
        return;
    }
    let origin = draft.rootfs_origin();
    steps.at(Stage::Once, |steps| {
        death::arm(draft, steps);
        let session = Call::new("setsid", libc::SYS_setsid, []);
        steps.push(origin, "begin a session", session);
        death::look(draft, steps);
        let args = [
            cwd(),
            Value::Static(c"/proc/self/ns/mnt"),
            Value::Open(libc::O_RDONLY | libc::O_CLOEXEC),
        ];
        let open = Call::new("openat", libc::SYS_openat, args);
        let action = "open the mount namespace";
        steps.push(origin, action, open.save(slot::PTMX));
    });
    let flags = || Value::Flags(NEWNS, libc::CLONE_NEWNS as u64);
    let join = Call::new(
        "setns",
        libc::SYS_setns,
        [Value::Slot(slot::NAMESPACE), flags()],
    );
    steps.push(origin, "join the template's mounts", join);
    let copy = Call::new("unshare", libc::SYS_unshare, [flags()]);
    steps.push(origin, "copy the template's mounts", copy);
    let umask = Call::new("umask", libc::SYS_umask, [Value::Octal(0)]);
    steps.push(&Origin::Default, "clear the umask", umask.save(slot::UMASK));
    let root = if draft.has_store() {
        slot::STORE
    } else {
        slot::ROOT
    };
    let open = path::open_host(Path::new("/"), LOOK_UP | libc::O_DIRECTORY);
    steps.push(origin, "open the root", open.save(root));
}

/// The store, on top of the directory that becomes the root.
pub(super) fn store(draft: &Draft<'_>, steps: &mut Steps) {
    if draft.has_store() {
        let origin = draft.rootfs_origin();
        tree::memory(origin, slot::STORE, slot::ROOTFS, None, steps);
    }
}

/// The end of the first list: the namespace's root, and the namespace on its way.
pub(super) fn send(draft: &Draft<'_>, steps: &mut Steps) {
    if draft.split.is_none() {
        return;
    }
    let origin = draft.rootfs_origin();
    steps.at(Stage::Once, |steps| {
        let (root, what) = if draft.has_store() {
            (slot::STORE, "the store")
        } else {
            (slot::ROOT, "the root")
        };
        enter(origin, root, what, steps);
        let args = [Value::Static(c"."), Value::Static(c".")];
        let pivot = Call::new("pivot_root", libc::SYS_pivot_root, args);
        steps.push(origin, format!("make {what} the root"), pivot);
        steps.push(origin, "leave the old root", tree::detach());
        let args = [
            Value::Slot(slot::DOOR.socket),
            Value::Slot(slot::DOOR.message),
            Value::Name("MSG_NOSIGNAL", libc::MSG_NOSIGNAL as usize),
        ];
        let send = Call::new("sendmsg", libc::SYS_sendmsg, args);
        steps.push(origin, "send the mount namespace", send);
        let exit = Call::new("exit_group", libc::SYS_exit_group, [Value::Int(0)]);
        steps.push(origin, "end", exit);
    });
}

/// What the namespace has as its root becomes the box's, if it is that.
pub(super) fn enter_root(draft: &Draft<'_>, steps: &mut Steps) {
    let origin = draft.rootfs_origin();
    close(origin, slot::ROOT, steps);
    let chdir = Call::new("chdir", libc::SYS_chdir, [Value::Static(c"/")]);
    steps.push(origin, "enter the root", chdir);
}
