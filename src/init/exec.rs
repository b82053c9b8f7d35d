// SPDX-License-Identifier: MIT OR Apache-2.0
//! Executes the program of a box, from a process whose /proc/self/exe is this one: sealed, and nobody's.
//!
//! Its arguments are those of the init. What it reports is a failure; that its end of the pipe is
//! closed says that the program runs.

use crate::Args;
use crate::kernel::{EXECVE, F_SETFD, FCNTL, FD_CLOEXEC, call, exit};
use crate::report::{self, FAILED};

const EACCES: u32 = 13;

pub(crate) fn run(args: &Args) -> ! {
    let (Some(report), Some(candidates)) = (args.number(1), args.number(3)) else {
        exit(125)
    };
    call(FCNTL, [report, F_SETFD, FD_CLOEXEC, 0, 0, 0]);
    let argv = args.address_from(4 + candidates);
    execute(args, candidates, report, argv, args.environment())
}

/// Executes the first of the candidates that can be executed, or reports which could not.
pub(crate) fn execute(
    args: &Args,
    candidates: usize,
    report: usize,
    argv: usize,
    envp: usize,
) -> ! {
    // As in the child: a candidate that was found and refused says more than the last one.
    let (mut denied, mut last) = (None, (0, 0));
    for candidate in 0..candidates {
        let path = args.get(4 + candidate).map_or(0, |path| path.addr());
        let result = call(EXECVE, [path, argv, envp, 0, 0, 0]);
        last = (candidate as u32, result.wrapping_neg() as u32);
        match last.1 {
            EACCES => denied = denied.or(Some(last)),
            errno if is_not_here(errno) => {}
            _ => {
                denied = None;
                break;
            }
        }
    }
    let (candidate, errno) = denied.unwrap_or(last);
    report::send(report, [FAILED, candidate, errno]);
    exit(127)
}

/// ENOENT, ENOTDIR, ENODEV, ETIMEDOUT, ESTALE: go on with the next directory of PATH.
fn is_not_here(errno: u32) -> bool {
    matches!(errno, 2 | 20 | 19 | 110 | 116)
}
