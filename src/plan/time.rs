// SPDX-License-Identifier: MIT OR Apache-2.0
//! A time namespace. See time_namespaces(7).

use std::ffi::CStr;

use super::call::{Call, Value};
use super::draft::Draft;
use super::file;
use super::step::Steps;
use crate::spec::{Origin, Setting, TimeOffset};

const UNSHARE_FLAGS: &[(&str, u64)] = &[("CLONE_NEWTIME", libc::CLONE_NEWTIME as u64)];
const FILE: &CStr = c"/proc/self/timens_offsets";
const ACTION: &str = "set the clocks' offsets";

/// A new time namespace and its offsets. The namespace is entered at execve(2), because a process
/// that shares memory cannot change its clocks: they are mapped into it.
pub(super) fn offsets(draft: &Draft<'_>, steps: &mut Steps) {
    let Some(setting) = &draft.spec.namespaces.time else {
        return;
    };
    if of_user_who_joins(draft).is_some() {
        return;
    }
    unshare(&setting.origin, steps);
    file::write(&setting.origin, ACTION, FILE, text(setting.value), steps);
}

/// The clocks of an ordinary user who joins a box that has its own. He may make a namespace like its only in
/// the user namespace of the box, and before he is there the memory has to be undumpable, whereby the file of the
/// offsets becomes root's. So he opens that before. The kernel asks whether whoever has opened it may set clocks: he
/// may, because the user namespace is his.
pub(super) fn of_user_who_joins<'a>(draft: &Draft<'a>) -> Option<&'a Setting<TimeOffset>> {
    let spec = draft.spec;
    let joins = spec.join.is_some() && draft.facts.uid != 0;
    spec.namespaces.time.as_ref().filter(|_| joins)
}

/// What such a user does before he joins the namespaces: nothing but that *may* come between.
pub(super) fn before_joining(draft: &Draft<'_>, steps: &mut Steps) {
    let Some(setting) = of_user_who_joins(draft) else {
        return;
    };
    file::open(&setting.origin, ACTION, FILE, steps);
    // PR_SET_DUMPABLE(2const). The launch restores it: `launch/dumpable.rs`.
    let name = Value::Name("PR_SET_DUMPABLE", libc::PR_SET_DUMPABLE as usize);
    let hide = Call::new("prctl", libc::SYS_prctl, [name, Value::Int(0)]);
    steps.push(&setting.origin, "keep the box out of the memory", hide);
}

/// What he does when he is there.
pub(super) fn after_joining(draft: &Draft<'_>, steps: &mut Steps) {
    let Some(setting) = of_user_who_joins(draft) else {
        return;
    };
    unshare(&setting.origin, steps);
    file::write_opened(&setting.origin, ACTION, text(setting.value), steps);
}

fn unshare(origin: &Origin, steps: &mut Steps) {
    let flags = Value::Flags(UNSHARE_FLAGS, libc::CLONE_NEWTIME as u64);
    let unshare = Call::new("unshare", libc::SYS_unshare, [flags]);
    steps.push(origin, "make a time namespace", unshare);
}

fn text(offset: TimeOffset) -> String {
    format!(
        "monotonic {} 0\nboottime {} 0\n",
        offset.monotonic_s, offset.boottime_s
    )
}
