// SPDX-License-Identifier: MIT OR Apache-2.0
//! /sys of a root filesystem: read-only. See sysfs(5).

use clonebox_child::OnError;

use super::cgroupfs;
use super::draft::Draft;
use super::mask;
use super::path::{self, Links, close, enter};
use super::slot;
use super::step::{Stage, Steps};
use super::tree;
use crate::spec::{Attributes, Namespace, Origin};

/// What docker hides.
const MASKED: [&std::ffi::CStr; 2] = [c"firmware", c"devices/virtual/powercap"];

/// A sysfs, which shows the network of whoever mounts it. In a user namespace the kernel mounts none for
/// the network of others: there it is the caller's.
pub(super) fn mount(draft: &Draft<'_>, steps: &mut Steps) {
    if draft.spec.rootfs.is_none() {
        return;
    }
    // One of the caller's network is the same for all launches; its cgroup is each box's own.
    let callers = draft.spec.namespaces.net.value.is_callers();
    let stage = if !callers || draft.cgroupns().value == Namespace::Private {
        Stage::Each
    } else {
        draft.root_stage()
    };
    steps.at(stage, |steps| fill(draft, steps));
}

fn fill(draft: &Draft<'_>, steps: &mut Steps) {
    let origin = &Origin::Default;
    let there = draft.facts.paths.mount_points[1];
    path::mount_point(draft, origin, b"sys", there, steps);
    let callers = draft.userns.is_none() && draft.facts.paths.own_network;
    let own = callers || !draft.spec.namespaces.net.value.is_callers();
    if own {
        let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        let call = tree::mount(Some(c"sysfs"), c".", Some(c"sysfs"), flags, None);
        // One that is there already, in a root that comes with its mounts, is the same.
        let call = call.on_error(OnError::Ignore(libc::EBUSY));
        steps.push(origin, "mount sysfs on /sys", call);
    } else {
        let flags = libc::MS_BIND | libc::MS_REC;
        let call = tree::mount(Some(c"/sys"), c".", None, flags, None);
        steps.push(origin, "mount the caller's /sys", call);
    }
    path::open(draft, origin, &[b"sys"], Links::None, slot::TARGET, steps);
    if draft.facts.paths.mount_setattr {
        let attributes = Attributes {
            read_only: true,
            nosuid: true,
            nodev: true,
            noexec: true,
            ..Attributes::default()
        };
        let call = tree::set_attributes(slot::TARGET, attributes, true);
        steps.push(origin, "make /sys read-only", call);
    }
    enter(origin, slot::TARGET, "/sys", steps);
    close(origin, slot::TARGET, steps);
    if !draft.facts.paths.mount_setattr {
        let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        let remount = libc::MS_REMOUNT | libc::MS_BIND | flags;
        let call = tree::mount(None, c".", None, remount, None);
        steps.push(origin, "make /sys read-only", call);
    }
    for name in mask::wanted(draft, "/sys", &MASKED) {
        mask::directory(origin, "/sys", name, steps);
    }
    mask::asked(draft, "/sys", "/dev/null", steps);
    cgroupfs::mount(draft, own, steps);
}
