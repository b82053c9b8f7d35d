// SPDX-License-Identifier: MIT OR Apache-2.0
//! A clonebox that is killed when its box has started and its record does not say so yet.

use std::process::{Command, Stdio};

use crate::support::cgroups::{left, name};
use crate::support::processes::{eventually, marked};
use crate::support::seccomp::{Held, hold_at, hold_at_call};
use crate::support::state::State;
use crate::support::tests;

/// Processes of the box that the kernel does not end with its first one.
const OUTLIVES: [&str; 4] = ["--pid", "host", "--pids-limit", "64"];

/// A box of this name, without streams of the test's own, in which three processes stay.
fn family(state: &State, name: &str, options: &[&str]) -> Command {
    let words = [&["--name", name][..], options].concat();
    let mut command = state
        .clonebox()
        .args(words)
        .probe(["family", name])
        .command();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The command, about to put the record of a box that runs in the place of its claim.
fn hold_before_the_record(command: Command) -> Held {
    // A record is written aside and renamed: that of the claim, then that of the box.
    let mut held = hold_at_call(libc::SYS_renameat, command);
    held.next();
    held
}

fn kill(held: &mut Held) {
    held.child.kill().expect("it was not waited for");
    held.child.wait().expect("a child");
}

/// Ends what is left of the family.
fn end(name: &str) {
    for process in marked(name) {
        // SAFETY: the call takes numbers; the process has this test's marker.
        unsafe { libc::kill(process.cast_signed(), libc::SIGKILL) };
    }
}

/// Looks at the boxes until nothing of this one is left.
#[track_caller]
fn assert_swept(state: &State, name: &str) {
    // Who looks too early sees a child that has not noticed yet that it is alone.
    let gone = || {
        state.run(&["ps"]).succeeds();
        left(name).is_empty() && marked(name).is_empty()
    };
    let is_gone = eventually(gone);
    let found = (left(name), marked(name));
    end(name);
    assert!(is_gone, "{found:?}");
    let files = state.files();
    assert!(files.is_empty(), "{files:?}");
}

tests! {
    fn what_is_left_of_a_box_whose_start_nobody_has_written_down_is_swept() needs [Limits, Root, Seccomp] {
        let (name, state) = (name("unrecorded"), State::new());
        let mut held = hold_before_the_record(family(&state, &name, &OUTLIVES));
        assert!(eventually(|| marked(&name).len() == 4), "clonebox, and three in the box: {:?}", marked(&name));
        assert_eq!(left(&name).len(), 1);
        assert!(state.is(&name, "starting"), "{:?}", state.list());
        kill(&mut held);
        assert_swept(&state, &name);
    }

    fn what_is_left_of_a_box_that_was_just_being_made_is_swept() needs [Limits, Root, Seccomp] {
        let (name, state) = (name("unmade"), State::new());
        let mut held = hold_at(libc::PR_SET_PDEATHSIG, family(&state, &name, &OUTLIVES));
        kill(&mut held);
        // Its child has the lock of the claim, and is not done with the cgroup.
        assert!(state.is(&name, "starting"), "{:?}", state.list());
        assert_eq!(left(&name).len(), 1);
        held.let_go();
        assert_swept(&state, &name);
    }

    fn a_box_that_may_survive_is_not_ended_because_nobody_has_written_it_down() needs [Limits, Root, Seccomp] {
        let (name, state) = (name("unknown"), State::new());
        let options = [&OUTLIVES[..], &["--survive"]].concat();
        let mut held = hold_before_the_record(family(&state, &name, &options));
        assert!(eventually(|| marked(&name).len() == 4), "{:?}", marked(&name));
        kill(&mut held);
        state.run(&["ps"]).succeeds();
        let still = marked(&name).len();
        end(&name);
        assert_eq!(still, 3);
        // Empty, it is swept as every cgroup that nobody cares for.
        let gone = || {
            state.run(&["--pids-limit", "9", "--", "/bin/true"]).succeeds();
            left(&name).is_empty()
        };
        assert!(eventually(gone), "{:?}", left(&name));
    }
}
