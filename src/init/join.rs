// SPDX-License-Identifier: MIT OR Apache-2.0
//! Enters the process namespace of a box that runs, and executes a program there.
//!
//! Only a new process can be in it, and whoever is root there may trace that. So the launcher's child, which has
//! joined all else and given up what the program will not have, has executed this first: none of the launcher's
//! memory is here, and none of its descriptors but those of the program and the socket to report to.
//!
//! ```text
//! this process            the new one, a child of the launcher's       the launcher
//! clone(CLONE_PARENT) ──▶ dies with its parent, session
//! says its number ─────────────────────────────────────────────────▶ knows who says what: unix(7)
//! exits                   says that it is there ─────────────────────▶
//!                         waits  ◀──────────────────────────────────── lives, and says so
//!                         execve
//! ```
//!
//! A launcher that is dead says nothing: the socket is closed. One that dies later sends the signal that was asked
//! for before.

use crate::Args;
use crate::exec::execute;
use crate::init::{TIOCSCTTY, TIOCSPGRP, is_foreground};
use crate::kernel::{
    CLONE, EINTR, F_SETFD, FCNTL, FD_CLOEXEC, GETPID, IOCTL, PRCTL, READ, RT_SIGPROCMASK, SETPGID,
    SETSID, SIG_SETMASK, SIGCHLD, SIGKILL, SIGSET_LEN, block_signals, call, exit,
};
use crate::report::{self, FAILED, NO_PROCESS, PROCESS, STARTED};

const CLONE_PARENT: usize = 0x8000;
const PR_SET_PDEATHSIG: usize = 1;

pub(crate) fn run(args: &Args) -> ! {
    block_signals();
    let (Some(report), Some(candidates)) = (args.number(1), args.number(3)) else {
        exit(125)
    };
    call(FCNTL, [report, F_SETFD, FD_CLOEXEC, 0, 0, 0]);
    let foreground = args.bytes(2) == b"inherit" && is_foreground();
    // Without a stack of its own, and a copy of this one: fork(2).
    match call(CLONE, [CLONE_PARENT | SIGCHLD, 0, 0, 0, 0, 0]) {
        0 => program(args, report, candidates, foreground),
        pid if pid > 0 => {
            report::send(report, [PROCESS, pid as u32, 0]);
            exit(0)
        }
        errno => {
            report::send(report, [NO_PROCESS, 0, errno.wrapping_neg() as u32]);
            exit(125)
        }
    }
}

fn program(args: &Args, report: usize, candidates: usize, foreground: bool) -> ! {
    call(PRCTL, [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0]);
    let begun = match args.bytes(2) {
        b"inherit" => group(foreground),
        b"new" => {
            call(SETSID, [0; 6]);
            call(IOCTL, [0, TIOCSCTTY, 0, 0, 0, 0])
        }
        _ => call(SETSID, [0; 6]),
    };
    if begun < 0 {
        report::send(report, [FAILED, 0, begun.wrapping_neg() as u32]);
        exit(125)
    }
    report::send(report, [STARTED, 0, 0]);
    if !may_go_on(report) {
        exit(0)
    }
    let none = 0u64;
    let place = (&raw const none).addr();
    call(RT_SIGPROCMASK, [SIG_SETMASK, place, 0, SIGSET_LEN, 0, 0]);
    let argv = args.address_from(4 + candidates);
    execute(args, candidates, report, argv, args.environment())
}

/// A process group of its own, in the foreground if this process's was.
fn group(foreground: bool) -> isize {
    let begun = call(SETPGID, [0; 6]);
    if begun == 0 && foreground {
        let own = call(GETPID, [0; 6]) as u32;
        call(IOCTL, [0, TIOCSPGRP, (&raw const own).addr(), 0, 0, 0]);
    }
    begun
}

/// Waits for the launcher's word.
fn may_go_on(report: usize) -> bool {
    let mut word = 0u8;
    loop {
        match call(READ, [report, (&raw mut word).addr(), 1, 0, 0, 0]) {
            error if error == -EINTR => {}
            read => return read == 1,
        }
    }
}
