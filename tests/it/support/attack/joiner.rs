//! Programs that join a box by the library, and as it must not be done; and what the box does to their memory.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, io, process, ptr};

use clonebox::{Command, Registry};
use nix::errno::Errno;

use super::super::probe;
use super::memory::{self, FOREIGN};
use super::word;

const OWN: usize = 0x6f77_6e6f_776e_6f77;

/// What the attack is aimed at.
static WORD: AtomicUsize = AtomicUsize::new(OWN);

fn say(text: &str) {
    writeln!(io::stdout(), "{text}").expect("a reader");
}

fn announce() {
    say(&(&raw const WORD).addr().to_string());
}

fn say_what_became_of_it() {
    say(match WORD.load(Ordering::SeqCst) {
        OWN => "as it was",
        FOREIGN => "changed",
        _ => "something else",
    });
}

/// Joins the box of a directory and a name. Says first where the word is, and in the end what it is.
pub(super) fn run(words: &[OsString]) {
    announce();
    let name = words[1].to_str().expect("UTF-8");
    let entry = Registry::at(&words[0]).find(name).expect("a box");
    let mut command = Command::new(probe::path());
    command.args(["__probe", "exit", "0"]);
    let joined = command.join(entry.join().expect("it runs")).status();
    assert!(joined.expect("it has run").success());
    say_what_became_of_it();
}

/// Joins the box of a process as it must not be done: a process that shares this one's memory, and lets
/// everybody trace that, is seen in the box until standard input ends.
pub(super) fn naive(words: &[OsString]) {
    let first = words[0].to_str().expect("UTF-8");
    let is_other = |kind: &str| {
        let [own, its] = ["self", first].map(|pid| fs::read_link(format!("/proc/{pid}/ns/{kind}")));
        own.expect("/proc") != its.expect("/proc")
    };
    let flags = [("user", libc::CLONE_NEWUSER), ("pid", libc::CLONE_NEWPID)];
    let flags = flags.into_iter().filter(|(kind, _)| is_other(kind));
    let flags = flags.fold(0, |all, (_, flag)| all | flag);
    let pid: libc::pid_t = first.parse().expect("a process id");
    // SAFETY: the call takes numbers.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let pidfd = Errno::result(pidfd).expect("a process") as i32;
    let mut join = Join {
        pidfd,
        flags,
        result: -1,
    };
    clone(joins, (&raw mut join).cast());
    assert_eq!(join.result, 0, "it joins");
    announce();
    let mut rest = Vec::new();
    io::stdin().read_to_end(&mut rest).expect("standard input");
    say_what_became_of_it();
    io::stdout().flush().expect("a reader");
    // Both of the others share this memory, and end before it does.
    let _ = io::stdout().as_raw_fd();
    // SAFETY: nothing is left to be done.
    unsafe { libc::_exit(0) };
}

struct Join {
    pidfd: i32,
    flags: i32,
    result: i32,
}

extern "C" fn joins(join: *mut libc::c_void) -> i32 {
    // SAFETY: it is whoever clones who has it, and waits.
    let join = unsafe { &mut *join.cast::<Join>() };
    // SAFETY: the call takes numbers.
    join.result = unsafe { libc::setns(join.pidfd, join.flags) };
    if join.result == 0 {
        clone(stays, ptr::null_mut());
    }
    0
}

extern "C" fn stays(_: *mut libc::c_void) -> i32 {
    // SAFETY: the call takes numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    loop {
        // SAFETY: the call takes nothing.
        unsafe { libc::pause() };
    }
}

/// A process in this one's memory; the first one is waited for until it has made the second.
fn clone(run: extern "C" fn(*mut libc::c_void) -> i32, with: *mut libc::c_void) {
    let stack = Box::leak(vec![0u128; 16 * 1024].into_boxed_slice());
    let waits = if with.is_null() {
        libc::CLONE_PARENT
    } else {
        libc::CLONE_VFORK
    };
    let flags = libc::CLONE_VM | libc::SIGCHLD | waits;
    // SAFETY: the stack is never given back.
    let pid = unsafe { libc::clone(run, stack.as_mut_ptr_range().end.cast(), flags, with) };
    assert!(pid > 0, "{}", io::Error::last_os_error());
}

/// Writes to this address of every process that is to be seen, but this one and PID 1: of each how far it got.
pub(super) fn of_all(words: &[OsString]) {
    let address = super::number(&words[1]);
    let own = process::id() as usize;
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<usize>().ok());
    for pid in pids.filter(|pid| ![1, own].contains(pid)) {
        say(&word(&memory::write(&words[0], pid, address)));
    }
}
