//! What is about a whole process, and so needs one that does nothing else.

#![expect(clippy::print_stdout, reason = "it is a program of its own")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::thread;

use clonebox::{Command, ErrorKind, UserNamespace};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};

use super::probe;
use super::processes::eventually;

/// A box around this binary.
fn command(words: &[&str]) -> Command {
    let mut command = Command::new(probe::path());
    command.arg("__probe").args(words);
    command
}

fn fails(command: &Command, kind: ErrorKind) {
    let error = command.spawn().expect_err("no box");
    assert_eq!(error.kind(), kind, "{error}");
}

/// Starts a box, or fails to, in the way that is named.
fn start(scenario: &str) {
    match scenario {
        "clone" => fails(
            command(&["exit", "0"]).userns(UserNamespace::Host),
            ErrorKind::Clone,
        ),
        "clone-by-another-thread" => {
            let launch = thread::spawn(|| start("clone"));
            launch.join().expect("it fails as it should");
        }
        // The lowest number, which is the next that a launch takes for itself.
        "descriptor" => fails(command(&["exit", "0"]).pass_fd(3), ErrorKind::Setup),
        "exec" => fails(&Command::new("/dev/null/none"), ErrorKind::Exec),
        "kill" => {
            let mut child = command(&["stay"])
                .stdout(clonebox::Stdio::piped())
                .spawn()
                .expect("a box");
            child.kill().expect("it is ours");
            child.wait().expect("its end");
        }
        "setup" => fails(
            command(&["exit", "0"]).current_dir("/dev/null/none"),
            ErrorKind::Setup,
        ),
        "spec" => fails(command(&["exit", "0"]).hostname(""), ErrorKind::Spec),
        "success" => {
            let output = command(&["copy"]).output().expect("a box");
            assert!(output.status.success(), "{output:?}");
        }
        scenario => panic!("there is no scenario {scenario:?}"),
    }
}

/// The descriptors of this process, and how many threads it has.
fn belongings() -> (Vec<String>, usize) {
    let entries = fs::read_dir("/proc/self/fd").expect("/proc");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    // The descriptor that looks is among them each time.
    let mut descriptors: Vec<String> = paths
        .map(|path| format!("{} {:?}", path.display(), fs::read_link(&path).ok()))
        .collect();
    descriptors.sort();
    let threads = fs::read_dir("/proc/self/task").expect("/proc").count();
    (descriptors, threads)
}

/// Starts boxes in one way and says what this process has been left with.
pub(super) fn leftovers(scenario: &OsString) {
    let scenario = scenario.to_str().expect("UTF-8");
    start(scenario);
    let (descriptors, threads) = belongings();
    (0..10).for_each(|_| start(scenario));
    // A thread that was joined is listed for a moment more, after the first launch too.
    let nothing_more = || {
        let after = belongings();
        after.0 == descriptors && after.1 <= threads
    };
    if !eventually(nothing_more) {
        println!(
            "before {descriptors:?}, {threads} threads\nafter {:?}",
            belongings()
        );
    }
    match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        Err(Errno::ECHILD) => {}
        child => println!("a child: {child:?}"),
    }
}

/// Succeeds and fails in every way, with nothing to say.
pub(super) fn silence() {
    assert!(command(&["exit", "0"]).status().expect("a box").success());
    ["exec", "kill", "setup", "spec", "success"]
        .into_iter()
        .for_each(start);
}

/// Becomes a program as an ordinary user, in cgroups: an id, files to write `0` to, `--`, the program.
pub(super) fn as_user(words: &[OsString]) -> ! {
    let (id, words) = words.split_first().expect("an id");
    let id = id.to_str().and_then(|id| id.parse().ok()).expect("an id");
    let mut words = words.iter();
    for file in words.by_ref().take_while(|word| *word != "--") {
        fs::write(file, "0").unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    let program = words.next().expect("a program");
    let error = std::process::Command::new(program)
        .args(words)
        .gid(id)
        .uid(id)
        .exec();
    panic!("{}: {error}", program.display());
}

/// Runs a program, kills it when a line comes in, and waits for nobody, not for it, nor for what it leaves, before the
/// next line: the PID 1 of a container may never do so.
pub(super) fn negligent(words: &[OsString]) {
    nix::sys::prctl::set_child_subreaper(true).expect("Linux");
    let (program, args) = words.split_first().expect("a program");
    let mut child = std::process::Command::new(program);
    let mut child = child
        .args(args)
        .stdin(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let line = || {
        let read = std::io::stdin().read_line(&mut String::new());
        read.expect("a pipe")
    };
    line();
    child.kill().expect("it is ours");
    line();
    child.wait().expect("its end");
    while nix::sys::wait::wait().is_ok() {}
}
