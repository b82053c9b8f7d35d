// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much memory a command has at most.
//!
//! Not `ru_maxrss`, which begins with what the process had before execve(2): that is the bench's own memory. What
//! `VmHWM` in proc_pid_status(5) counts begins with the program; it is read when the process is about to end, which
//! ptrace(2) tells.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The most that was resident of the process that the command starts, in KiB.
pub(crate) fn kib(mut command: Command) -> io::Result<f64> {
    let traced = || call(libc::PTRACE_TRACEME, 0, 0).map(drop);
    // SAFETY: a system call, and nothing else, is made between fork(2) and execve(2).
    unsafe { command.pre_exec(traced) };
    let child = command.spawn()?;
    let pid = child.id().cast_signed();
    let mut peak = None;
    let mut signal = 0;
    // Some execute themselves again: that is told as an event, and is no signal for them.
    let options = libc::PTRACE_O_TRACEEXIT | libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL;
    let ending = libc::SIGTRAP | libc::PTRACE_EVENT_EXIT << 8;
    let mut begun = false;
    loop {
        let mut status = 0;
        // SAFETY: the kernel writes a status, which lives during the call.
        if unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
        if !libc::WIFSTOPPED(status) {
            let peak = peak.filter(|_| status == 0);
            return peak.ok_or_else(|| io::Error::other(format!("it has ended with {status:#x}")));
        }
        if status >> 8 == ending {
            let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            peak = number;
        } else if !begun {
            // It stands behind its execve.
            call(libc::PTRACE_SETOPTIONS, pid, options as usize)?;
            begun = true;
        } else if status >> 16 == 0 {
            signal = libc::WSTOPSIG(status);
        }
        call(libc::PTRACE_CONT, pid, std::mem::take(&mut signal) as usize)?;
    }
}

fn call(request: libc::c_uint, pid: libc::pid_t, data: usize) -> io::Result<libc::c_long> {
    // SAFETY: of these requests none takes an address.
    let result = unsafe { libc::ptrace(request, pid, 0usize, data) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
