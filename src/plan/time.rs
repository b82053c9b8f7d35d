// SPDX-License-Identifier: MIT OR Apache-2.0
//! A time namespace. See time_namespaces(7).

use super::call::{Call, Value};
use super::draft::Draft;
use super::file;
use super::step::Steps;

const UNSHARE_FLAGS: &[(&str, u64)] = &[("CLONE_NEWTIME", libc::CLONE_NEWTIME as u64)];

/// A new time namespace and its offsets. The namespace is entered at execve(2), because a process
/// that shares memory cannot change its clocks: they are mapped into it.
pub(super) fn offsets(draft: &Draft<'_>, steps: &mut Steps) {
    let Some(setting) = &draft.spec.namespaces.time else {
        return;
    };
    let unshare = Call::new(
        "unshare",
        libc::SYS_unshare,
        [Value::Flags(UNSHARE_FLAGS, libc::CLONE_NEWTIME as u64)],
    );
    steps.push(&setting.origin, "make a time namespace", unshare);
    let offset = setting.value;
    let text = format!(
        "monotonic {} 0\nboottime {} 0\n",
        offset.monotonic_s, offset.boottime_s
    );
    file::write(
        &setting.origin,
        "set the clocks' offsets",
        c"/proc/self/timens_offsets",
        text,
        steps,
    );
}
