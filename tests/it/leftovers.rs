//! What is left after a box: nothing.

use std::fs;
use std::process::Command;

use crate::support::processes::{eventually, marked, marker};
use crate::support::{Clonebox, files, probe, run_probe, tests};

/// Runs a scenario of the library some times, in a process of its own, which says what it is left
/// with.
#[track_caller]
fn of_the_library(scenario: &str) {
    let mut command = Command::new(probe::path());
    let output = command
        .args(["__probe", "leftovers", scenario])
        .output()
        .expect("this binary");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{text}");
}

/// Runs the command in an empty directory, which is also the one for temporary files, and checks that
/// it stays empty, and that no process is left that has the marker on its command line.
#[track_caller]
fn of_the_command(options: &[&str], words: &[&str], code: i32) {
    let (directory, marker) = (files::directory(), marker("leftovers"));
    let clonebox = Clonebox::new()
        .current_dir(&directory)
        .env("TMPDIR", directory.path());
    let clonebox = clonebox
        .env("HOME", directory.path())
        .env("XDG_RUNTIME_DIR", directory.path());
    clonebox
        .args(options)
        .args(["--"])
        .args(words)
        .args([&marker])
        .run()
        .exits_with(code);
    let left: Vec<_> = fs::read_dir(&directory).expect("a directory").collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(
        eventually(|| marked(&marker).is_empty()),
        "{:?}",
        marked(&marker)
    );
}

tests! {
    fn the_library_leaves_nothing_after_a_success() needs [Box] {
        of_the_library("success");
    }

    fn the_library_leaves_nothing_after_a_kill() needs [Box] {
        of_the_library("kill");
    }

    fn the_library_leaves_nothing_after_a_wrong_description() needs [] {
        of_the_library("spec");
    }

    fn the_library_leaves_nothing_after_a_descriptor_that_is_not_open() needs [] {
        of_the_library("descriptor");
    }

    fn the_library_leaves_nothing_after_a_step_that_failed() needs [Box] {
        of_the_library("setup");
    }

    fn the_library_leaves_nothing_after_a_program_that_is_not_there() needs [Box] {
        of_the_library("exec");
    }

    fn the_library_leaves_nothing_after_a_clone_that_failed() needs [Box] {
        // The program of a box may not make the namespaces that this scenario asks for.
        run_probe(&[], &["leftovers", "clone"]).succeeds().prints("");
    }

    fn a_thread_learns_of_a_clone_that_failed_and_leaves_nothing() needs [Box] {
        run_probe(&["--timeout", "60"], &["leftovers", "clone-by-another-thread"]).succeeds().prints("");
    }

    fn the_command_leaves_nothing_after_a_success() needs [Box] {
        of_the_command(&[], &["/bin/sh", "-c", "exit 3"], 3);
    }

    fn the_command_leaves_nothing_after_a_step_that_failed() needs [Box] {
        of_the_command(&["-w", "/dev/none"], &["/bin/sh"], 125);
    }

    fn the_command_leaves_nothing_after_a_program_that_is_not_there() needs [Box] {
        of_the_command(&[], &["/dev/none"], 127);
    }

    fn the_command_leaves_nothing_after_a_program_that_is_none() needs [Box] {
        of_the_command(&[], &["/dev/null"], 126);
    }

    fn the_command_leaves_nothing_after_a_wrong_description() needs [] {
        of_the_command(&["--nice", "20"], &["/bin/sh"], 125);
    }

    fn the_command_leaves_nothing_after_a_timeout() needs [Box] {
        let probe = probe::path();
        of_the_command(&["--timeout", "100ms"], &[&probe, "__probe", "family"], 124);
    }

    fn processes_of_a_box_do_not_outlive_its_first_one() needs [Box] {
        let marker = marker("orphan");
        let child = format!("{} __probe stay {marker} & echo ready; exit 4", probe::path());
        let ran = Clonebox::new().args(["--", "/bin/sh", "-c", &child]).run().exits_with(4);
        assert!(ran.stdout().contains("ready"), "{ran:?}");
        assert!(eventually(|| marked(&marker).is_empty()), "{:?}", marked(&marker));
    }
}
