//! The parent's death, at any instant.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::signals::at_work;
use crate::support::processes::{eventually, marked, marker};
use crate::support::seccomp::hold_at;
use crate::support::talk::Talk;
use crate::support::{Clonebox, probe, tests};

/// How many boxes lose their parent at some instant or other, if there is time for so many.
const ROUNDS: u32 = 300;
const TIME: Duration = Duration::from_secs(10);

/// The command around a probe that stays, with no streams of the test's own.
fn silent(options: &[&str], marker: &str) -> std::process::Command {
    let mut command = Clonebox::new()
        .args(options)
        .probe(["stay", marker])
        .command();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

#[track_caller]
fn all_gone(marker: &str) {
    assert!(
        eventually(|| marked(marker).is_empty()),
        "{:?} are left",
        marked(marker)
    );
}

/// Kills the command at instants all over its start.
fn dies_at_any_instant(options: &[&str]) {
    let marker = marker("instant");
    let began = Instant::now();
    let mut talk = Talk::with(
        Clonebox::new()
            .args(options)
            .probe(["stay", &marker])
            .command(),
    );
    talk.says("ready");
    let start = began.elapsed();
    drop(talk);
    let rounds = (0..ROUNDS).take_while(|_| began.elapsed() < TIME);
    // In an order that does not leave out the end if time is short: 97 and the number are coprime.
    for round in rounds.map(|round| round * 97 % ROUNDS) {
        let mut child = silent(options, &marker).spawn().expect("the command");
        // Not by sleeping, which is less exact than what is to be hit.
        let until = Instant::now() + start * round / ROUNDS;
        while Instant::now() < until {
            thread::yield_now();
        }
        child.kill().expect("it was not waited for");
        child.wait().expect("a child");
    }
    all_gone(&marker);
}

/// A program that launches a box and whose thread that did so ends; then the program's own end is near.
fn in_a_thread(parent_death: &str) -> (Talk, String) {
    with_thread(parent_death, "plain")
}

/// The same of a box for whose start the launcher stands still, and which has a time for it.
fn timed_in_a_thread(parent_death: &str) -> (Talk, String) {
    with_thread(parent_death, "timed")
}

fn with_thread(parent_death: &str, kind: &str) -> (Talk, String) {
    let marker = marker("thread");
    let mut command = std::process::Command::new(probe::path());
    command.args(["__probe", "launch-in-thread", parent_death, kind, &marker]);
    let mut talk = Talk::with(command);
    talk.says("the thread has ended");
    (talk, marker)
}

/// The box itself, not who launched it.
fn boxes(talk: &Talk, marker: &str) -> Vec<u32> {
    marked(marker)
        .into_iter()
        .filter(|&pid| pid != talk.pid())
        .collect()
}

tests! {
    fn a_box_dies_with_clonebox() needs [Box] {
        let marker = marker("dies");
        let talk = at_work(&[], &["family", &marker]);
        assert!(eventually(|| marked(&marker).len() == 4), "clonebox, and three in the box");
        talk.signal(libc::SIGKILL);
        all_gone(&marker);
    }

    fn a_box_dies_with_clonebox_at_any_instant_of_its_start() needs [Box] {
        dies_at_any_instant(&[]);
    }

    fn a_box_with_an_init_dies_with_clonebox_at_any_instant_of_its_start() needs [Box] {
        dies_at_any_instant(&["--init"]);
    }

    fn a_box_of_another_user_dies_with_clonebox_at_any_instant_of_its_start() needs [Root] {
        dies_at_any_instant(&["-u", "12345:12345"]);
    }

    fn a_box_with_other_ids_dies_with_clonebox_at_any_instant_of_its_start() needs [Root, Userns] {
        dies_at_any_instant(&["--userns", "auto"]);
    }

    fn a_box_with_subordinate_ids_dies_with_clonebox_at_any_instant_of_its_start() needs [Subids] {
        dies_at_any_instant(&["--userns", "auto"]);
    }

    fn a_box_of_another_user_dies_with_clonebox() needs [Root] {
        let marker = marker("user");
        let talk = at_work(&["-u", "12345:12345"], &["stay", &marker]);
        talk.signal(libc::SIGKILL);
        all_gone(&marker);
    }

    fn a_box_whose_parent_dies_before_it_can_ask_for_the_signal_ends() needs [Box, Seccomp] {
        let marker = marker("early");
        let mut held = hold_at(libc::PR_SET_PDEATHSIG, silent(&[], &marker));
        held.child.kill().expect("it was not waited for");
        held.child.wait().expect("a child");
        assert_eq!(marked(&marker).len(), 1, "the child is held");
        held.let_go();
        all_gone(&marker);
    }

    fn a_program_that_changes_its_user_dies_with_clonebox_behind_an_init() needs [Root] {
        let marker = marker("changes");
        let words = ["of-user", "12345", &probe::path(), "__probe", "stay", &marker];
        let talk = at_work(&["--init"], &words);
        talk.signal(libc::SIGKILL);
        all_gone(&marker);
    }

    fn a_box_that_may_survive_lives_on() needs [Box] {
        let marker = marker("survives");
        let talk = at_work(&["--survive"], &["stay", &marker]);
        let clonebox = talk.pid();
        talk.signal(libc::SIGKILL);
        assert_eq!(talk.end_without_streams(), Some(libc::SIGKILL));
        thread::sleep(Duration::from_millis(300));
        let left = marked(&marker);
        assert_eq!(left.len(), 1, "{left:?}");
        assert_ne!(left[0], clonebox);
        // SAFETY: the call takes numbers; the process has this test's marker.
        unsafe { libc::kill(left[0].cast_signed(), libc::SIGKILL) };
        all_gone(&marker);
    }

    fn a_box_does_not_die_with_the_thread_that_launched_it() needs [Box] {
        for (mut talk, marker) in [in_a_thread("kill"), timed_in_a_thread("kill")] {
            thread::sleep(Duration::from_millis(300));
            assert_eq!(boxes(&talk, &marker).len(), 1);
            talk.tell("exit");
            talk.says("alive");
        }
    }

    fn a_box_dies_with_the_thread_that_launched_it_if_that_was_asked_for() needs [Box] {
        for (talk, marker) in [in_a_thread("kill-with-thread"), timed_in_a_thread("kill-with-thread")] {
            assert!(eventually(|| boxes(&talk, &marker).is_empty()), "the box dies");
        }
    }

    fn a_box_that_another_thread_launched_dies_with_the_process() needs [Box] {
        for (talk, marker) in [in_a_thread("kill"), timed_in_a_thread("kill")] {
            assert_eq!(boxes(&talk, &marker).len(), 1);
            talk.signal(libc::SIGKILL);
            all_gone(&marker);
        }
    }

    fn a_box_of_the_library_may_survive_the_process() needs [Box] {
        let (talk, marker) = in_a_thread("survive");
        talk.signal(libc::SIGKILL);
        assert_eq!(talk.end_without_streams(), Some(libc::SIGKILL));
        thread::sleep(Duration::from_millis(300));
        let left = marked(&marker);
        assert_eq!(left.len(), 1, "{left:?}");
        // SAFETY: the call takes numbers; the process has this test's marker.
        unsafe { libc::kill(left[0].cast_signed(), libc::SIGKILL) };
        all_gone(&marker);
    }
}
