// SPDX-License-Identifier: MIT OR Apache-2.0
//! /dev of a root filesystem. See null(4), random(4), tty(4), pts(4), shm_overview(7).

use std::ffi::CStr;

use super::call::{Call, Value};
use super::draft::Draft;
use super::exec::c_string;
use super::path::{self, Links, close, enter, make_directory};
use super::slot;
use super::step::{Stage, Steps};
use super::{tree, tty};
use crate::spec::{Dev, Namespace, Origin, host_of};

/// Those that every program expects: name, major, minor.
const DEVICES: [(&CStr, u8, u8); 6] = [
    (c"null", 1, 3),
    (c"zero", 1, 5),
    (c"full", 1, 7),
    (c"random", 1, 8),
    (c"urandom", 1, 9),
    (c"tty", 5, 0),
];
const LINKS: [(&CStr, &CStr); 5] = [
    (c"ptmx", c"pts/ptmx"),
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
];
const CAP_MKNOD: u8 = 27;
/// The group that owns terminals where distributions number it as Debian does.
const TTY_GROUP: u32 = 5;

pub(super) fn mount(draft: &Draft<'_>, steps: &mut Steps) {
    if draft.spec.rootfs.is_none() {
        return;
    }
    let setting = &draft.spec.dev;
    let origin = &setting.origin;
    let there = draft.facts.paths.mount_points[2];
    match setting.value {
        Dev::None => {}
        Dev::Host => steps.at(Stage::Once, |steps| {
            path::mount_point(draft, origin, b"dev", there, steps);
            let flags = libc::MS_BIND | libc::MS_REC;
            let call = tree::mount(Some(c"/dev"), c".", None, flags, None);
            steps.push(origin, "mount the caller's /dev", call);
        }),
        Dev::Minimal => {
            path::mount_point(draft, origin, b"dev", there, steps);
            minimal(draft, origin, steps);
        }
    }
}

fn minimal(draft: &Draft<'_>, origin: &Origin, steps: &mut Steps) {
    let flags = libc::MS_NOSUID | libc::MS_NOEXEC | libc::MS_STRICTATIME;
    let data = c"mode=755,size=65536k";
    let call = tree::mount(
        Some(c"tmpfs"),
        c".",
        Some(c"tmpfs"),
        flags,
        Some(data.into()),
    );
    steps.push(origin, "mount a tmpfs on /dev", call);
    path::open(draft, origin, &[b"dev"], Links::None, slot::DEV, steps);
    enter(origin, slot::DEV, "/dev", steps);
    for (name, major, minor) in DEVICES {
        device(draft, origin, name, (major, minor), steps);
    }
    for (name, target) in LINKS {
        let args = [
            Value::Static(target),
            Value::Slot(slot::DEV),
            Value::Static(name),
        ];
        let call = Call::new("symlinkat", libc::SYS_symlinkat, args);
        let shown = name.to_string_lossy();
        steps.push(origin, format!("make the link /dev/{shown}"), call);
    }
    let has_group = match &draft.userns {
        None => draft.facts.paths.initial_user_namespace,
        Some(userns) => host_of(&userns.maps.gids, TTY_GROUP).is_some(),
    };
    let terminals = if has_group {
        format!("newinstance,ptmxmode=0666,mode=0620,gid={TTY_GROUP}")
    } else {
        "newinstance,ptmxmode=0666,mode=0620".to_owned()
    };
    let strict = libc::MS_NOSUID | libc::MS_NOEXEC;
    inside(origin, c"pts", c"devpts", strict, terminals, steps);
    tty::open_inside(draft, steps);
    let shared = "mode=1777,size=65536k".to_owned();
    let flags = strict | libc::MS_NODEV;
    inside(origin, c"shm", c"tmpfs", flags, shared, steps);
    if draft.spec.namespaces.ipc.value == Namespace::Private {
        inside(origin, c"mqueue", c"mqueue", flags, String::new(), steps);
    }
    close(origin, slot::DEV, steps);
}

/// A device: made where the kernel lets us, the caller's otherwise.
fn device(
    draft: &Draft<'_>,
    origin: &Origin,
    name: &'static CStr,
    (major, minor): (u8, u8),
    steps: &mut Steps,
) {
    let shown = name.to_string_lossy();
    let node = |mode| {
        [
            Value::Slot(slot::DEV),
            Value::Static(name),
            Value::Mode(mode),
        ]
    };
    let facts = draft.facts;
    let allowed = facts.paths.initial_user_namespace && facts.effective.contains(CAP_MKNOD);
    if draft.userns.is_none() && allowed {
        let [directory, name, mode] = node(libc::S_IFCHR | 0o666);
        let args = [directory, name, mode, Value::Device(major, minor)];
        let call = Call::new("mknodat", libc::SYS_mknodat, args);
        steps.push(origin, format!("make /dev/{shown}"), call);
        return;
    }
    let place = Call::new("mknodat", libc::SYS_mknodat, node(libc::S_IFREG | 0o666));
    steps.push(origin, format!("make a place for /dev/{shown}"), place);
    let source = format!("/dev/{shown}");
    let tree = tree::clone_of_path(source.as_ref(), false).save(slot::TREE);
    steps.push(origin, format!("make a mount of {source}"), tree);
    let attach = tree::attach_at(slot::TREE, slot::DEV, name);
    steps.push(origin, format!("mount {source}"), attach);
    close(origin, slot::TREE, steps);
}

/// A filesystem on a directory of /dev, which is ours and the current one: no link can be in the way.
fn inside(
    origin: &Origin,
    name: &'static CStr,
    kind: &'static CStr,
    flags: u64,
    data: String,
    steps: &mut Steps,
) {
    let shown = name.to_string_lossy();
    let make = make_directory(slot::DEV, name.to_bytes(), 0o755);
    steps.push(origin, format!("make /dev/{shown}"), make);
    let data = (!data.is_empty()).then(|| c_string(data.into_bytes()).into());
    let call = tree::mount(Some(kind), name, Some(kind), flags, data);
    let kind = kind.to_string_lossy();
    steps.push(origin, format!("mount {kind} on /dev/{shown}"), call);
}
