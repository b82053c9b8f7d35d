// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mounts. See mount(2), mount_namespaces(7).

use std::ffi::CStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::call::{Call, Value, shown};
use super::draft::Draft;
use super::exec::c_string;
use super::facts::{MountFacts, SourceKind};
use super::path::{self, Links, close, components, enter, make_directory, make_file};
use super::step::{Steps, slot};
use super::tree;
use crate::spec::{Attributes, Mount, MountKind, Origin, Propagation, Setting};

/// `/` recursively private: no mount of the box reaches the host, nor one of the host the box. If a bind
/// is to get mounts of the host, everything can, until all others are made private one by one.
pub(super) fn private(draft: &Draft<'_>, steps: &mut Steps) {
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
    steps.push(origin, action, call);
}

/// The mounts that were asked for, in that order.
pub(super) fn asked(draft: &Draft<'_>, steps: &mut Steps) {
    for (mount, facts) in draft.spec.mounts.iter().zip(&draft.facts.paths.mounts) {
        one(draft, mount, facts, steps);
    }
}

fn one(draft: &Draft<'_>, mount: &Setting<Mount>, facts: &MountFacts, steps: &mut Steps) {
    let Setting {
        value: mount,
        origin,
    } = mount;
    let attributes = mount.attributes;
    match &mount.kind {
        MountKind::Bind { optional: true, .. } if facts.source == SourceKind::Missing => {}
        MountKind::Bind {
            source, recursive, ..
        } => {
            let tree = tree::clone_of_path(source, *recursive).save(slot::TREE);
            let action = format!("make a mount of {}", shown(source));
            steps.push(origin, action, tree);
            bind(draft, origin, mount, facts, *recursive, steps);
        }
        MountKind::File { data, mode } => {
            file(draft, origin, data, *mode, steps);
            bind(draft, origin, mount, facts, false, steps);
        }
        MountKind::Tmpfs { size, mode } => {
            let mut data = format!("mode={:o}", mode.unwrap_or(0o755));
            if let Some(size) = size {
                // Writing to a String does not fail.
                let _ = write!(data, ",size={size}");
            }
            filesystem(draft, origin, mount, facts, c"tmpfs", data, steps);
        }
        MountKind::Overlay { lower, upper } => {
            let mut data = layers(lower, upper.as_ref());
            if draft.userns.is_some() {
                data.extend_from_slice(b",userxattr");
            }
            place(draft, origin, &mount.target, facts, false, steps);
            enter(origin, slot::TARGET, "it", steps);
            close(origin, slot::TARGET, steps);
            let flags = tree::mount_flags(attributes);
            let data = Some(c_string(data).into());
            let call = tree::mount(Some(c"overlay"), c".", Some(c"overlay"), flags, data);
            steps.push(origin, action("overlay", &mount.target), call);
        }
        MountKind::Proc => filesystem(draft, origin, mount, facts, c"proc", String::new(), steps),
        MountKind::Sysfs => filesystem(draft, origin, mount, facts, c"sysfs", String::new(), steps),
        MountKind::Mqueue => {
            filesystem(draft, origin, mount, facts, c"mqueue", String::new(), steps);
        }
        MountKind::Devpts => {
            let data = "newinstance,ptmxmode=0666,mode=0620".to_owned();
            filesystem(draft, origin, mount, facts, c"devpts", data, steps);
        }
    }
}

fn action(what: &str, target: &Path) -> String {
    format!("mount {what} on {}", shown(target))
}

/// Opens the target, and makes what is missing of it.
fn place(
    draft: &Draft<'_>,
    origin: &Origin,
    target: &Path,
    facts: &MountFacts,
    file: bool,
    steps: &mut Steps,
) {
    let names = components(target);
    if facts.creatable && !facts.exists {
        let stays = facts.in_root;
        path::make(draft, origin, &names, facts.known, file, stays, steps);
    }
    path::open(draft, origin, &names, Links::Inside, slot::TARGET, steps);
}

/// A filesystem of the kernel's on a directory.
fn filesystem(
    draft: &Draft<'_>,
    origin: &Origin,
    mount: &Mount,
    facts: &MountFacts,
    kind: &'static CStr,
    data: String,
    steps: &mut Steps,
) {
    place(draft, origin, &mount.target, facts, false, steps);
    enter(origin, slot::TARGET, "it", steps);
    close(origin, slot::TARGET, steps);
    let flags = tree::mount_flags(mount.attributes);
    let data = (!data.is_empty()).then(|| c_string(data.into_bytes()).into());
    let call = tree::mount(Some(kind), c".", Some(kind), flags, data);
    steps.push(origin, action(&kind.to_string_lossy(), &mount.target), call);
}

/// Puts the mount in [`slot::TREE`] where it belongs, with its attributes.
fn bind(
    draft: &Draft<'_>,
    origin: &Origin,
    mount: &Mount,
    facts: &MountFacts,
    recursive: bool,
    steps: &mut Steps,
) {
    let attributes = mount.attributes;
    let plain = attributes == Attributes::default() && !draft.slaves();
    let old = !plain && !draft.facts.paths.mount_setattr;
    let file = facts.source == SourceKind::File || matches!(mount.kind, MountKind::File { .. });
    if old {
        remount(origin, attributes, facts, file, steps);
    } else if !plain {
        let call = tree::set_attributes(slot::TREE, attributes, recursive);
        steps.push(origin, "set the mount's attributes", call);
    }
    place(draft, origin, &mount.target, facts, file, steps);
    let attach = tree::attach(slot::TREE, slot::TARGET);
    let what = match &mount.kind {
        MountKind::Bind { source, .. } => shown(source),
        _ => "a file".to_owned(),
    };
    steps.push(origin, action(&what, &mount.target), attach);
    close(origin, slot::TARGET, steps);
    close(origin, slot::TREE, steps);
    if old {
        tree::forget_memory(origin, steps);
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
    tree::memory(origin, slot::ROOT, steps);
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
fn file(draft: &Draft<'_>, origin: &Origin, data: &[u8], mode: u32, steps: &mut Steps) {
    const NAME: &CStr = c"data";
    tree::memory(origin, slot::ROOT, steps);
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
    if let (Some(user), None) = (&draft.user, &draft.userns) {
        let args = [
            Value::Slot(slot::OPENED),
            Value::Int(i64::from(user.value.uid)),
            Value::Int(i64::from(user.value.gid)),
        ];
        let own = Call::new("fchown", libc::SYS_fchown, args);
        steps.push(&user.origin, "give the file to the user", own);
    }
    close(origin, slot::OPENED, steps);
    let tree = tree::clone_in(slot::MEMORY, NAME).save(slot::TREE);
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
