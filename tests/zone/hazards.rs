//! What the parent must keep, and what the program must not inherit, although parent and child share
//! memory and the child was a copy of the parent.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clonebox::{Command, Namespace, ParentDeath, Stdio, User};
use nix::errno::Errno;
use nix::poll::PollTimeout;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use crate::support::filter::Listener;
use crate::support::process::{raw_pid, status_field, wait};
use crate::support::program::Program;
use crate::support::recipe::do_without_clone3;
use crate::support::{shared, tests};

const OTHER: User = User {
    uid: 1234,
    gid: 1234,
};
/// All signals but SIGKILL and SIGSTOP, which nobody can block: bit N-1 stands for signal N.
const ALL_BLOCKED: u64 = !(1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1));

tests! {
    fn the_parent_stays_dumpable_when_the_child_changes_its_ids() needs [Root] {
        let program = Program::new();
        for dumpable in [true, false] {
            prctl::set_dumpable(dumpable).expect("it can be set");
            assert!(of_another_user(&program).status().expect("it starts").success());
            assert_eq!(prctl::get_dumpable(), Ok(dumpable));
        }
        prctl::set_dumpable(true).expect("it can be set");
        let mut missing = Command::new("/nonexistent/program");
        missing.user(OTHER).status().expect_err("there is no such program");
        assert_eq!(prctl::get_dumpable(), Ok(true), "after a failure");
        fs::read_dir("/proc/self/fd").expect("/proc/self is this process's own");
    }

    fn the_parent_stays_dumpable_through_launches_at_once() needs [Root] {
        let program = Program::new();
        thread::scope(|scope| {
            for user in [Some(OTHER), None, Some(OTHER), None] {
                let mut command = Command::new(program.path());
                if let Some(user) = user {
                    command.user(user);
                }
                scope.spawn(move || {
                    for _ in 0..50 {
                        assert!(command.status().expect("it starts").success());
                    }
                });
            }
        });
        assert_eq!(prctl::get_dumpable(), Ok(true));
    }

    fn an_ordinary_users_next_box_starts_after_many() needs [NotRoot, Box] {
        let program = Program::new();
        for _ in 0..3 {
            assert!(Command::new(program.path()).status().expect("it starts").success());
        }
        assert_eq!(prctl::get_dumpable(), Ok(true));
    }

    fn all_64_signals_are_blocked_in_the_child() needs [Box, Seccomp] {
        storm_a_child();
    }

    fn all_64_signals_are_blocked_in_the_child_of_clone() needs [Box, Seccomp] {
        do_without_clone3(&Program::new().path());
        storm_a_child();
    }

    fn the_program_inherits_no_ignored_signal_and_no_mask() needs [Box] {
        ignore_everything();
        assert_clean(&signals_inside());
    }

    fn the_program_inherits_no_ignored_signal_and_no_mask_without_clone3() needs [Box, Seccomp] {
        do_without_clone3(&Program::new().path());
        ignore_everything();
        assert_clean(&signals_inside());
    }

    fn sigpipe_and_sigchld_are_reset_even_if_ignored_after_the_compilation() needs [Box] {
        let template = cat_status().prepare().expect("a good description");
        act(libc::SIGCHLD, libc::SIG_DFL);
        act(libc::SIGPIPE, libc::SIG_IGN);
        act(libc::SIGCHLD, libc::SIG_IGN);
        assert_clean(&read(template.spawn().expect("it starts")));
    }

    fn nothing_of_the_parent_changes() needs [Box] {
        let program = Program::new();
        let before = own_state();
        for parent_death in [ParentDeath::Kill, ParentDeath::KillWithThread, ParentDeath::Survive] {
            changing(&program, parent_death).status().expect("it starts");
            assert_same(&before, &own_state());
        }
    }

    fn nothing_of_the_parent_changes_when_another_thread_launches() needs [Box] {
        let program = Program::new();
        // The first thread of a process has libc handle a signal of its own.
        thread::spawn(|| {}).join().expect("it does nothing");
        let before = own_state();
        thread::scope(|scope| {
            scope.spawn(|| changing(&program, ParentDeath::Kill).status().expect("it starts"));
        });
        assert_same(&before, &own_state());
    }

    fn the_oom_score_is_the_boxs_alone() needs [Box] {
        let before = oom_score();
        let own: i32 = before.trim().parse().expect("a number");
        let its = (own + 100).min(1000);
        for start_timeout in [None, Some(Duration::from_secs(600))] {
            let mut command = Command::new("cat");
            command.arg("/proc/self/oom_score_adj").oom_score_adj(its);
            if let Some(timeout) = start_timeout {
                command.start_timeout(timeout);
            }
            let output = command.output().expect("it starts");
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), its.to_string());
            assert_eq!(oom_score(), before);
        }
    }

    fn a_parent_that_dies_before_the_first_step_leaves_no_box() needs [Box, Seccomp] {
        // The signal is asked for too late: the look at the parent has to find it dead.
        for pid in [Namespace::Private, Namespace::Host] {
            let status = orphan(libc::SYS_prctl, pid);
            assert_eq!(status, Ended::Exited(125), "{pid:?}");
        }
    }

    fn a_parent_that_dies_in_the_middle_of_the_steps_leaves_no_box() needs [Box, Seccomp] {
        for pid in [Namespace::Private, Namespace::Host] {
            let status = orphan(libc::SYS_sethostname, pid);
            assert_eq!(status, Ended::Killed(Signal::SIGKILL), "{pid:?}");
        }
    }

    fn a_box_that_is_to_survive_outlives_its_parent() needs [Box, Seccomp] {
        assert_eq!(orphan_of(libc::SYS_sethostname, Namespace::Private, ParentDeath::Survive), Ended::Exited(0));
    }
}

fn of_another_user(program: &Program) -> Command {
    let mut command = Command::new(program.path());
    command.user(OTHER);
    command
}

/// The kernel's `struct sigaction` on both architectures, without what may follow.
#[repr(C)]
struct Action {
    handler: usize,
    flags: u64,
    words: [u64; 2],
}

/// Sets a disposition of this process, also of the signals that libc keeps to itself.
fn act(signal: i32, handler: usize) {
    #[cfg(target_arch = "x86_64")]
    let (flags, words) = {
        const SA_RESTORER: u64 = 0x0400_0000;
        let restorer: unsafe extern "C" fn() = restore;
        (SA_RESTORER, [restorer as usize as u64, 0])
    };
    #[cfg(target_arch = "aarch64")]
    let (flags, words) = (0, [0, 0]);
    let action = Action {
        handler,
        flags,
        words,
    };
    // SAFETY: the structure is as the kernel wants it, and the handler one that only counts.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            &raw const action,
            ptr::null_mut::<Action>(),
            8usize,
        )
    };
    assert_eq!(result, 0, "signal {signal}");
}

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl zone_restore",
    "zone_restore:",
    "mov eax, 15",
    "syscall"
);
#[cfg(target_arch = "x86_64")]
unsafe extern "C" {
    #[link_name = "zone_restore"]
    fn restore();
}

/// Handlers that have run in this process, and elsewhere.
static HERE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());
static ELSEWHERE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());
static OWN_PID: AtomicU64 = AtomicU64::new(0);

extern "C" fn handler(_: i32) {
    let here = raw_pid() as u64 == OWN_PID.load(Ordering::Relaxed);
    let count = if here { &HERE } else { &ELSEWHERE };
    // SAFETY: the word is there before the handler is, and never goes.
    unsafe { &*count.load(Ordering::Relaxed) }.fetch_add(1, Ordering::Relaxed);
}

fn changeable() -> impl Iterator<Item = i32> {
    (1..=64).filter(|&signal| signal != libc::SIGKILL && signal != libc::SIGSTOP)
}

/// Stops a child in the middle of its steps, looks at its mask, sends it every signal, and lets it go on.
///
/// The box is PID 1 of its namespace: what is pending when the mask goes has no effect on it, if its
/// disposition is the default one. If it were not, the handler would run, in the parent's memory.
fn storm_a_child() {
    OWN_PID.store(raw_pid() as u64, Ordering::Relaxed);
    HERE.store(ptr::from_ref(shared::word()).cast_mut(), Ordering::Relaxed);
    ELSEWHERE.store(ptr::from_ref(shared::word()).cast_mut(), Ordering::Relaxed);
    changeable().for_each(|signal| act(signal, handler as *const () as usize));
    let program = Program::new();
    let mut command = Command::new(program.path());
    command.parent_death(ParentDeath::KillWithThread);
    let template = command.prepare().expect("a good description");
    let (sender, receiver) = mpsc::channel::<Listener>();
    let watcher = thread::spawn(move || {
        let listener = receiver.recv().expect("a filter has been installed");
        let waiting = listener
            .next(PollTimeout::NONE)
            .expect("the child makes the step");
        let status = fs::read_to_string(format!("/proc/{}/status", waiting.tid)).expect("it lives");
        for signal in changeable() {
            // SAFETY: the call takes numbers; the process is a child of this one, and lives.
            unsafe { libc::syscall(libc::SYS_kill, waiting.tid, signal) };
        }
        let after = fs::read_to_string(format!("/proc/{}/status", waiting.tid)).expect("it lives");
        listener.pass(waiting);
        (listener, status, after)
    });
    sender
        .send(Listener::install(libc::SYS_sethostname))
        .expect("somebody listens");
    let mut child = template.spawn().expect("it starts");
    let status = child.wait().expect("it ends");
    let (_listener, before, after) = watcher.join().expect("it does not panic");
    assert_eq!(mask(&before, "SigBlk"), ALL_BLOCKED, "{before}");
    // One that stops takes back the one that continues.
    let pending = ALL_BLOCKED & !(1 << (libc::SIGCONT - 1));
    assert_eq!(mask(&after, "ShdPnd"), pending, "they are pending: {after}");
    assert!(status.success(), "{status}");
    let count = |counter: &AtomicPtr<AtomicU64>| {
        // SAFETY: the word never goes.
        unsafe { &*counter.load(Ordering::Relaxed) }.load(Ordering::Relaxed)
    };
    assert_eq!(count(&ELSEWHERE), 0, "a handler has run in the child");
    // The handlers work: SIGCHLD has come, at least.
    assert!(count(&HERE) > 0);
}

fn mask(status: &str, field: &str) -> u64 {
    u64::from_str_radix(&status_field(status, field), 16).expect("a mask")
}

/// Everything is ignored that can be, and what can be blocked is.
fn ignore_everything() {
    changeable().for_each(|signal| act(signal, libc::SIG_IGN));
    let all = u64::MAX;
    // SAFETY: the set is ours and has the 8 bytes that the call is told of.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const all,
            ptr::null_mut::<u64>(),
            8usize,
        )
    };
}

fn cat_status() -> Command {
    let mut command = Command::new("cat");
    command
        .arg("/proc/self/status")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// What a program in a box finds. With SIGCHLD ignored here, nobody can wait for it.
fn signals_inside() -> String {
    read(cat_status().spawn().expect("it starts"))
}

fn read(mut child: clonebox::Child) -> String {
    let output = child.stdout.take().expect("a pipe");
    let text = std::io::read_to_string(output).expect("it can be read");
    let _ = child.wait();
    text
}

#[track_caller]
fn assert_clean(status: &str) {
    for field in ["SigBlk", "SigIgn", "SigPnd", "ShdPnd"] {
        assert_eq!(mask(status, field), 0, "{field} in {status}");
    }
}

/// A box that changes whatever it can of itself.
fn changing(program: &Program, parent_death: ParentDeath) -> Command {
    let mut command = Command::new(program.path());
    command
        .hostname("changed")
        .current_dir("/")
        .umask(0o77)
        .nice(19)
        .oom_score_adj(1000)
        .rlimit("core=0".parse().expect("a limit"))
        .rlimit("nofile=50:60".parse().expect("a limit"))
        .ipc(Namespace::Private)
        .net(Namespace::Private)
        .parent_death(parent_death);
    if nix::unistd::geteuid().is_root() {
        command.user(OTHER);
    }
    command
}

/// All that a launch could change of this process and of its host.
fn own_state() -> String {
    let mut state = String::new();
    for file in [
        "self/limits",
        "self/oom_score_adj",
        "thread-self/attr/current",
        "sys/kernel/hostname",
        "self/mountinfo",
    ] {
        state += &fs::read_to_string(format!("/proc/{file}")).unwrap_or_default();
    }
    let status = fs::read_to_string("/proc/thread-self/status").expect("/proc is mounted");
    for field in [
        "Umask",
        "Uid",
        "Gid",
        "Groups",
        "SigBlk",
        "SigIgn",
        "SigCgt",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
    ] {
        state += &format!("{field} {}\n", status_field(&status, field));
    }
    for link in fs::read_dir("/proc/thread-self/ns").expect("/proc is mounted") {
        let path = link.expect("it can be listed").path();
        state += &format!("{} {:?}\n", path.display(), fs::read_link(&path));
    }
    // SAFETY: the call takes numbers and touches no memory of ours.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let session = nix::unistd::getsid(None);
    state += &format!(
        "{nice} {session:?} {} {:?} {:?} {:?}",
        nix::unistd::getpgrp(),
        std::env::current_dir(),
        prctl::get_dumpable(),
        prctl::get_pdeathsig()
    );
    state
}

#[track_caller]
fn assert_same(before: &str, after: &str) {
    let changed = |one: &str, other: &str| -> String {
        let other: Vec<&str> = other.lines().collect();
        let lines = one.lines().filter(|line| !other.contains(line));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert!(
        before == after,
        "was\n{}\nis\n{}",
        changed(before, after),
        changed(after, before)
    );
}

fn oom_score() -> String {
    fs::read_to_string("/proc/self/oom_score_adj").expect("/proc is mounted")
}

/// How an orphan has ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Exited(i32),
    Killed(Signal),
}

fn orphan(call: libc::c_long, pid: Namespace) -> Ended {
    orphan_of(call, pid, ParentDeath::Kill)
}

/// Kills a parent while its child waits to make this call, lets the child go on, and sees how it ends.
fn orphan_of(call: libc::c_long, pid: Namespace, parent_death: ParentDeath) -> Ended {
    // Orphans of this process's descendants become its own.
    prctl::set_child_subreaper(true).expect("it can be set");
    let program = Program::new();
    let number = shared::word();
    // SAFETY: this process has one thread, so that its copy may do as it likes.
    let parent = unsafe { libc::fork() };
    if parent == 0 {
        let mut command = Command::new(program.path());
        command
            .hostname("orphan")
            .pid(pid)
            .parent_death(parent_death);
        let template = command.prepare().expect("a good description");
        let listener = Listener::install(call);
        number.store(listener.number() as u64, Ordering::Release);
        let _ = template.spawn();
        unreachable!("it is killed before");
    }
    let listener = take_listener(parent, number);
    let waiting = loop {
        let waiting = listener
            .next(PollTimeout::NONE)
            .expect("the child makes the call");
        if waiting.tid != parent {
            break waiting;
        }
        listener.pass(waiting);
    };
    kill(Pid::from_raw(parent), Signal::SIGKILL).expect("it is ours");
    wait(parent);
    listener.pass(waiting);
    // It may go on to make the same call again, until nobody is left to make it.
    let passing = thread::spawn(move || {
        while let Some(waiting) = listener.next(PollTimeout::NONE) {
            listener.pass(waiting);
        }
    });
    let ended = match wait(waiting.tid) {
        WaitStatus::Exited(_, code) => Ended::Exited(code),
        WaitStatus::Signaled(_, signal, _) => Ended::Killed(signal),
        other => panic!("{other:?}"),
    };
    passing.join().expect("it does not panic");
    ended
}

/// Takes the listener out of the process that has installed it.
fn take_listener(process: i32, number: &AtomicU64) -> Listener {
    while number.load(Ordering::Acquire) == 0 {
        thread::yield_now();
    }
    let call = |number: libc::c_long, args: [i32; 3]| {
        // SAFETY: the calls take numbers and touch no memory.
        let fd = Errno::result(unsafe { libc::syscall(number, args[0], args[1], args[2]) });
        // SAFETY: the descriptor is new and nobody else's.
        unsafe { OwnedFd::from_raw_fd(fd.expect("a descriptor") as i32) }
    };
    let pidfd = call(libc::SYS_pidfd_open, [process, 0, 0]);
    let number = number.load(Ordering::Relaxed) as i32;
    Listener::from_fd(call(libc::SYS_pidfd_getfd, [pidfd.as_raw_fd(), number, 0]))
}
