//! What a box may have in common with those outside: processes, memory, a terminal.

#![expect(
    clippy::print_stdout,
    reason = "a probe is a program of its own, which says how far it got"
)]

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;

use nix::unistd::getppid;

use super::super::processes::{self, eventually};
use super::{c_string, check, word};

/// Whether the process that has started the box, which is the command, can be traced, and its root looked
/// at; once it has given up its privileges, if it had any.
pub(super) fn parent(words: &[OsString]) {
    let pid = getppid();
    let status = || fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let none = |status: &str| status.contains("CapPrm:\t0000000000000000");
    let given_up = eventually(|| none(&status()) || status().contains("NoNewPrivs:\t1"));
    assert!(given_up, "{}", status());
    trace(pid.as_raw(), &words[0]);
}

/// The same with the guard of the command's terminal, once it waits.
pub(super) fn guard(words: &[OsString]) {
    let parent = format!(" {} ", getppid());
    let waits = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.split_once(") S")
            .is_some_and(|(_, rest)| rest.starts_with(&parent))
    };
    let found = || processes::marked("guard").into_iter().find(waits);
    assert!(eventually(|| found().is_some()), "there is a guard");
    trace(found().expect("it stays").cast_signed(), &words[0]);
}

/// Whether a process can be traced, and its root looked at.
pub(super) fn trace(pid: i32, file: &OsString) {
    // SAFETY: the call takes numbers. With PTRACE_SEIZE the other process goes on.
    let traced = check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) });
    println!("{}", word(&traced));
    let path = format!("/proc/{pid}/root{}", file.display());
    println!("{}", word(&File::open(path).map(drop)));
}

/// Opens a POSIX message queue.
pub(super) fn queue(name: &OsString) -> io::Result<()> {
    let name = c_string(name);
    // SAFETY: the string lives during the call.
    check(unsafe { libc::mq_open(name.as_ptr(), libc::O_RDONLY) }.into())
}

/// Looks for a segment of System V memory.
pub(super) fn segment(key: usize) -> io::Result<()> {
    // SAFETY: the call takes numbers.
    check(unsafe { libc::shmget(key as libc::key_t, 0, 0) }.into())
}

/// Types a line into the terminal that is standard input, as if its user had; with these bits above the 32 of
/// a request.
pub(super) fn type_into_terminal(high: usize, line: &OsString) -> io::Result<()> {
    let request = libc::TIOCSTI as usize | high << 32;
    let line = format!("{}\n", line.display());
    line.bytes().try_for_each(|byte| {
        // SAFETY: the byte lives during the call.
        check(unsafe { libc::syscall(libc::SYS_ioctl, 0, request, &raw const byte) })
    })
}
