// SPDX-License-Identifier: MIT OR Apache-2.0
//! PID 1: starts the program, passes signals on to it, reaps orphans, and ends with it.
//!
//! Its arguments: the descriptor to report to, the terminal, the number of candidates, the candidates, argv.
//!
//! On a terminal of its own (`new`) the program leads the session: `^Z` does not stop it, for nobody could
//! continue it. On the launcher's (`inherit`) it leads the foreground process group, and is continued at
//! once. Without one (`none`) it leads a process group.

use core::ptr;

use clonebox_child::{Arg, CloneArgs, Entry, Expect, OnError, Shared, Slot, Step, clone};

use crate::Args;
use crate::kernel::{
    EINTR, ENOTTY, EXECVE, F_SETFD, FCNTL, FD_CLOEXEC, GETPGID, GETPID, IOCTL, KILL, MMAP,
    RT_SIGPROCMASK, RT_SIGTIMEDWAIT, SETPGID, SETSID, SIG_SETMASK, SIGCHLD, SIGSET_LEN, WAIT4,
    block_signals, call, exit,
};
use crate::report::{self, ENDED, FAILED, STARTED};

const TIOCGPGRP: usize = 0x540f;
pub(crate) const TIOCSPGRP: usize = 0x5410;
pub(crate) const TIOCSCTTY: usize = 0x540e;
const WNOHANG: usize = 1;
const WUNTRACED: usize = 2;
const SIGCONT: usize = 18;
/// The low byte of the wait status of a process that has stopped; and the whole one after SIGTSTP.
const STOPPED: u32 = 0x7f;
const STOPPED_BY_TERMINAL: u32 = 20 << 8 | STOPPED;
/// Signals about the init itself, which are not the program's: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE,
/// SIGSEGV, SIGSYS say that it is broken, SIGPIPE that nobody reads its report.
const OWN: [i32; 8] = [4, 5, 6, 7, 8, 11, 13, 31];
const CLONE_VM: u64 = 0x100;
const CLONE_VFORK: u64 = 0x4000;
const STACK_LEN: usize = 16 * 1024;
/// The program's process id in the box.
const PID: Slot = Slot(0);
/// The terminal that the launcher is on too.
const INHERITED: &[u8] = b"inherit";

pub(crate) fn run(args: &Args) -> ! {
    block_signals();
    let (Some(report), Some(candidates)) = (args.number(1), args.number(3)) else {
        exit(125)
    };
    call(FCNTL, [report, F_SETFD, FD_CLOEXEC, 0, 0, 0]);
    let terminal = args.bytes(2);
    let program = match start(args, terminal, candidates) {
        Ok(pid) => pid,
        Err((candidate, errno)) => {
            report::send(report, [FAILED, candidate, errno]);
            exit(127)
        }
    };
    report::send(report, [STARTED, 0, 0]);
    let status = serve(program, terminal == INHERITED);
    report::send(report, [ENDED, status, 0]);
    exit(exit_code(status))
}

/// Passes signals on and reaps until the program has ended; its wait status.
fn serve(program: u32, inherited: bool) -> u32 {
    let all = u64::MAX;
    loop {
        let signal = call(
            RT_SIGTIMEDWAIT,
            [(&raw const all).addr(), 0, 0, SIGSET_LEN, 0, 0],
        );
        if signal == SIGCHLD.cast_signed() {
            if let Some(status) = reap(program, inherited) {
                return status;
            }
        } else if inherited && signal == SIGCONT as isize {
            // The launcher gives the foreground to the init, which is all that it knows of.
            if is_foreground() {
                let place = (&raw const program).addr();
                call(IOCTL, [0, TIOCSPGRP, place, 0, 0, 0]);
            }
            kill_group(program, SIGCONT);
        } else if signal > 0 && !OWN.contains(&(signal as i32)) {
            call(KILL, [program as usize, signal as usize, 0, 0, 0, 0]);
        }
    }
}

/// Waits for all that have ended. One SIGCHLD may stand for many. If the terminal has stopped the program,
/// it may have to be continued.
fn reap(program: u32, continues: bool) -> Option<u32> {
    let mut ended = None;
    loop {
        let mut status = 0u32;
        let pid = call(
            WAIT4,
            [
                usize::MAX,
                (&raw mut status).addr(),
                WNOHANG | WUNTRACED,
                0,
                0,
                0,
            ],
        );
        match pid {
            pid if pid == program as isize => match status {
                STOPPED_BY_TERMINAL if continues => {
                    kill_group(program, SIGCONT);
                }
                status if status & 0xff == STOPPED => {}
                status => ended = Some(status),
            },
            pid if pid > 0 || pid == -EINTR => {}
            _ => return ended,
        }
    }
}

/// Sends a signal to all that the terminal stops together: the program leads a process group.
fn kill_group(program: u32, signal: usize) {
    let group = (program as usize).wrapping_neg();
    call(KILL, [group, signal, 0, 0, 0, 0]);
}

/// The code for a wait status: the program's own, or 128+N after signal N.
fn exit_code(status: u32) -> usize {
    match status & 0x7f {
        0 => (status >> 8 & 0xff) as usize,
        signal => 128 + signal as usize,
    }
}

/// A stack for the program's start.
#[repr(C, align(16))]
struct Memory {
    stack: [u8; STACK_LEN],
    shared: Shared,
}

/// Starts the program; the candidate that failed and its errno otherwise.
///
/// It is the launcher's own way, in small: steps, and a child that interprets them on a stack of its
/// own while this process waits (`CLONE_VFORK`).
fn start(args: &Args, terminal: &[u8], candidates: usize) -> Result<u32, (u32, u32)> {
    let foreground = terminal == INHERITED && is_foreground();
    let new = terminal == b"new";
    // The steps before the first execve.
    let prelude = match (new, foreground) {
        (true, _) => 3,
        (_, true) => 4,
        _ => 2,
    };
    let count = prelude + candidates;
    let (Some(memory), Some(steps)) = (map(size_of::<Memory>()), map(count * size_of::<Step>()))
    else {
        return Err((0, 12));
    };
    let memory: *mut Memory = ptr::with_exposed_provenance_mut(memory);
    let steps: *mut Step = ptr::with_exposed_provenance_mut(steps);
    let none = 0u64;
    let mut length = 0;
    let mut push = |step: Step| {
        // SAFETY: the mapping has room for `count` steps, and no more are pushed.
        unsafe { steps.wrapping_add(length).write(step) };
        length += 1;
    };
    push(step(if new { SETSID } else { SETPGID }, [Arg::Word(0); 6]));
    if new {
        push(step(IOCTL, words([0, TIOCSCTTY, 0, 0, 0, 0])));
    }
    if foreground {
        push(Step {
            save: Some(PID),
            ..step(GETPID, [Arg::Word(0); 6])
        });
        let front = [
            Arg::Word(0),
            Arg::Word(TIOCSPGRP),
            Arg::SlotAddress(PID),
            Arg::Word(0),
            Arg::Word(0),
            Arg::Word(0),
        ];
        push(Step {
            on_error: OnError::Ignore(ENOTTY),
            ..step(IOCTL, front)
        });
    }
    push(step(
        RT_SIGPROCMASK,
        words([SIG_SETMASK, (&raw const none).addr(), 0, SIGSET_LEN, 0, 0]),
    ));
    let argv = args.address_from(4 + candidates);
    for candidate in 0..candidates {
        let path = args.get(4 + candidate).map_or(0, |path| path.addr());
        let execve = words([path, argv, args.environment(), 0, 0, 0]);
        push(Step {
            on_error: OnError::TryNext,
            ..step(EXECVE, execve)
        });
    }
    // SAFETY: `count` steps have been written.
    let steps = unsafe { core::slice::from_raw_parts(steps, count) };
    // SAFETY: zeros are a valid Shared; the mapping lives as long as this process.
    let shared = unsafe { &(*memory).shared };
    shared.reset();
    let entry = Entry::new(steps, shared, &[]);
    let args = CloneArgs {
        flags: CLONE_VM | CLONE_VFORK,
        exit_signal: SIGCHLD as u64,
        stack: memory.expose_provenance() as u64,
        stack_size: STACK_LEN as u64,
        ..CloneArgs::default()
    };
    // SAFETY: the stack and all that the entry refers to are this function's, which goes on when the
    // child has left (CLONE_VFORK); signals are blocked.
    let pid = unsafe { clone(&args, &entry) }.map_err(|errno| (0, errno))?;
    match shared.report.failure() {
        Some((step, errno)) => Err((step.saturating_sub(prelude as u32), errno)),
        None => Ok(pid),
    }
}

fn step(number: usize, args: [Arg; 6]) -> Step {
    Step {
        number,
        args,
        save: None,
        expect: Expect::Success,
        on_error: OnError::Fail,
    }
}

fn words(words: [usize; 6]) -> [Arg; 6] {
    words.map(Arg::Word)
}

/// Whether the init has the foreground of a terminal on descriptor 0, to give to the program.
pub(crate) fn is_foreground() -> bool {
    let mut group = 0u32;
    call(IOCTL, [0, TIOCGPGRP, (&raw mut group).addr(), 0, 0, 0]) == 0
        && group as isize == call(GETPGID, [0; 6])
}

/// Zeroed memory: the address.
fn map(length: usize) -> Option<usize> {
    const READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    let address = call(
        MMAP,
        [0, length, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0],
    );
    (address > 0).then_some(address.cast_unsigned())
}
