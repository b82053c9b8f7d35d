// SPDX-License-Identifier: MIT OR Apache-2.0
//! Dispositions and the mask. See signal(7).

use super::call::{Call, Value};
use super::draft::Draft;
use super::step::Steps;
use crate::spec::Origin;

/// Bytes of the kernel's `sigset_t`: 64 signals.
const SIGSET_LEN: usize = 8;
/// Bytes of the kernel's `struct sigaction` on both our architectures (x86-64 has a restorer,
/// AArch64 does not; zeros beyond its end are not read).
const SIGACTION_LEN: usize = 32;

/// Every disposition is the default one. `CLONE_CLEAR_SIGHAND` resets handlers and keeps what is
/// ignored, which every program inherits: Rust's runtime ignores SIGPIPE, nohup(1) SIGHUP, a
/// shell SIGINT for its background jobs. clone(2) keeps handlers as well, and they must be gone
/// before the mask is: they would run on the parent's memory.
pub(super) fn dispositions(draft: &Draft<'_>, steps: &mut Steps) {
    let always = [libc::SIGPIPE, libc::SIGCHLD];
    for signal in 1..=64 {
        let ignored = draft.facts.ignored_signals & (1 << (signal - 1)) != 0;
        let fixed = signal == libc::SIGKILL || signal == libc::SIGSTOP;
        if fixed || !(ignored || always.contains(&signal) || !draft.facts.clone3) {
            continue;
        }
        let call = Call::new(
            "rt_sigaction",
            libc::SYS_rt_sigaction,
            [
                Value::Name(name(signal), signal as usize),
                Value::Struct(Box::new([0; SIGACTION_LEN]), |_| {
                    "{sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}".to_owned()
                }),
                Value::Null,
                Value::Int(SIGSET_LEN as i64),
            ],
        );
        steps.push(&Origin::Default, "reset a signal's disposition", call);
    }
}

/// No signal is blocked. It is the last step before execve(2), because until then a signal would meet
/// the parent's memory.
pub(super) fn mask(steps: &mut Steps) {
    let call = Call::new(
        "rt_sigprocmask",
        libc::SYS_rt_sigprocmask,
        [
            Value::Name("SIG_SETMASK", libc::SIG_SETMASK as usize),
            Value::Struct(Box::new([0; SIGSET_LEN]), |_| "[]".to_owned()),
            Value::Null,
            Value::Int(SIGSET_LEN as i64),
        ],
    );
    steps.push(&Origin::Default, "unblock all signals", call);
}

/// The name of a signal as strace(1) prints it.
pub(crate) fn name(signal: i32) -> &'static str {
    const REAL_TIME: [&str; 33] = [
        "SIGRTMIN", "SIGRT_1", "SIGRT_2", "SIGRT_3", "SIGRT_4", "SIGRT_5", "SIGRT_6", "SIGRT_7",
        "SIGRT_8", "SIGRT_9", "SIGRT_10", "SIGRT_11", "SIGRT_12", "SIGRT_13", "SIGRT_14",
        "SIGRT_15", "SIGRT_16", "SIGRT_17", "SIGRT_18", "SIGRT_19", "SIGRT_20", "SIGRT_21",
        "SIGRT_22", "SIGRT_23", "SIGRT_24", "SIGRT_25", "SIGRT_26", "SIGRT_27", "SIGRT_28",
        "SIGRT_29", "SIGRT_30", "SIGRT_31", "SIGRT_32",
    ];
    match nix::sys::signal::Signal::try_from(signal) {
        Ok(signal) => signal.as_str(),
        Err(_) => usize::try_from(signal - 32)
            .ok()
            .and_then(|at| REAL_TIME.get(at))
            .copied()
            .unwrap_or("0"),
    }
}
