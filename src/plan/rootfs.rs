// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root of the box: pivot_root(2).
//!
//! Everything is mounted below a descriptor of the new root while the caller's tree is still there for
//! the sources, and for the kernel, which in a user namespace mounts /proc only where one is to be seen.
//! Then the new root takes the place of the old one, which goes away as a whole.

use std::path::Path;

use clonebox_child::OnError;

use super::call::{Call, Value, shown};
use super::draft::Draft;
use super::path::{self, LOOK_UP, close, enter, make_directory, openat};
use super::step::{Steps, slot};
use super::tree;
use crate::spec::{Attributes, Origin, Rootfs, Setting, Writes};

/// What statvfs(3) says of a mount, of which a change of its other flags must not take anything.
const KEPT: u64 = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

/// Makes the root ready: a mount of its own, which a descriptor stands for. Without a root filesystem it
/// is the one that is there.
pub(super) fn prepare(draft: &Draft<'_>, steps: &mut Steps) {
    if !draft.mounts() {
        return;
    }
    let spec = draft.spec;
    let open = path::open_host(Path::new("."), LOOK_UP | libc::O_DIRECTORY);
    let action = "open the working directory";
    steps.push(&Origin::Default, action, open.save(slot::CWD));
    // The modes of what is made are meant.
    let umask = Call::new("umask", libc::SYS_umask, [Value::Octal(0)]);
    steps.push(&Origin::Default, "clear the umask", umask.save(slot::UMASK));
    match &spec.rootfs {
        Some(rootfs) => mount(draft, rootfs, steps),
        None => {
            let open = path::open_host(Path::new("/"), LOOK_UP | libc::O_DIRECTORY);
            steps.push(&Origin::Default, "open the root", open.save(slot::ROOT));
        }
    }
}

fn mount(draft: &Draft<'_>, rootfs: &Setting<Rootfs>, steps: &mut Steps) {
    let origin = &rootfs.origin;
    let path = &rootfs.value.path;
    let open = path::open_host(path, LOOK_UP | libc::O_DIRECTORY);
    let shown = shown(path);
    steps.push(
        origin,
        format!("open the root filesystem {shown}"),
        open.save(slot::ROOTFS),
    );
    match &rootfs.value.writes {
        Writes::Through => {
            let tree = tree::clone_of(slot::ROOTFS, true).save(slot::ROOT);
            steps.push(origin, format!("make a mount of {shown}"), tree);
            let attach = tree::attach(slot::ROOT, slot::ROOTFS);
            steps.push(origin, format!("mount {shown}"), attach);
        }
        Writes::Discard => overlay(draft, rootfs, None, steps),
        Writes::Keep(upper) => overlay(draft, rootfs, Some(upper), steps),
    }
    if draft.slaves() {
        let private = tree::set_attributes(slot::ROOT, Attributes::default(), true);
        steps.push(origin, "make the root private", private);
    }
    close(origin, slot::ROOTFS, steps);
}

/// An overlay whose layers are names in a tmpfs: `lower` is the root filesystem, `upper` takes what is
/// written, `work` is the kernel's. Names that are ours need no escaping, whatever the caller's are.
fn overlay(draft: &Draft<'_>, rootfs: &Setting<Rootfs>, keep: Option<&Path>, steps: &mut Steps) {
    let origin = &rootfs.origin;
    tree::memory(origin, slot::ROOTFS, steps);
    let mut push = |action: &str, call| steps.push(origin, action.to_owned(), call);
    for (name, action) in [
        ("lower", "make a place for the lower layer"),
        ("root", "make a place for the root"),
    ] {
        push(action, make_directory(slot::MEMORY, name.as_bytes(), 0o755));
    }
    let lower = tree::clone_of(slot::ROOTFS, false).save(slot::TREE);
    push("make a mount of the lower layer", lower);
    let attach = tree::attach_at(slot::TREE, slot::MEMORY, c"lower");
    push("mount the lower layer", attach);
    push(
        "close a descriptor",
        Call::new("close", libc::SYS_close, [Value::Slot(slot::TREE)]),
    );
    let data = match keep {
        None => c"lowerdir=lower,upperdir=upper,workdir=work",
        Some(_) => c"lowerdir=lower,upperdir=keep/upper,workdir=keep/work",
    };
    let place = match keep {
        None => slot::MEMORY,
        Some(upper) => {
            push(
                "make a place for the upper layer",
                make_directory(slot::MEMORY, b"keep", 0o755),
            );
            let tree = tree::clone_of_path(upper, false).save(slot::TREE);
            push(&format!("make a mount of {}", shown(upper)), tree);
            let attach = tree::attach_at(slot::TREE, slot::MEMORY, c"keep");
            push(&format!("mount {}", shown(upper)), attach);
            slot::TREE
        }
    };
    for (name, action) in [
        ("upper", "make the upper layer"),
        ("work", "make the overlay's working directory"),
    ] {
        let make = make_directory(place, name.as_bytes(), 0o755);
        push(action, make.on_error(OnError::Ignore(libc::EEXIST)));
    }
    if keep.is_some() {
        close(origin, slot::TREE, steps);
    }
    enter(origin, slot::MEMORY, "the layers", steps);
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
        slot::MEMORY,
        b"root",
        LOOK_UP | libc::O_DIRECTORY | libc::O_NOFOLLOW,
    );
    steps.push(origin, "open the root", open.save(slot::ROOT));
    close(origin, slot::MEMORY, steps);
}

/// Makes the root read-only, as the last that is done to it.
pub(super) fn read_only(draft: &Draft<'_>, steps: &mut Steps) {
    let Some(origin) = &draft.spec.read_only else {
        return;
    };
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
        None => {
            close(&Origin::Default, slot::ROOT, steps);
            enter(&Origin::Default, slot::CWD, "the working directory", steps);
            close(&Origin::Default, slot::CWD, steps);
        }
        Some(rootfs) => change(&rootfs.origin, &rootfs.value.path, steps),
    }
    let umask = Call::new("umask", libc::SYS_umask, [Value::Slot(slot::UMASK)]);
    steps.push(&Origin::Default, "set the umask again", umask);
}

fn change(origin: &Origin, path: &Path, steps: &mut Steps) {
    close(origin, slot::CWD, steps);
    enter(origin, slot::ROOT, "the root", steps);
    close(origin, slot::ROOT, steps);
    let args = [Value::Static(c"."), Value::Static(c".")];
    let pivot = Call::new("pivot_root", libc::SYS_pivot_root, args);
    let action = format!("make {} the root", shown(path));
    steps.push(origin, action, pivot);
    steps.push(origin, "leave the old root", tree::detach());
    let chdir = Call::new("chdir", libc::SYS_chdir, [Value::Static(c"/")]);
    steps.push(origin, "enter the root", chdir);
}
