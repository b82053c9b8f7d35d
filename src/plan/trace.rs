// SPDX-License-Identifier: MIT OR Apache-2.0
//! A filter that tells what it would refuse, and refuses nothing. See seccomp_unotify(2).
//!
//! Where the filter refuses, the program that the kernel gets asks the launcher instead, through a listener
//! that installing it makes. The child sends the listener; whoever waits for the box answers that the call
//! is to be made, and notes what the filter itself would have said. Until execve(2) nobody answers: what
//! comes before it, the filter must allow.

use clonebox_seccomp::{ALLOW, Instruction, LOG, USER_NOTIF};

use super::call::{Call, Value};
use super::draft::Draft;
use super::seccomp::Filter;
use super::slot;
use super::step::Steps;
use crate::spec::{Origin, Spec, Violation};

const RET: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const RET_A: u16 = (libc::BPF_RET | libc::BPF_A) as u16;
/// `SECCOMP_RET_ACTION_FULL` in `linux/seccomp.h`.
const ACTION: u32 = 0xffff_0000;

/// Whether a call that is answered so is made.
pub(super) fn is_made(answer: u32) -> bool {
    matches!(answer & ACTION, ALLOW | LOG)
}

/// The program with a question to the launcher wherever it refuses.
pub(super) fn asking(code: &[Instruction]) -> Vec<Instruction> {
    let ask = |one: &Instruction| match one.code {
        RET if !is_made(one.k) => Instruction {
            k: USER_NOTIF,
            ..*one
        },
        _ => *one,
    };
    code.iter().map(ask).collect()
}

/// What keeps a filter from being traced.
pub(super) fn check(spec: &Spec, filter: &Filter) -> Result<(), Vec<Violation>> {
    let Some(trace) = &spec.seccomp.trace else {
        return Ok(());
    };
    let mut reasons = Vec::new();
    if !spec.no_new_privs.value {
        reasons.push(
            "without no_new_privs the filter comes before steps that nobody could answer for",
        );
    }
    let sends = filter.answer(libc::SYS_sendmsg as usize, [0; 6]);
    if !sends.is_some_and(is_made) {
        reasons.push("the filter forbids sendmsg(2), by which the launcher gets its listener");
    }
    if filter.code.iter().any(|one| one.code == RET_A) {
        reasons.push(
            "the program computes its answer (BPF_RET|BPF_A), which cannot be made a question",
        );
    }
    let violation = |reason: &str| Violation {
        reason: reason.to_owned(),
        origin: trace.clone(),
    };
    let violations: Vec<Violation> = reasons.into_iter().map(violation).collect();
    if violations.is_empty() {
        Ok(())
    } else {
        Err(violations)
    }
}

/// Sends the listener that the step before has made.
pub(super) fn send(draft: &Draft<'_>, steps: &mut Steps) {
    let origin = draft.spec.seccomp.trace.as_ref();
    let args = [
        Value::Slot(slot::LISTENER_DOOR.socket),
        Value::Slot(slot::LISTENER_DOOR.message),
        Value::Name("MSG_NOSIGNAL", libc::MSG_NOSIGNAL as usize),
    ];
    steps.push(
        origin.unwrap_or(&Origin::Default),
        "send the listener of the seccomp filter",
        Call::new("sendmsg", libc::SYS_sendmsg, args),
    );
}
