// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mounts. See mount(2), mount_namespaces(7).

use super::call::{Call, FlagNames, Value};
use super::draft::Draft;
use super::step::Steps;
use crate::spec::Origin;

const MOUNT_FLAGS: FlagNames = &[
    ("MS_NOSUID", libc::MS_NOSUID),
    ("MS_NODEV", libc::MS_NODEV),
    ("MS_NOEXEC", libc::MS_NOEXEC),
    ("MS_REC", libc::MS_REC),
    ("MS_PRIVATE", libc::MS_PRIVATE),
];

/// `/` recursively private: no mount of the box reaches the host, nor one of the host the box.
pub(super) fn private(steps: &mut Steps) {
    let call = Call::new(
        "mount",
        libc::SYS_mount,
        [
            Value::Null,
            Value::Static(c"/"),
            Value::Null,
            Value::Flags(MOUNT_FLAGS, libc::MS_REC | libc::MS_PRIVATE),
            Value::Null,
        ],
    );
    steps.push(&Origin::Default, "make all mounts private", call);
}

/// A fresh /proc, which shows the box's processes. Without process ids of its own the host's is right.
pub(super) fn proc(draft: &Draft<'_>, steps: &mut Steps) {
    if !draft.own_pids() {
        return;
    }
    let call = Call::new(
        "mount",
        libc::SYS_mount,
        [
            Value::Static(c"proc"),
            Value::Static(c"/proc"),
            Value::Static(c"proc"),
            Value::Flags(
                MOUNT_FLAGS,
                libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
            ),
            Value::Null,
        ],
    );
    steps.push(&Origin::Default, "mount proc on /proc", call);
}
