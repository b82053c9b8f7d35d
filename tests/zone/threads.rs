//! Launches from several threads, in a program whose other threads do all that a child in their memory
//! could trip over: they hold the allocator's locks, those of stdout and of the environment, and have
//! signals handled.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clonebox::Command;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::unistd::{Pid, setpgid};

use crate::support::process::{assert_no_child, descriptors, raw_pid};
use crate::support::program::Program;
use crate::support::recipe::do_without_clone3;
use crate::support::tests;

/// How many launches there are to be, and how many there must be at least where launches are slow.
const LAUNCHES: u64 = 10_000;
const AT_LEAST: u64 = 200;
const ENOUGH: Duration = Duration::from_secs(60);
const LAUNCHERS: usize = 3;
/// The hostile threads leave some of the processors to the launches.
const PAUSE: Duration = Duration::from_micros(50);
/// No launch at all for so long is a deadlock.
const STUCK_AFTER: Duration = Duration::from_secs(60);

static OWN_PID: AtomicI32 = AtomicI32::new(0);
static HANDLED_HERE: AtomicU64 = AtomicU64::new(0);
static HANDLED_ELSEWHERE: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicU64 = AtomicU64::new(0);
static OVER: AtomicBool = AtomicBool::new(false);

tests! {
    fn launches_among_hostile_threads_neither_hang_nor_leak_nor_run_a_handler_in_the_child() needs [Box] {
        launch_among_hostile_threads(&Program::new(), LAUNCHES);
    }

    fn launches_among_hostile_threads_without_clone3_do_not_either() needs [Box, Seccomp] {
        // Here the child has the parent's handlers until it has reset them, one by one.
        let program = Program::new();
        do_without_clone3(&program.path());
        launch_among_hostile_threads(&program, LAUNCHES / 5);
    }
}

fn launch_among_hostile_threads(program: &Program, wanted: u64) {
    let wanted =
        env::var("CLONEBOX_ZONE_LAUNCHES").map_or(wanted, |text| text.parse().expect("a number"));
    // Those who started this process have no part in it.
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).expect("it leads no session");
    handle_signals();
    speak_to_nobody();
    let before = descriptors();
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(watch);
        for hostile in [allocate, print, change_the_environment, raise_signals] {
            scope.spawn(move || {
                while !OVER.load(Ordering::Relaxed) {
                    hostile();
                    thread::sleep(PAUSE);
                }
            });
        }
        let launchers = [(); LAUNCHERS].map(|()| scope.spawn(|| launch(program, wanted, began)));
        for launcher in launchers {
            launcher.join().expect("it does not panic");
        }
        OVER.store(true, Ordering::Relaxed);
    });
    let done = DONE.load(Ordering::Relaxed);
    let handled = HANDLED_HERE.load(Ordering::Relaxed);
    say(&format!(
        "{done} launches, {handled} signals handled, {:?}",
        began.elapsed()
    ));
    assert!(
        done >= wanted.min(AT_LEAST),
        "{done} launches in {:?}",
        began.elapsed()
    );
    assert!(handled > 0, "no signal was handled at all");
    assert_eq!(
        HANDLED_ELSEWHERE.load(Ordering::Relaxed),
        0,
        "a handler has run in a child"
    );
    assert_no_child();
    assert_eq!(descriptors(), before);
}

/// Launches boxes until all launchers together have made enough, half of them from one template.
fn launch(program: &Program, wanted: u64, began: Instant) {
    let mut command = Command::new(program.path());
    command.env("ZONE", "1");
    let template = command.prepare().expect("a good description");
    while DONE.fetch_add(1, Ordering::Relaxed) < wanted && began.elapsed() < ENOUGH {
        let child = if DONE.load(Ordering::Relaxed).is_multiple_of(2) {
            template.spawn()
        } else {
            command.spawn()
        };
        let status = child.expect("it starts").wait().expect("it ends");
        assert!(status.success(), "{status}");
    }
    DONE.fetch_sub(1, Ordering::Relaxed);
}

/// Ends the process when nothing has happened for too long.
fn watch() {
    let (mut last, mut since) = (0, Instant::now());
    while !OVER.load(Ordering::Relaxed) {
        let done = DONE.load(Ordering::Relaxed);
        if done != last {
            (last, since) = (done, Instant::now());
        }
        assert!(since.elapsed() < STUCK_AFTER, "stuck after {done} launches");
        thread::sleep(Duration::from_millis(100));
    }
}

fn allocate() {
    let mut kept = BTreeMap::new();
    for size in 1..200usize {
        kept.insert(size, vec![0u8; size * 37]);
        kept.remove(&(size / 2));
    }
    black_box(kept);
}

fn print() {
    let mut stdout = std::io::stdout().lock();
    // Nobody listens.
    let _ = writeln!(stdout, "{}", "line ".repeat(20));
    let _ = stdout.flush();
}

fn change_the_environment() {
    // SAFETY: everybody in this process reads and writes the environment through std, which locks it.
    unsafe { env::set_var("HOSTILE", "x".repeat(100)) };
    black_box(env::var("HOSTILE").ok());
    // SAFETY: the same.
    unsafe { env::remove_var("HOSTILE") };
}

/// Signals for the whole group, as a terminal sends them: a child belongs to it until it has a session
/// of its own, and keeps what came until then. As PID 1 its program is not impressed.
fn raise_signals() {
    for signal in [Signal::SIGUSR1, Signal::SIGALRM, Signal::SIGUSR2] {
        kill(Pid::from_raw(0), signal).expect("it is this group");
    }
}

extern "C" fn handler(_: i32) {
    let here = raw_pid() == OWN_PID.load(Ordering::Relaxed);
    let count = if here {
        &HANDLED_HERE
    } else {
        &HANDLED_ELSEWHERE
    };
    count.fetch_add(1, Ordering::Relaxed);
}

fn handle_signals() {
    OWN_PID.store(raw_pid(), Ordering::Relaxed);
    let action = SigAction::new(
        SigHandler::Handler(handler),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    for signal in [
        Signal::SIGUSR1,
        Signal::SIGALRM,
        Signal::SIGUSR2,
        Signal::SIGCHLD,
    ] {
        // SAFETY: the handler makes a system call and counts, both of which a handler may do.
        unsafe { sigaction(signal, &action) }.expect("it can be handled");
    }
}

/// Standard output goes to /dev/null; standard error stays for what is to be said.
fn speak_to_nobody() {
    let null = File::options()
        .write(true)
        .open("/dev/null")
        .expect("there is /dev/null");
    nix::unistd::dup2_stdout(&null).expect("standard output can be replaced");
}

fn say(line: &str) {
    // It is read when the test fails, or alone.
    let _ = writeln!(std::io::stderr(), "{line}");
}
