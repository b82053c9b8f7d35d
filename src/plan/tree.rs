// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls on mounts. See mount(2), open_tree(2), move_mount(2), mount_setattr(2).

use std::borrow::Cow;
use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clonebox_child::Slot;

use super::call::{Call, FlagNames, Value, show_flags};
use super::exec::c_string;
use super::path;
use super::slot;
use super::step::Steps;
use crate::spec::{Attributes, Origin, Propagation};

pub(super) const MOUNT_FLAGS: FlagNames = &[
    ("MS_RDONLY", libc::MS_RDONLY),
    ("MS_NOSUID", libc::MS_NOSUID),
    ("MS_NODEV", libc::MS_NODEV),
    ("MS_NOEXEC", libc::MS_NOEXEC),
    ("MS_REMOUNT", libc::MS_REMOUNT),
    ("MS_NOATIME", libc::MS_NOATIME),
    ("MS_NODIRATIME", libc::MS_NODIRATIME),
    ("MS_BIND", libc::MS_BIND),
    ("MS_REC", libc::MS_REC),
    ("MS_PRIVATE", libc::MS_PRIVATE),
    ("MS_SLAVE", libc::MS_SLAVE),
    ("MS_RELATIME", libc::MS_RELATIME),
    ("MS_STRICTATIME", libc::MS_STRICTATIME),
];
/// `linux/mount.h`, since Linux 7.0.
const OPEN_TREE_NAMESPACE: u64 = 2;
const OPEN_TREE_FLAGS: FlagNames = &[
    ("OPEN_TREE_CLONE", libc::OPEN_TREE_CLONE as u64),
    ("OPEN_TREE_NAMESPACE", OPEN_TREE_NAMESPACE),
    ("OPEN_TREE_CLOEXEC", libc::OPEN_TREE_CLOEXEC as u64),
    ("AT_EMPTY_PATH", libc::AT_EMPTY_PATH as u64),
    ("AT_RECURSIVE", libc::AT_RECURSIVE as u64),
];
const MOVE_MOUNT_FLAGS: FlagNames = &[
    (
        "MOVE_MOUNT_F_EMPTY_PATH",
        libc::MOVE_MOUNT_F_EMPTY_PATH as u64,
    ),
    (
        "MOVE_MOUNT_T_EMPTY_PATH",
        libc::MOVE_MOUNT_T_EMPTY_PATH as u64,
    ),
];
const AT_FLAGS: FlagNames = &[
    ("AT_EMPTY_PATH", libc::AT_EMPTY_PATH as u64),
    ("AT_RECURSIVE", libc::AT_RECURSIVE as u64),
];
const ATTRIBUTES: FlagNames = &[
    ("MOUNT_ATTR_RDONLY", libc::MOUNT_ATTR_RDONLY),
    ("MOUNT_ATTR_NOSUID", libc::MOUNT_ATTR_NOSUID),
    ("MOUNT_ATTR_NODEV", libc::MOUNT_ATTR_NODEV),
    ("MOUNT_ATTR_NOEXEC", libc::MOUNT_ATTR_NOEXEC),
];

/// mount(2) with the target that a name has in the current directory.
pub(super) fn mount(
    source: Option<&'static CStr>,
    target: impl Into<Cow<'static, CStr>>,
    kind: Option<&'static CStr>,
    flags: u64,
    data: Option<Cow<'static, CStr>>,
) -> Call {
    mount_from(
        source.map_or(Value::Null, Value::Static),
        target,
        kind,
        flags,
        data,
    )
}

/// The same with a source that is no constant.
pub(super) fn mount_from(
    source: Value,
    target: impl Into<Cow<'static, CStr>>,
    kind: Option<&'static CStr>,
    flags: u64,
    data: Option<Cow<'static, CStr>>,
) -> Call {
    let args = [
        source,
        text(target),
        kind.map_or(Value::Null, Value::Static),
        Value::Flags(MOUNT_FLAGS, flags),
        data.map_or(Value::Null, text),
    ];
    Call::new("mount", libc::SYS_mount, args)
}

/// A copy of the mount that a path of the caller's is on, or of all below it, which is nowhere yet.
pub(super) fn clone_of_path(path: &Path, recursive: bool) -> Call {
    let path = Value::Text(c_string(path.as_os_str().as_bytes().to_vec()));
    open_tree(Value::Slot(slot::CWD), path, COPY, recursive)
}

/// The same while the current directory is still the caller's.
pub(super) fn clone_of_callers(path: &Path, recursive: bool) -> Call {
    let path = Value::Text(c_string(path.as_os_str().as_bytes().to_vec()));
    open_tree(path::cwd(), path, COPY, recursive)
}

/// The same of what a descriptor stands for.
pub(super) fn clone_of(slot: Slot, recursive: bool) -> Call {
    let flags = COPY | libc::AT_EMPTY_PATH as u64;
    open_tree(Value::Slot(slot), Value::Static(c""), flags, recursive)
}

/// A mount namespace that has a copy of that for its root, and nothing else.
pub(super) fn namespace_of(slot: Slot, recursive: bool) -> Call {
    let flags = OPEN_TREE_NAMESPACE | libc::AT_EMPTY_PATH as u64;
    open_tree(Value::Slot(slot), Value::Static(c""), flags, recursive)
}

/// The same of a name in a directory that is our own.
pub(super) fn clone_in(slot: Slot, name: impl Into<Cow<'static, CStr>>, recursive: bool) -> Call {
    open_tree(Value::Slot(slot), text(name), COPY, recursive)
}

fn text(name: impl Into<Cow<'static, CStr>>) -> Value {
    match name.into() {
        Cow::Borrowed(name) => Value::Static(name),
        Cow::Owned(name) => Value::Text(name),
    }
}

const COPY: u64 = libc::OPEN_TREE_CLONE as u64;

fn open_tree(directory: Value, path: Value, flags: u64, recursive: bool) -> Call {
    let mut flags = flags | libc::OPEN_TREE_CLOEXEC as u64;
    if recursive {
        flags |= libc::AT_RECURSIVE as u64;
    }
    let args = [directory, path, Value::Flags(OPEN_TREE_FLAGS, flags)];
    Call::new("open_tree", libc::SYS_open_tree, args)
}

/// A tmpfs of ours, which a descriptor stands for, on top of the root: for what is made of files or needs a
/// name for a moment. Whoever looks from the root does not see it, and [`forget_memory`] takes it away.
///
/// Its mode is 1777 unless there is another.
pub(super) fn memory(
    origin: &Origin,
    memory: Slot,
    place: Slot,
    mode: Option<&'static CStr>,
    steps: &mut Steps,
) {
    const FSOPEN: FlagNames = &[("FSOPEN_CLOEXEC", 1)];
    const FSMOUNT: FlagNames = &[("FSMOUNT_CLOEXEC", 1)];
    let action = "make a tmpfs";
    let args = [Value::Static(c"tmpfs"), Value::Flags(FSOPEN, 1)];
    let open = Call::new("fsopen", libc::SYS_fsopen, args);
    steps.push(origin, action, open.save(slot::TARGET));
    if let Some(mode) = mode {
        let args = [
            Value::Slot(slot::TARGET),
            Value::Name("FSCONFIG_SET_STRING", 1),
            Value::Static(c"mode"),
            Value::Static(mode),
            Value::Int(0),
        ];
        let set = Call::new("fsconfig", libc::SYS_fsconfig, args);
        steps.push(origin, action, set);
    }
    let args = [
        Value::Slot(slot::TARGET),
        Value::Name("FSCONFIG_CMD_CREATE", 6),
        Value::Null,
        Value::Null,
        Value::Int(0),
    ];
    let create = Call::new("fsconfig", libc::SYS_fsconfig, args);
    steps.push(origin, action, create);
    let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    let args = [
        Value::Slot(slot::TARGET),
        Value::Flags(FSMOUNT, 1),
        Value::Flags(ATTRIBUTES, attributes),
    ];
    let mount = Call::new("fsmount", libc::SYS_fsmount, args);
    steps.push(origin, action, mount.save(memory));
    path::close(origin, slot::TARGET, steps);
    steps.push(origin, "mount the tmpfs", attach(memory, place));
}

/// Takes the tmpfs away. What was mounted of it elsewhere stays.
pub(super) fn forget_memory(origin: &Origin, steps: &mut Steps) {
    path::enter(origin, slot::MEMORY, "the tmpfs", steps);
    steps.push(origin, "unmount the tmpfs", detach());
    path::close(origin, slot::MEMORY, steps);
}

/// Takes the mount away that the current directory is the root of, with all below it.
pub(super) fn detach() -> Call {
    const UMOUNT: FlagNames = &[("MNT_DETACH", libc::MNT_DETACH as u64)];
    let flags = Value::Flags(UMOUNT, libc::MNT_DETACH as u64);
    Call::new("umount2", libc::SYS_umount2, [Value::Static(c"."), flags])
}

/// Puts a mount onto the place that a descriptor stands for.
pub(super) fn attach(tree: Slot, target: Slot) -> Call {
    move_mount(tree, Value::Slot(target), Value::Static(c""), true)
}

/// The same onto a name in a directory that is our own.
pub(super) fn attach_at(tree: Slot, directory: Slot, name: impl Into<Cow<'static, CStr>>) -> Call {
    move_mount(tree, Value::Slot(directory), text(name), false)
}

fn move_mount(tree: Slot, directory: Value, name: Value, empty: bool) -> Call {
    let mut flags = u64::from(libc::MOVE_MOUNT_F_EMPTY_PATH);
    if empty {
        flags |= u64::from(libc::MOVE_MOUNT_T_EMPTY_PATH);
    }
    let args = [
        Value::Slot(tree),
        Value::Static(c""),
        directory,
        name,
        Value::Flags(MOVE_MOUNT_FLAGS, flags),
    ];
    Call::new("move_mount", libc::SYS_move_mount, args)
}

/// Sets attributes of a mount, or of all below it as well: mount_setattr(2).
pub(super) fn set_attributes(slot: Slot, attributes: Attributes, recursive: bool) -> Call {
    let propagation = match attributes.propagation {
        Propagation::Private => libc::MS_PRIVATE,
        Propagation::Slave => 0,
    };
    // struct mount_attr (linux/mount.h).
    let words = [attribute_bits(attributes), 0, propagation, 0];
    let bytes = words.map(u64::to_ne_bytes).as_flattened().into();
    let mut flags = libc::AT_EMPTY_PATH as u64;
    flags |= if recursive {
        libc::AT_RECURSIVE as u64
    } else {
        0
    };
    let args = [
        Value::Slot(slot),
        Value::Static(c""),
        Value::Flags(AT_FLAGS, flags),
        Value::Struct(bytes, show_attributes),
        Value::Int(32),
    ];
    Call::new("mount_setattr", libc::SYS_mount_setattr, args)
}

fn attribute_bits(attributes: Attributes) -> u64 {
    [
        (attributes.read_only, libc::MOUNT_ATTR_RDONLY),
        (attributes.nosuid, libc::MOUNT_ATTR_NOSUID),
        (attributes.nodev, libc::MOUNT_ATTR_NODEV),
        (attributes.noexec, libc::MOUNT_ATTR_NOEXEC),
    ]
    .into_iter()
    .filter(|(wanted, _)| *wanted)
    .fold(0, |bits, (_, bit)| bits | bit)
}

/// The same for mount(2).
pub(super) fn mount_flags(attributes: Attributes) -> u64 {
    [
        (attributes.read_only, libc::MS_RDONLY),
        (attributes.nosuid, libc::MS_NOSUID),
        (attributes.nodev, libc::MS_NODEV),
        (attributes.noexec, libc::MS_NOEXEC),
    ]
    .into_iter()
    .filter(|(wanted, _)| *wanted)
    .fold(0, |flags, (_, flag)| flags | flag)
}

fn show_attributes(bytes: &[u8]) -> String {
    let (words, _) = bytes.as_chunks::<8>();
    let word = |index: usize| words.get(index).map_or(0, |word| u64::from_ne_bytes(*word));
    let mut set = String::new();
    // Writing to a String does not fail.
    let _ = show_flags(ATTRIBUTES, word(0), &mut set);
    let propagation = match word(2) {
        libc::MS_PRIVATE => "MS_PRIVATE",
        _ => "0 /* MS_??? */",
    };
    format!("{{attr_set={set}, attr_clr=0, propagation={propagation}, userns_fd=0}}")
}
