// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mounts. See mount(2), mount_namespaces(7).

use std::ffi::CStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clonebox_child::Slot;

use super::call::{Call, Value, shown};
use super::draft::Draft;
use super::exec::c_string;
use super::facts::{MountFacts, SourceKind};
use super::idmap;
use super::path::{self, LOOK_UP, Links, close, components, enter, make_directory, make_file};
use super::slot;
use super::step::{Stage, Steps};
use super::tree;
use crate::spec::{Attributes, Mount, MountKind, Origin, Propagation, Setting};

/// `/` recursively private: no mount of the box reaches the host, nor one of the host the box. If a bind
/// is to get mounts of the host, everything can, until all others are made private one by one.
pub(super) fn private(draft: &Draft<'_>, steps: &mut Steps) {
    if draft.spec.join.is_some() {
        return;
    }
    let slave = draft
        .spec
        .mounts
        .iter()
        .find(|mount| mount.value.attributes.propagation == Propagation::Slave);
    let (flag, origin, action) = match slave {
        None => (
            libc::MS_PRIVATE,
            &Origin::Default,
            "make all mounts private",
        ),
        Some(mount) => (libc::MS_SLAVE, &mount.origin, "let no mount reach the host"),
    };
    let call = tree::mount(None, c"/", None, libc::MS_REC | flag, None);
    // A copy of a template's mounts is as they are.
    steps.at(Stage::Once, |steps| steps.push(origin, action, call));
}

/// A mount that was asked for, and what is known of it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) index: usize,
    pub(super) origin: &'a Origin,
    pub(super) mount: &'a Mount,
    facts: &'a MountFacts,
}

/// The mounts that were asked for, in that order, without those whose source may be missing and is.
pub(super) fn present<'a>(draft: &Draft<'a>) -> impl Iterator<Item = Asked<'a>> {
    let mounts = draft.spec.mounts.iter().zip(&draft.facts.paths.mounts);
    let mounts = mounts.enumerate();
    mounts.filter_map(|(index, (Setting { value, origin }, facts))| {
        let optional = matches!(value.kind, MountKind::Bind { optional: true, .. });
        let asked = Asked {
            index,
            origin,
            mount: value,
            facts,
        };
        (!optional || facts.source != SourceKind::Missing).then_some(asked)
    })
}

/// Makes them.
pub(super) fn asked(draft: &Draft<'_>, steps: &mut Steps) {
    for asked in present(draft) {
        match draft.stored(asked.index) {
            Some(name) => stored(draft, asked, &name, steps),
            None => one(draft, asked, steps),
        }
    }
}

/// A mount whose place is not there before the launch: it waits in the store.
fn stored(draft: &Draft<'_>, asked: Asked<'_>, name: &str, steps: &mut Steps) {
    let Asked {
        origin,
        mount,
        facts,
        ..
    } = asked;
    let recursive = matches!(
        mount.kind,
        MountKind::Bind {
            recursive: true,
            ..
        }
    );
    steps.at(Stage::Once, |steps| {
        let place = match facts.source {
            SourceKind::File => make_file(slot::STORE, name.as_bytes(), 0o600),
            _ => make_directory(slot::STORE, name.as_bytes(), 0o700),
        };
        steps.push(origin, "make a place for the mount", place);
        if let MountKind::Overlay { lower, upper } = &mount.kind {
            let open = path::openat(slot::STORE, name.as_bytes(), LOOK_UP | libc::O_DIRECTORY);
            steps.push(origin, "find that place", open.save(slot::TARGET));
            overlay(draft, asked, lower, upper.as_ref(), steps);
        } else {
            tree_of(draft, asked, steps);
            let name = c_string(name.as_bytes().to_vec());
            let attach = tree::attach_at(slot::TREE, slot::STORE, name);
            steps.push(origin, "mount it there", attach);
            close(origin, slot::TREE, steps);
        }
    });
    let name = c_string(name.as_bytes().to_vec());
    let tree = tree::clone_in(slot::STORE, name, recursive).save(slot::TREE);
    let what = source_of(mount);
    steps.push(origin, format!("make a mount of {what}"), tree);
    put(draft, asked, steps);
}

fn one(draft: &Draft<'_>, asked: Asked<'_>, steps: &mut Steps) {
    let mount = asked.mount;
    let mut new = |kind: &'static CStr, data: String| {
        filesystem(draft, asked, kind, data, steps);
    };
    match &mount.kind {
        MountKind::Bind { .. } => steps.at(Stage::Once, |steps| {
            tree_of(draft, asked, steps);
            put(draft, asked, steps);
        }),
        MountKind::File { .. } => {
            let stage = if mount.attributes.read_only {
                Stage::Once
            } else {
                Stage::Each
            };
            steps.at(stage, |steps| {
                tree_of(draft, asked, steps);
                put(draft, asked, steps);
            });
        }
        MountKind::Overlay { lower, upper } => steps.at(Stage::Once, |steps| {
            place(draft, asked, false, steps);
            overlay(draft, asked, lower, upper.as_ref(), steps);
        }),
        MountKind::Tmpfs { size, mode } => {
            let mut data = format!("mode={:o}", mode.unwrap_or(0o755));
            if let Some(size) = size {
                // Writing to a String does not fail.
                let _ = write!(data, ",size={size}");
            }
            new(c"tmpfs", data);
        }
        MountKind::Proc => new(c"proc", String::new()),
        MountKind::Sysfs => new(c"sysfs", String::new()),
        MountKind::Mqueue => new(c"mqueue", String::new()),
        MountKind::Devpts => new(c"devpts", "newinstance,ptmxmode=0666,mode=0620".to_owned()),
    }
}

/// An overlay on the place in [`slot::TARGET`].
fn overlay(
    draft: &Draft<'_>,
    asked: Asked<'_>,
    lower: &[PathBuf],
    upper: Option<&(PathBuf, PathBuf)>,
    steps: &mut Steps,
) {
    let Asked { origin, mount, .. } = asked;
    let mut data = layers(lower, upper);
    if draft.userns.is_some() {
        data.extend_from_slice(b",userxattr");
    }
    enter(origin, slot::TARGET, "it", steps);
    close(origin, slot::TARGET, steps);
    let flags = tree::mount_flags(mount.attributes);
    let data = Some(c_string(data).into());
    let call = tree::mount(Some(c"overlay"), c".", Some(c"overlay"), flags, data);
    steps.push(origin, action("overlay", &mount.target), call);
}

fn action(what: &str, target: &Path) -> String {
    format!("mount {what} on {}", shown(target))
}

/// Opens the target, and makes what is missing of it.
fn place(draft: &Draft<'_>, asked: Asked<'_>, file: bool, steps: &mut Steps) {
    let Asked {
        index,
        origin,
        mount,
        facts,
    } = asked;
    let names = components(&mount.target);
    if facts.creatable && !facts.exists {
        let stays = facts.in_root;
        steps.at(draft.make_stage(index), |steps| {
            path::make(draft, origin, &names, facts.known, file, stays, steps);
        });
    }
    path::open(draft, origin, &names, Links::Inside, slot::TARGET, steps);
}

/// A filesystem of the kernel's on a directory.
fn filesystem(
    draft: &Draft<'_>,
    asked: Asked<'_>,
    kind: &'static CStr,
    data: String,
    steps: &mut Steps,
) {
    let Asked { origin, mount, .. } = asked;
    place(draft, asked, false, steps);
    enter(origin, slot::TARGET, "it", steps);
    close(origin, slot::TARGET, steps);
    let flags = tree::mount_flags(mount.attributes);
    let data = (!data.is_empty()).then(|| c_string(data.into_bytes()).into());
    let call = tree::mount(Some(kind), c".", Some(kind), flags, data);
    steps.push(origin, action(&kind.to_string_lossy(), &mount.target), call);
}

/// Where the mount of a bind's source, or of a file, is until it is where it belongs.
fn slot_of(draft: &Draft<'_>, asked: Asked<'_>) -> Slot {
    match asked.mount.kind {
        MountKind::Bind { .. } if draft.has_trees() => idmap::slot_of(asked.index),
        _ => slot::TREE,
    }
}

/// Makes a mount of a bind's source, or of a file, with its attributes.
fn tree_of(draft: &Draft<'_>, asked: Asked<'_>, steps: &mut Steps) {
    let Asked {
        origin,
        mount,
        facts,
        ..
    } = asked;
    let slot = slot_of(draft, asked);
    let mut all = false;
    match &mount.kind {
        MountKind::Bind {
            source, recursive, ..
        } => {
            all = *recursive;
            if !draft.has_trees() {
                let tree = tree::clone_of_path(source, all).save(slot);
                let action = format!("make a mount of {}", shown(source));
                steps.push(origin, action, tree);
            }
        }
        MountKind::File { data, mode } => file(draft, asked, data, *mode, steps),
        _ => {}
    }
    let attributes = mount.attributes;
    if is_plain(draft, mount) {
    } else if draft.facts.paths.mount_setattr {
        let call = tree::set_attributes(slot, attributes, all);
        steps.push(origin, "set the mount's attributes", call);
    } else {
        remount(origin, attributes, facts, is_file(mount, facts), steps);
    }
}

/// Puts that mount where it belongs.
fn put(draft: &Draft<'_>, asked: Asked<'_>, steps: &mut Steps) {
    let Asked {
        origin,
        mount,
        facts,
        ..
    } = asked;
    let slot = slot_of(draft, asked);
    place(draft, asked, is_file(mount, facts), steps);
    let attach = tree::attach(slot, slot::TARGET);
    steps.push(origin, action(&source_of(mount), &mount.target), attach);
    close(origin, slot::TARGET, steps);
    close(origin, slot, steps);
    if !is_plain(draft, mount) && !draft.facts.paths.mount_setattr {
        tree::forget_memory(origin, steps);
    }
}

/// Whether a mount has no attributes to be set here: ids have been mapped by whoever made it.
pub(super) fn is_plain(draft: &Draft<'_>, mount: &Mount) -> bool {
    let attributes = Attributes {
        idmap: false,
        ..mount.attributes
    };
    attributes == Attributes::default() && !draft.slaves()
}

fn is_file(mount: &Mount, facts: &MountFacts) -> bool {
    facts.source == SourceKind::File || matches!(mount.kind, MountKind::File { .. })
}

fn source_of(mount: &Mount) -> String {
    match &mount.kind {
        MountKind::Bind { source, .. } => shown(source),
        MountKind::Overlay { .. } => "overlay".to_owned(),
        _ => "a file".to_owned(),
    }
}

/// What mount_setattr(2) does, for kernels without: each mount by itself, under a name of ours, where no
/// link can be in the way. From there it goes to its target.
fn remount(
    origin: &Origin,
    attributes: Attributes,
    facts: &MountFacts,
    file: bool,
    steps: &mut Steps,
) {
    const NAME: &CStr = c"tree";
    tree::memory(origin, slot::MEMORY, slot::ROOT, None, steps);
    let make = if file {
        make_file(slot::MEMORY, NAME.to_bytes(), 0o600)
    } else {
        make_directory(slot::MEMORY, NAME.to_bytes(), 0o700)
    };
    steps.push(origin, "make a place for the mount", make);
    let attach = tree::attach_at(slot::TREE, slot::MEMORY, NAME);
    steps.push(origin, "mount it there", attach);
    enter(origin, slot::MEMORY, "the tmpfs", steps);
    for (below, flags) in &facts.below {
        // Without a slash at its end: it may be a file.
        let name = match below.as_os_str().is_empty() {
            true => PathBuf::from("tree"),
            false => Path::new("tree").join(below),
        };
        let flags = libc::MS_REMOUNT | libc::MS_BIND | flags | tree::mount_flags(attributes);
        let args = [
            Value::Null,
            Value::Text(c_string(name.as_os_str().as_bytes().to_vec())),
            Value::Null,
            Value::Flags(tree::MOUNT_FLAGS, flags),
            Value::Null,
        ];
        let call = Call::new("mount", libc::SYS_mount, args);
        steps.push(origin, "set the mount's attributes", call);
    }
}

/// A file with bytes of ours in a tmpfs, and a mount of it, which outlives the tmpfs's own.
fn file(draft: &Draft<'_>, asked: Asked<'_>, data: &[u8], mode: u32, steps: &mut Steps) {
    const NAME: &CStr = c"data";
    let origin = asked.origin;
    // Before the launch there may be no root.
    let place = match draft.stored(asked.index) {
        Some(_) => slot::STORE,
        None => slot::ROOT,
    };
    tree::memory(origin, slot::MEMORY, place, None, steps);
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    let args = [
        Value::Slot(slot::MEMORY),
        Value::Static(NAME),
        Value::Open(flags),
        Value::Octal(mode),
    ];
    let open = Call::new("openat", libc::SYS_openat, args);
    steps.push(origin, "make a file", open.save(slot::OPENED));
    let args = [
        Value::Slot(slot::OPENED),
        Value::Bytes(data.into()),
        Value::Int(data.len() as i64),
    ];
    steps.push(
        origin,
        "write the file",
        Call::new("write", libc::SYS_write, args),
    );
    if let Some(user) = draft.change() {
        let args = [
            Value::Slot(slot::OPENED),
            Value::Int(i64::from(user.value.uid)),
            Value::Int(i64::from(user.value.gid)),
        ];
        let own = Call::new("fchown", libc::SYS_fchown, args);
        steps.push(&user.origin, "give the file to the user", own);
    }
    close(origin, slot::OPENED, steps);
    let tree = tree::clone_in(slot::MEMORY, NAME, false).save(slot::TREE);
    steps.push(origin, "make a mount of the file", tree);
    tree::forget_memory(origin, steps);
}

/// The layers of an overlay, with what separates them escaped.
fn layers(lower: &[PathBuf], upper: Option<&(PathBuf, PathBuf)>) -> Vec<u8> {
    let escape = |path: &Path| {
        let mut bytes = Vec::new();
        for &byte in path.as_os_str().as_bytes() {
            if b"\\:,".contains(&byte) {
                bytes.push(b'\\');
            }
            bytes.push(byte);
        }
        bytes
    };
    let lower: Vec<Vec<u8>> = lower.iter().map(|path| escape(path)).collect();
    let mut data = b"lowerdir=".to_vec();
    data.extend_from_slice(&lower.join(&b':'));
    if let Some((upper, work)) = upper {
        for (name, path) in [(",upperdir=", upper), (",workdir=", work)] {
            data.extend_from_slice(name.as_bytes());
            data.extend_from_slice(&escape(path));
        }
    }
    data
}
