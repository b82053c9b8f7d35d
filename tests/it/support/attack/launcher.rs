//! A program that launches a box, by the library, whose program attacks the launcher's memory.

use std::ffi::OsString;
use std::io::Write;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use clonebox::{Command, Namespace, User, UserNamespace};

use super::super::probe;
use super::memory::FOREIGN;

const OWN: usize = 0x6f77_6e6f_776e_6f77;

/// What the attack is aimed at.
static WORD: AtomicUsize = AtomicUsize::new(OWN);

/// Launches: the way of the attack, and what kind of box it is. Says afterwards whether the memory is as it was.
pub(super) fn run(words: &[OsString]) {
    // Where Yama forbids it otherwise: who may trace is what the box decides.
    // SAFETY: the call takes numbers.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    let kind: Vec<&str> = words[1..]
        .iter()
        .map(|word| word.to_str().expect("UTF-8"))
        .collect();
    let way = words[0].to_str().expect("UTF-8");
    let (pid, address) = (
        process::id().to_string(),
        (&raw const WORD).addr().to_string(),
    );
    let mut attack = vec!["__probe"];
    if kind.contains(&"nested") {
        attack.push("nested");
    }
    attack.extend(["memory", way, &pid, &address]);
    let status = if kind.contains(&"no-box") {
        process::Command::new(probe::path())
            .args(&attack)
            .status()
            .expect("this binary")
            .success()
    } else {
        command(&kind)
            .args(&attack)
            .status()
            .expect("a box")
            .success()
    };
    assert!(status, "the attack has ended by itself");
    let word = match WORD.load(Ordering::SeqCst) {
        OWN => "as it was",
        FOREIGN => "changed",
        _ => "something else",
    };
    writeln!(std::io::stdout(), "{word}").expect("a reader");
}

fn command(kind: &[&str]) -> Command {
    let mut command = Command::new(probe::path());
    for word in kind {
        match *word {
            "host-pid" => command.pid(Namespace::Host),
            "userns" => command.userns(UserNamespace::Auto),
            "may-trace" => command.cap_add("SYS_PTRACE".parse().expect("a capability")),
            "other-user" => command.user(User {
                uid: 1234,
                gid: 1234,
            }),
            "nested" => &mut command,
            word => panic!("there is no kind {word:?}"),
        };
    }
    command
}
