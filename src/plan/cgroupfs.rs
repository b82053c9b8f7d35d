// SPDX-License-Identifier: MIT OR Apache-2.0
//! /sys/fs/cgroup of a root filesystem, where programs look for their limits: cgroups(7). It is read-only,
//! and there only for a box with a cgroup namespace, whose root is the cgroup that the box is in: the
//! caller's cgroups are neither to be seen nor to be written to (CVE-2023-25809).

use std::ffi::{CStr, CString};

use clonebox_child::OnError;

use super::call::{Call, Value};
use super::draft::Draft;
use super::exec::c_string;
use super::mask;
use super::path::cwd;
use super::step::Steps;
use super::tree;
use crate::spec::{Namespace, Origin};

const PLACE: &CStr = c"fs/cgroup";
const SAFE: u64 = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

/// Mounts what the box may see. /sys is the current directory, and `own` if it is the box's own: otherwise
/// the caller's cgroups lie there, under which they are hidden.
pub(super) fn mount(draft: &Draft<'_>, own: bool, steps: &mut Steps) {
    let origin = &Origin::Default;
    let legacy: Vec<&str> = draft.cgroups.names().collect();
    let alone = draft.facts.cgroups.unified;
    if draft.cgroupns().value == Namespace::Host || !alone && legacy.is_empty() {
        if !own && !draft.facts.paths.mount_setattr {
            // What lies below the caller's /sys could not be made read-only.
            mask::directory(origin, "/sys", PLACE, steps);
        }
        return;
    }
    if !own || !alone {
        let call = tree::mount(
            Some(c"tmpfs"),
            PLACE,
            Some(c"tmpfs"),
            SAFE,
            Some(c"mode=755".into()),
        );
        steps.push(origin, "mount a tmpfs on /sys/fs/cgroup", call);
    }
    if alone {
        let call = tree::mount(Some(c"cgroup2"), PLACE, Some(c"cgroup2"), SAFE, None);
        // One that is there already, in a root that comes with its mounts, is the same.
        let call = call.on_error(OnError::Ignore(libc::EBUSY));
        steps.push(origin, "mount the box's cgroup", call);
    }
    for names in legacy.iter().filter(|_| !alone) {
        hierarchy(origin, names, steps);
    }
    let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | SAFE;
    let call = tree::mount(None, PLACE, None, flags, None);
    steps.push(origin, "make /sys/fs/cgroup read-only", call);
}

/// One of several hierarchies, by the names of its controllers, in a directory of that name; that of
/// version 2, which has none, in `unified`, as systemd has it.
fn hierarchy(origin: &Origin, names: &str, steps: &mut Steps) {
    let (kind, name, data) = if names.is_empty() {
        (c"cgroup2", "unified", None)
    } else {
        let data = c_string(names.as_bytes().to_vec());
        (c"cgroup", names, Some(data.into()))
    };
    let place = |name: &str| -> CString { c_string(format!("fs/cgroup/{name}").into_bytes()) };
    let args = [cwd(), Value::Text(place(name)), Value::Octal(0o755)];
    let make = Call::new("mkdirat", libc::SYS_mkdirat, args);
    steps.push(origin, format!("make /sys/fs/cgroup/{name}"), make);
    let flags = SAFE | libc::MS_RDONLY;
    let call = tree::mount(Some(kind), place(name), Some(kind), flags, data);
    let action = format!("mount the box's cgroup on /sys/fs/cgroup/{name}");
    steps.push(origin, action, call);
    for one in name.split(',').filter(|one| *one != name) {
        let target = Value::Text(c_string(name.as_bytes().to_vec()));
        let args = [target, cwd(), Value::Text(place(one))];
        let link = Call::new("symlinkat", libc::SYS_symlinkat, args);
        steps.push(origin, format!("make /sys/fs/cgroup/{one}"), link);
    }
}
