// SPDX-License-Identifier: MIT OR Apache-2.0
//! /proc: fresh, and in a root filesystem without what is not the box's. See proc(5).

use std::path::Path;

use clonebox_child::{Expect, OnError};

use super::call::{Call, Value};
use super::draft::Draft;
use super::path::{self, LOOK_UP, Links, close, enter};
use super::slot;
use super::step::Steps;
use super::tree;
use super::{fd, mask};
use crate::spec::{Dev, Origin};

const FLAGS: u64 = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

/// What docker hides: files that tell of the host, or of its secrets.
const MASKED_FILES: [&std::ffi::CStr; 7] = [
    c"interrupts",
    c"kcore",
    c"keys",
    c"latency_stats",
    c"sched_debug",
    c"timer_list",
    c"timer_stats",
];
/// The same, directories.
const MASKED_DIRECTORIES: [&std::ffi::CStr; 3] = [c"acpi", c"asound", c"scsi"];
/// What docker leaves to be read: writing there changes the host.
const READ_ONLY: [&std::ffi::CStr; 5] = [c"bus", c"fs", c"irq", c"sys", c"sysrq-trigger"];

/// A fresh /proc, which shows the box's processes. Without process ids of its own, and on the caller's
/// root, the one that is there is right.
pub(super) fn mount(draft: &Draft<'_>, steps: &mut Steps) {
    let setting = &draft.spec.proc;
    if !setting.value {
        return;
    }
    if draft.spec.rootfs.is_some() {
        in_root(draft, steps);
    } else if draft.own_pids() {
        let call = tree::mount(Some(c"proc"), c"/proc", Some(c"proc"), FLAGS, None);
        steps.push(&setting.origin, "mount proc on /proc", call);
    }
}

fn in_root(draft: &Draft<'_>, steps: &mut Steps) {
    let origin = &draft.spec.proc.origin;
    let names: [&[u8]; 1] = [b"proc"];
    path::mount_point(
        draft,
        origin,
        b"proc",
        draft.facts.paths.mount_points[0],
        steps,
    );
    let fresh = tree::mount(Some(c"proc"), c".", Some(c"proc"), FLAGS, None);
    let owned = draft.userns.is_none() && draft.facts.paths.initial_user_namespace;
    let (action, call) = match (draft.own_pids(), owned) {
        (true, _) => ("mount proc on /proc", fresh),
        // One that is there already, in a root that comes with its mounts, is the same.
        (false, true) => (
            "mount proc on /proc",
            fresh.on_error(OnError::Ignore(libc::EBUSY)),
        ),
        // In a user namespace the kernel mounts none for the process ids of others.
        (false, false) => {
            let flags = libc::MS_BIND | libc::MS_REC;
            let bind = tree::mount(Some(c"/proc"), c".", None, flags, None);
            ("mount the caller's /proc", bind)
        }
    };
    steps.push(origin, action, call);
    // Somebody who exchanges the directory now finds that what follows is about proc or not at all.
    path::open(draft, origin, &names, Links::None, slot::TARGET, steps);
    enter(origin, slot::TARGET, "/proc", steps);
    close(origin, slot::TARGET, steps);
    let args = [Value::Static(c"."), Value::Slot(slot::STRUCT)];
    let statfs = Call::new("statfs", libc::SYS_statfs, args);
    steps.push(origin, "find proc on /proc", statfs.expect(Expect::Procfs));
    for name in mask::wanted(draft, "/proc", &READ_ONLY) {
        read_only(origin, name, steps);
    }
    let null = draft.numbers.null.unwrap_or_default();
    let source = format!("self/fd/{null}");
    null_device(draft, null, origin, steps);
    for name in mask::wanted(draft, "/proc", &MASKED_FILES) {
        mask::file(origin, "/proc", name, &source, steps);
    }
    for name in mask::wanted(draft, "/proc", &MASKED_DIRECTORIES) {
        mask::directory(origin, "/proc", name, steps);
    }
    mask::asked(draft, "/proc", &source, steps);
}

/// A mount of a part of /proc onto itself, and that read-only. Names of proc lead nowhere else, and
/// those that this kernel does not have need nothing.
fn read_only(origin: &Origin, name: &'static std::ffi::CStr, steps: &mut Steps) {
    let shown = name.to_string_lossy();
    let bind = tree::mount(Some(name), name, None, libc::MS_BIND | libc::MS_REC, None);
    let remount = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | FLAGS;
    let remount = tree::mount(None, name, None, remount, None);
    for (call, action) in [(bind, "make a mount of"), (remount, "make read-only")] {
        steps.push(
            origin,
            format!("{action} /proc/{shown}"),
            call.on_error(OnError::Ignore(libc::ENOENT)),
        );
    }
}

/// The null device of the box's /dev covers files; if it has none, the caller's. What is bound is what has
/// been looked at, whatever happens to the name meanwhile: one that is something else would uncover them
/// (CVE-2025-31133). A box may change the mode of its own.
fn null_device(draft: &Draft<'_>, number: i32, origin: &Origin, steps: &mut Steps) {
    const STATX_TYPE: &[(&str, u64)] = &[("STATX_TYPE", libc::STATX_TYPE as u64)];
    let action = "find the null device at /dev/null";
    let flags = LOOK_UP | libc::O_NOFOLLOW;
    if draft.spec.dev.value == Dev::None {
        let open = path::open_host(Path::new("/dev/null"), flags);
        steps.push(origin, action, open.save(slot::NULL));
    } else {
        path::open(draft, origin, &[b"dev"], Links::None, slot::TARGET, steps);
        let open = path::openat(slot::TARGET, b"null", flags);
        steps.push(origin, action, open.save(slot::NULL));
        close(origin, slot::TARGET, steps);
    }
    let args = [
        Value::Slot(slot::NULL),
        Value::Static(c""),
        Value::Name(
            "AT_STATX_SYNC_AS_STAT|AT_EMPTY_PATH",
            libc::AT_EMPTY_PATH as usize,
        ),
        Value::Flags(STATX_TYPE, u64::from(libc::STATX_TYPE)),
        Value::Slot(slot::STRUCT),
    ];
    let statx = Call::new("statx", libc::SYS_statx, args);
    steps.push(origin, action, statx.expect(Expect::NullDevice));
    let keep = fd::dup(slot::NULL, number, libc::O_CLOEXEC);
    steps.push(origin, "give the null device its number", keep);
    close(origin, slot::NULL, steps);
}
