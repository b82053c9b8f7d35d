// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root of the box: pivot_root(2).
//!
//! Everything is mounted below a descriptor of the new root while the caller's tree is still there for
//! the sources, and for the kernel, which in a user namespace mounts /proc only where one is to be seen.
//! Then the new root takes the place of the old one, which goes away as a whole.

use std::ffi::CStr;
use std::path::Path;

use clonebox_child::{OnError, Slot};

use super::call::{Call, Value, shown};
use super::draft::Draft;
use super::path::{self, LOOK_UP, close, enter, make_directory, openat};
use super::slot;
use super::step::{Stage, Steps};
use super::{template, tree};
use crate::spec::{Attributes, Origin, Rootfs, Setting, Writes};

/// What statvfs(3) says of a mount, of which a change of its other flags must not take anything.
const KEPT: u64 = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

/// Opens what the caller may see: the working directory, the root filesystem or, without one, the root that
/// is there. A root filesystem of which there is a mount already is mounted on that root, if it is not that root.
pub(super) fn open(draft: &Draft<'_>, steps: &mut Steps) {
    if !draft.mounts() {
        return;
    }
    if keeps_cwd(draft) {
        let open = path::open_host(Path::new("."), LOOK_UP | libc::O_DIRECTORY);
        let action = "open the working directory";
        steps.at(Stage::Once, |steps| {
            steps.push(&Origin::Default, action, open.save(slot::CWD));
        });
    }
    let root = Path::new("/");
    let (origin, path, action, slot) = match &draft.spec.rootfs {
        None => (
            &Origin::Default,
            root,
            "open the root".to_owned(),
            slot::ROOT,
        ),
        Some(rootfs) if draft.has_trees() => (
            &rootfs.origin,
            root,
            "open the root".to_owned(),
            if draft.begins_with_root() {
                slot::ROOT
            } else {
                slot::ROOTFS
            },
        ),
        Some(rootfs) => {
            let path = &rootfs.value.path;
            let action = match rootfs.value.writes {
                Writes::Memory => "open the root".to_owned(),
                _ => format!("open the root filesystem {}", shown(path)),
            };
            (&rootfs.origin, path.as_path(), action, slot::ROOTFS)
        }
    };
    let open = path::open_host(path, LOOK_UP | libc::O_DIRECTORY);
    steps.at(Stage::Once, |steps| {
        steps.push(origin, action, open.save(slot));
    });
}

/// Whether something is about the caller's working directory: paths of the caller's, or the box's start.
fn keeps_cwd(draft: &Draft<'_>) -> bool {
    draft.spec.rootfs.is_none() || !draft.has_trees()
}

/// Makes the root ready: a mount of its own, which a descriptor stands for.
pub(super) fn prepare(draft: &Draft<'_>, steps: &mut Steps) {
    if !draft.mounts() {
        return;
    }
    steps.at(Stage::Once, |steps| {
        // The modes of what is made are meant.
        let umask = Call::new("umask", libc::SYS_umask, [Value::Octal(0)]);
        steps.push(&Origin::Default, "clear the umask", umask.save(slot::UMASK));
        match &draft.spec.rootfs {
            Some(rootfs) if !draft.begins_with_root() => mount(draft, rootfs, steps),
            _ => {}
        }
    });
    if let (Some(split), Some(rootfs)) = (&draft.split, &draft.spec.rootfs) {
        if !split.root_once {
            overlay_in_memory(
                draft,
                rootfs,
                c"lowerdir=/lower,upperdir=upper,workdir=work",
                steps,
            );
        } else if split.store {
            let open = openat(slot::STORE, b"root", LOOK_UP | libc::O_DIRECTORY);
            steps.push(&rootfs.origin, "find the root", open.save(slot::ROOT));
        }
    }
}

fn mount(draft: &Draft<'_>, rootfs: &Setting<Rootfs>, steps: &mut Steps) {
    let origin = &rootfs.origin;
    let shown = shown(&rootfs.value.path);
    if rootfs.value.writes == Writes::Through && !draft.has_trees() {
        // Before anything of ours lies on it.
        let tree = tree::clone_of(slot::ROOTFS, true).save(slot::ROOT);
        steps.push(origin, format!("make a mount of {shown}"), tree);
    }
    template::store(draft, steps);
    match (&rootfs.value.writes, draft.has_store()) {
        (Writes::Through, store) => {
            let attach = if store {
                let place = make_directory(slot::STORE, b"root", 0o755);
                steps.push(origin, "make a place for the root", place);
                tree::attach_at(slot::ROOT, slot::STORE, c"root")
            } else {
                tree::attach(slot::ROOT, slot::ROOTFS)
            };
            steps.push(origin, format!("mount {shown}"), attach);
        }
        (Writes::Memory, _) => {
            tree::memory(origin, slot::ROOT, slot::ROOTFS, Some(c"755"), steps);
        }
        (Writes::Keep(upper), store) => {
            let memory = if store { slot::STORE } else { slot::MEMORY };
            overlay(draft, rootfs, Some(upper), memory, steps);
        }
        (Writes::Discard, false) => overlay(draft, rootfs, None, slot::MEMORY, steps),
        (Writes::Discard, true) => {
            lower_layer(draft, origin, slot::STORE, steps);
            // Not on top of the store itself: what is detached at last is what lies on top.
            let place = make_directory(slot::STORE, b"memory", 0o700);
            steps.push(origin, "make a place for the tmpfs", place);
        }
    }
    if draft.slaves() && draft.root_stage() == Stage::Once {
        let private = tree::set_attributes(slot::ROOT, Attributes::default(), true);
        steps.push(origin, "make the root private", private);
    }
    close(origin, slot::ROOTFS, steps);
}

/// An overlay whose layers are names in a tmpfs: `lower` is the root filesystem, `upper` takes what is
/// written, `work` is the kernel's. Names that are ours need no escaping, whatever the caller's are.
fn overlay(
    draft: &Draft<'_>,
    rootfs: &Setting<Rootfs>,
    keep: Option<&Path>,
    memory: Slot,
    steps: &mut Steps,
) {
    let origin = &rootfs.origin;
    if memory == slot::MEMORY {
        tree::memory(origin, memory, slot::ROOTFS, None, steps);
    }
    lower_layer(draft, origin, memory, steps);
    match keep {
        None => upper_layer(origin, memory, steps),
        Some(upper) => {
            let place = make_directory(memory, b"keep", 0o755);
            steps.push(origin, "make a place for the upper layer", place);
            if !draft.has_trees() {
                let tree = tree::clone_of_path(upper, false).save(slot::UPPER);
                steps.push(origin, format!("make a mount of {}", shown(upper)), tree);
            }
            let attach = tree::attach_at(slot::UPPER, memory, c"keep");
            steps.push(origin, format!("mount {}", shown(upper)), attach);
            upper_layer(origin, slot::UPPER, steps);
            close(origin, slot::UPPER, steps);
        }
    }
    let data = match keep {
        None => c"lowerdir=lower,upperdir=upper,workdir=work",
        Some(_) => c"lowerdir=lower,upperdir=keep/upper,workdir=keep/work",
    };
    put_together(draft, rootfs, memory, data, steps);
}

/// The overlay of one launch, over a lower layer that lies ready.
fn overlay_in_memory(
    draft: &Draft<'_>,
    rootfs: &Setting<Rootfs>,
    data: &'static CStr,
    steps: &mut Steps,
) {
    let origin = &rootfs.origin;
    let place = openat(slot::STORE, b"memory", LOOK_UP | libc::O_DIRECTORY);
    steps.push(
        origin,
        "find a place for the tmpfs",
        place.save(slot::ROOTFS),
    );
    tree::memory(origin, slot::MEMORY, slot::ROOTFS, None, steps);
    close(origin, slot::ROOTFS, steps);
    upper_layer(origin, slot::MEMORY, steps);
    put_together(draft, rootfs, slot::MEMORY, data, steps);
}

fn lower_layer(draft: &Draft<'_>, origin: &Origin, memory: Slot, steps: &mut Steps) {
    let place = make_directory(memory, b"lower", 0o755);
    steps.push(origin, "make a place for the lower layer", place);
    if !draft.has_trees() {
        let lower = tree::clone_of(slot::ROOTFS, false).save(slot::LOWER);
        steps.push(origin, "make a mount of the lower layer", lower);
    }
    let attach = tree::attach_at(slot::LOWER, memory, c"lower");
    steps.push(origin, "mount the lower layer", attach);
    close(origin, slot::LOWER, steps);
}

fn upper_layer(origin: &Origin, place: Slot, steps: &mut Steps) {
    for (name, action) in [
        ("upper", "make the upper layer"),
        ("work", "make the overlay's working directory"),
    ] {
        let make = make_directory(place, name.as_bytes(), 0o755);
        steps.push(origin, action, make.on_error(OnError::Ignore(libc::EEXIST)));
    }
}

fn put_together(
    draft: &Draft<'_>,
    rootfs: &Setting<Rootfs>,
    memory: Slot,
    data: &'static CStr,
    steps: &mut Steps,
) {
    let origin = &rootfs.origin;
    let place = make_directory(memory, b"root", 0o755);
    steps.push(origin, "make a place for the root", place);
    enter(origin, memory, "the layers", steps);
    // In a user namespace the overlay's own attributes are the user's: trusted ones would be root's.
    let data = match draft.userns {
        None => data.into(),
        Some(_) => {
            let mut text = data.to_bytes().to_vec();
            text.extend_from_slice(b",userxattr");
            super::exec::c_string(text).into()
        }
    };
    let mount = tree::mount(Some(c"overlay"), c"root", Some(c"overlay"), 0, Some(data));
    let shown = shown(&rootfs.value.path);
    steps.push(origin, format!("mount an overlay over {shown}"), mount);
    let open = openat(
        memory,
        b"root",
        LOOK_UP | libc::O_DIRECTORY | libc::O_NOFOLLOW,
    );
    steps.push(origin, "open the root", open.save(slot::ROOT));
    if memory == slot::MEMORY {
        close(origin, memory, steps);
    }
}

/// Makes the root read-only, as the last that is done to it.
pub(super) fn read_only(draft: &Draft<'_>, steps: &mut Steps) {
    let Some(origin) = &draft.spec.read_only else {
        return;
    };
    steps.at(draft.root_stage(), |steps| {
        set_read_only(draft, origin, steps);
    });
}

fn set_read_only(draft: &Draft<'_>, origin: &Origin, steps: &mut Steps) {
    let action = "make the root read-only";
    if draft.facts.paths.mount_setattr {
        let attributes = Attributes {
            read_only: true,
            ..Attributes::default()
        };
        let call = tree::set_attributes(slot::ROOT, attributes, false);
        steps.push(origin, action, call);
        return;
    }
    enter(origin, slot::ROOT, "the root", steps);
    let kept = draft.facts.paths.root_flags & KEPT;
    let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | kept;
    let call = tree::mount(None, c".", None, flags, None);
    steps.push(origin, action, call);
}

/// The new root takes the place of the old one, on top of which it lies for a moment, as pivot_root(2)
/// describes it: no directory for the old one is needed. Of the old one nothing stays.
pub(super) fn pivot(draft: &Draft<'_>, steps: &mut Steps) {
    if !draft.mounts() {
        return;
    }
    match &draft.spec.rootfs {
        Some(_) if draft.begins_with_root() => template::enter_root(draft, steps),
        Some(_) if draft.split.is_some() && !draft.has_store() => {
            template::enter_root(draft, steps);
        }
        None => {
            close(&Origin::Default, slot::ROOT, steps);
            enter(&Origin::Default, slot::CWD, "the working directory", steps);
            close(&Origin::Default, slot::CWD, steps);
        }
        Some(rootfs) => {
            if draft.split.is_some() {
                close(&rootfs.origin, slot::STORE, steps);
            } else if keeps_cwd(draft) {
                close(&rootfs.origin, slot::CWD, steps);
            }
            change(draft, rootfs, steps);
        }
    }
    let umask = Call::new("umask", libc::SYS_umask, [Value::Slot(slot::UMASK)]);
    steps.push(&Origin::Default, "set the umask again", umask);
}

fn change(draft: &Draft<'_>, rootfs: &Setting<Rootfs>, steps: &mut Steps) {
    let (origin, rootfs) = (&rootfs.origin, &rootfs.value);
    enter(origin, slot::ROOT, "the root", steps);
    close(origin, slot::ROOT, steps);
    let args = [Value::Static(c"."), Value::Static(c".")];
    let pivot = Call::new("pivot_root", libc::SYS_pivot_root, args);
    let action = match rootfs.writes {
        Writes::Memory => "make the tmpfs the root".to_owned(),
        _ => format!("make {} the root", shown(&rootfs.path)),
    };
    steps.push(origin, action, pivot);
    // The layers of an overlay lie on top of the old root: see `open`.
    let layers = matches!(rootfs.writes, Writes::Discard | Writes::Keep(_));
    if draft.has_trees() && layers {
        steps.push(origin, "leave the layers", tree::detach());
    }
    steps.push(origin, "leave the old root", tree::detach());
    let chdir = Call::new("chdir", libc::SYS_chdir, [Value::Static(c"/")]);
    steps.push(origin, "enter the root", chdir);
}
