// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tie: it runs another program, pasta(1), and ends it when a box ends, however it ends.
//!
//! The arguments are the process id of the box, whose parent waits for this process to end before it lets go of
//! that number; the path of the program; and its arguments from `argv[0]` on. The standard streams are the
//! program's. This process makes another one, which nobody has to wait for, and ends at once.

use crate::Args;
use crate::kernel::{
    CHDIR, CLONE, CLOSE, EXECVE, PIDFD_OPEN, PIDFD_SEND_SIGNAL, POLLIN, PPOLL, PR_SET_DUMPABLE,
    PRCTL, SETSID, SIGCHLD, SIGKILL, WAIT4, WRITE, block_signals, call, exit, unblock_signals,
};

const WORDS: &[u8] = b"it cannot be executed\n";

pub(crate) fn run(args: &Args) -> ! {
    let Some(number) = args.number(1) else {
        exit(125)
    };
    let (Some(the_box), Some(path)) = (open(number), args.get(2)) else {
        exit(125)
    };
    // Whatever directory the caller was in can be unmounted.
    call(CHDIR, [c"/".as_ptr().addr(), 0, 0, 0, 0, 0]);
    match fork() {
        0 => {}
        1.. => exit(0),
        _ => exit(125),
    }
    // The caller's terminal has nothing to say to it.
    call(SETSID, [0; 6]);
    let program = fork();
    if program == 0 {
        // Those that the launcher takes as data are blocked.
        unblock_signals();
        let (argv, envp) = (args.address_from(3), args.environment());
        call(EXECVE, [path.addr(), argv, envp, 0, 0, 0]);
        call(WRITE, [2, WORDS.as_ptr().addr(), WORDS.len(), 0, 0, 0]);
        exit(125)
    }
    // It has what it needs for its program only: one that sees it must not trace it.
    call(PRCTL, [PR_SET_DUMPABLE, 0, 0, 0, 0, 0]);
    block_signals();
    // The end of the program is the end of its streams.
    for stream in 0..3 {
        call(CLOSE, [stream, 0, 0, 0, 0, 0]);
    }
    let Ok(program @ 1..) = usize::try_from(program) else {
        exit(125)
    };
    // Where the caller ignores SIGCHLD the number is free when the program has ended: the pidfd is not.
    let Some(the_program) = open(program) else {
        exit(125)
    };
    let mut both = [the_box, the_program].map(|fd| fd as u64 | POLLIN << 32);
    while call(PPOLL, [both.as_mut_ptr().addr(), 2, 0, 0, 0, 0]) < 0 {}
    call(PIDFD_SEND_SIGNAL, [the_program, SIGKILL, 0, 0, 0, 0]);
    call(WAIT4, [program, 0, 0, 0, 0, 0]);
    exit(0)
}

/// fork(2): the process has one thread and a handful of pages.
fn fork() -> isize {
    call(CLONE, [SIGCHLD, 0, 0, 0, 0, 0])
}

/// pidfd_open(2).
fn open(process: usize) -> Option<usize> {
    usize::try_from(call(PIDFD_OPEN, [process, 0, 0, 0, 0, 0])).ok()
}
