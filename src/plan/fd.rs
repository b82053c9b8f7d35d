// SPDX-License-Identifier: MIT OR Apache-2.0
//! Descriptors: the standard streams, those that are passed, and the end of all others.
//!
//! A launch needs some descriptors of its own until execve(2) (the parent's pidfd, the init), so
//! the others are marked to be closed by it rather than closed. Kernels before 5.11 cannot mark a
//! range: there, with a root filesystem, and for the descriptor that an init keeps, those of the launch
//! are moved to the lowest numbers that nobody else wants. Nothing is lost: the child's table is a copy.

use clonebox_child::Slot;

use super::call::{Call, FlagNames, Value};
use super::draft::{Draft, Kind};
use super::facts::HostFacts;
use super::slot;
use super::step::Steps;
use crate::spec::{Origin, ParentDeath, Redirect, Spec};

const CLOSE_RANGE_FLAGS: FlagNames = &[("CLOSE_RANGE_CLOEXEC", libc::CLOSE_RANGE_CLOEXEC as u64)];
const DUP_FLAGS: FlagNames = &[("O_CLOEXEC", libc::O_CLOEXEC as u64)];
const STREAMS: [&str; 3] = ["standard input", "standard output", "standard error"];

/// Numbers that descriptors of the launch have in the child, where they cannot keep their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    /// The parent's pidfd.
    pub(crate) parent: Option<i32>,
    init: Option<i32>,
    /// Where the init reports to.
    pub(crate) report: Option<i32>,
    /// What a Landlock rule is about.
    pub(super) rule: Option<i32>,
    /// The null device, for the masks of /proc.
    pub(super) null: Option<i32>,
    /// What the listener of a traced filter is sent to.
    listener: Option<i32>,
}

impl Numbers {
    pub(super) fn new(spec: &Spec, facts: &HostFacts, kind: Kind) -> Self {
        let passed = |number: &i32| spec.fds.iter().any(|fd| fd.value == *number);
        let mut free = (3..).filter(|number| !passed(number));
        let mut take = |wanted: bool| if wanted { free.next() } else { None };
        let old = closes(spec, facts);
        let program = kind.role(spec, facts).is_some();
        Self {
            report: take(program),
            parent: take(old && spec.parent_death.value != ParentDeath::Survive),
            init: take(old && program),
            listener: take(old && spec.seccomp.trace.is_some()),
            rule: take(!spec.landlock.paths.is_empty() && facts.landlock > 0),
            null: take(spec.rootfs.is_some() && spec.proc.value),
        }
    }

    /// None.
    pub(super) fn none() -> Self {
        Self {
            parent: None,
            init: None,
            report: None,
            rule: None,
            null: None,
            listener: None,
        }
    }

    /// The lowest number above those that are taken, if any is: the launch's own descriptors must be
    /// out of the way there.
    pub(crate) fn above(self) -> Option<i32> {
        let all = [
            self.parent,
            self.init,
            self.report,
            self.rule,
            self.null,
            self.listener,
        ];
        let highest = all.into_iter().max().flatten()?;
        Some(highest + 1)
    }
}

/// Whether the others are closed rather than marked. With a root of its own a box must not even execute
/// what a directory of the caller leads to (CVE-2024-21626).
fn closes(spec: &Spec, facts: &HostFacts) -> bool {
    !facts.close_range_cloexec || spec.rootfs.is_some() || spec.join.is_some()
}

pub(super) fn dup(from: Slot, to: i32, flags: i32) -> Call {
    let args = [
        Value::Slot(from),
        Value::Int(i64::from(to)),
        Value::Flags(DUP_FLAGS, flags as u64),
    ];
    Call::new("dup3", libc::SYS_dup3, args)
}

/// Moves what the launch needs to its number. The first steps: nothing else is opened before.
pub(super) fn arrange(draft: &Draft<'_>, steps: &mut Steps) {
    let numbers = draft.numbers;
    if let Some(number) = numbers.parent {
        let call = dup(slot::PARENT_FD, number, libc::O_CLOEXEC);
        steps.push(
            &draft.spec.parent_death.origin,
            "keep the parent's pidfd",
            call,
        );
    }
    if let Some((number, trace)) = numbers.listener.zip(draft.spec.seccomp.trace.as_ref()) {
        let socket = slot::LISTENER_DOOR.socket;
        let call = dup(socket, number, libc::O_CLOEXEC).save(socket);
        steps.push(trace, "keep the way for the listener", call);
    }
    if draft.role().is_none() {
        return;
    }
    let init = draft.program_origin();
    if let Some(number) = numbers.init {
        let call = dup(slot::INIT, number, libc::O_CLOEXEC).save(slot::INIT);
        steps.push(init, "keep our program", call);
    }
    if let Some(number) = numbers.report {
        steps.push(
            init,
            "keep our program's report",
            dup(slot::INIT_REPORT, number, 0),
        );
    }
    if let Some(number) = numbers.null {
        // Whatever stands there: nothing that is opened from here on gets the number.
        let call = dup(slot::INIT_REPORT, number, libc::O_CLOEXEC);
        steps.push(init, "keep a number for the null device", call);
    }
}

/// Streams that the launch supplies, and those on the new terminal.
pub(super) fn standard(draft: &Draft<'_>, steps: &mut Steps) {
    let spec = draft.spec;
    for (stream, number) in (0..).take(3).enumerate() {
        let (from, origin) = if spec.stdio[stream] == Redirect::Supplied {
            (slot::STDIO[stream], &spec.exec.origin)
        } else if draft.on_terminal[stream] {
            (slot::PTS, &spec.tty.origin)
        } else {
            continue;
        };
        steps.push(
            origin,
            format!("redirect {}", STREAMS[stream]),
            dup(from, number, 0),
        );
    }
}

/// Ends every descriptor at execve(2) but 0, 1, 2 and those to be passed. One that leaks is the
/// classic way out (CVE-2024-21626).
pub(super) fn close(draft: &Draft<'_>, steps: &mut Steps) {
    let mut stay = Vec::new();
    for fd in &draft.spec.fds {
        let number = i64::from(fd.value);
        let args = [
            Value::Int(number),
            Value::Name("F_SETFD", libc::F_SETFD as usize),
            Value::Int(0),
        ];
        steps.push(
            &fd.origin,
            format!("pass descriptor {number}"),
            Call::new("fcntl", libc::SYS_fcntl, args),
        );
        stay.push(number);
    }
    let Numbers {
        parent,
        init,
        report,
        rule: _,
        null: _,
        listener,
    } = draft.numbers;
    let kept = [parent, init, report, listener];
    stay.extend(kept.into_iter().flatten().map(i64::from));
    stay.sort_unstable();
    stay.dedup();
    let flags = if closes(draft.spec, draft.facts) {
        0
    } else {
        libc::CLOSE_RANGE_CLOEXEC
    };
    // A range for each gap between those that stay, and one to the end.
    let mut first = 3;
    for number in stay.into_iter().chain([i64::from(u32::MAX) + 1]) {
        if first < number {
            let flags = Value::Flags(CLOSE_RANGE_FLAGS, u64::from(flags));
            let args = [Value::Int(first), Value::Int(number - 1), flags];
            let call = Call::new("close_range", libc::SYS_close_range, args);
            steps.push(&Origin::Default, "close other descriptors", call);
        }
        first = number + 1;
    }
}
