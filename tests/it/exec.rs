//! The program: how it is found, what it is given, what becomes of its end.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use crate::support::clonebox::{Ran, run};
use crate::support::{Clonebox, files, probe, run_probe, tests};

/// A directory in which this binary has the name `prog`.
fn with_program() -> TempDir {
    let directory = files::directory();
    symlink(probe::path(), directory.path().join("prog")).expect("a link");
    directory
}

/// A directory in which `prog` is a file that nobody may execute.
fn with_refused() -> TempDir {
    let directory = files::directory();
    fs::write(directory.path().join("prog"), "").expect("a file");
    directory
}

fn path(directories: &[&Path]) -> String {
    let directories: Vec<&str> = directories
        .iter()
        .map(|path| path.to_str().expect("UTF-8"))
        .collect();
    format!("PATH={}", directories.join(":"))
}

/// Runs `prog` with this PATH; it prints `argv[0]` if it is found.
fn search(path: &str) -> Ran {
    run(["-e", path, "--", "prog", "__probe", "args"])
}

/// The arguments that a box gets, escaped.
#[track_caller]
fn arguments(args: &[&OsStr]) -> Vec<String> {
    let probe = Clonebox::new()
        .probe(["args"])
        .args(args)
        .run()
        .succeeds()
        .stdout();
    let words = probe
        .lines()
        .map(|line| line.split_once(' ').expect("a number").1.to_owned());
    words.skip(1).collect()
}

tests! {
    fn a_program_with_a_slash_is_a_path() needs [Box] {
        let directory = with_program();
        let parent = directory.path().parent().expect("a parent");
        let name = directory.path().file_name().expect("a name").to_str().expect("UTF-8");
        Clonebox::new()
            .current_dir(parent)
            .args(["-e", "PATH=/dev/null", "--", &format!("{name}/prog"), "__probe", "pid"])
            .run()
            .succeeds()
            .prints("1\n");
    }

    fn a_program_without_a_slash_is_looked_for_in_path() needs [Box] {
        let directory = with_program();
        search(&path(&[Path::new("/dev/null"), directory.path()])).succeeds().prints("0 prog\n");
    }

    fn the_first_directory_of_path_that_has_the_program_counts() needs [Box] {
        let (first, second) = (files::directory(), with_program());
        files::executable(first.path(), "prog", "#!/bin/sh\necho first\n");
        search(&path(&[first.path(), second.path()])).succeeds().prints("first\n");
    }

    fn the_path_is_the_boxes_own_not_the_callers() needs [Box] {
        let directory = with_program();
        Clonebox::new()
            .env("PATH", directory.path())
            .args(["-e", "PATH=/dev/null:/dev/null", "--", "prog", "__probe", "pid"])
            .run()
            .exits_with(127);
    }

    fn an_empty_directory_in_path_is_the_working_directory() needs [Box] {
        let directory = with_program();
        let workdir = directory.path().to_str().expect("UTF-8");
        for path in ["PATH=:/dev/null", "PATH=/dev/null::/dev/null", "PATH=/dev/null:", "PATH="] {
            run(["-w", workdir, "-e", path, "--", "prog", "__probe", "pid"]).succeeds().prints("1\n");
        }
    }

    fn without_a_path_the_usual_directories_are_searched() needs [Box] {
        run(["--env-clear", "--", "sh", "-c", "echo found"]).succeeds().prints("found\n");
    }

    fn a_program_that_may_not_be_executed_is_passed_over() needs [Box] {
        let (first, second) = (with_refused(), with_program());
        search(&path(&[first.path(), second.path()])).succeeds().prints("0 prog\n");
    }

    fn a_program_that_may_not_be_executed_is_named_if_there_is_no_other() needs [Box] {
        let (refused, none) = (with_refused(), files::directory());
        let named = refused.path().join("prog").display().to_string();
        search(&path(&[none.path(), refused.path(), none.path()]))
            .exits_with(126)
            .complains(&format!("clonebox: cannot execute {named}: Permission denied (EACCES)\n"));
    }

    fn a_file_without_a_format_ends_the_search() needs [Box] {
        let (first, second) = (files::directory(), with_program());
        let text = files::executable(first.path(), "prog", "echo no\n");
        search(&path(&[first.path(), second.path()]))
            .exits_with(126)
            .complains(&format!("cannot execute {}: Exec format error (ENOEXEC)\n", text.display()))
            .complains("is neither a program nor a script with a #! line\n");
    }

    fn a_script_is_run_by_its_interpreter() needs [Box] {
        let directory = files::directory();
        let script = files::executable(directory.path(), "script", "#!/bin/sh\necho \"$1\"\n");
        run(["--", script.to_str().expect("UTF-8"), "word"]).succeeds().prints("word\n");
    }

    fn arguments_are_bytes() needs [Box] {
        let every: Vec<u8> = (1..=255).collect();
        assert_eq!(arguments(&[OsStr::from_bytes(&every)]), [every.escape_ascii().to_string()]);
    }

    fn an_argument_may_be_empty() needs [Box] {
        assert_eq!(arguments(&["".as_ref(), "x".as_ref(), "".as_ref()]), ["", "x", ""]);
    }

    fn arguments_that_look_like_options_are_the_programs() needs [Box] {
        assert_eq!(arguments(&["--name".as_ref(), "--".as_ref()]), ["--name", "--"]);
    }

    fn a_program_may_have_a_name_of_any_bytes() needs [Box] {
        let directory = files::directory();
        let program = directory.path().join(OsStr::from_bytes(b"\xff"));
        symlink(probe::path(), &program).expect("a link");
        run([OsString::from("--"), program.into(), "__probe".into(), "pid".into()])
            .succeeds()
            .prints("1\n");
    }

    fn the_first_argument_is_the_program_as_it_was_named() needs [Box] {
        let directory = with_program();
        let program = format!("{}/./prog", directory.path().display());
        run(["--", &program, "__probe", "args"]).succeeds().prints(&format!("0 {program}\n"));
    }

    fn the_exit_code_is_the_programs() needs [Box] {
        for code in [0, 1, 42, 255] {
            run_probe(&[], &["exit", &code.to_string()]).exits_with(code).says_nothing_else();
        }
    }

    fn a_program_ended_by_a_signal_is_128_and_its_number() needs [Box] {
        for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGUSR1] {
            let words = ["raise", &signal.to_string()];
            run_probe(&["--pid", "host"], &words).exits_with(128 + signal).says_nothing_else();
        }
    }

    fn a_pid_1_that_faults_is_128_and_the_signals_number() needs [Box] {
        run_probe(&[], &["fault"]).exits_with(128 + libc::SIGSEGV);
    }

    fn a_program_that_is_not_there_is_127() needs [Box] {
        run(["--", "/dev/null/none"]).exits_with(127);
        run(["-e", "PATH=/dev/null:/dev", "--", "none"]).exits_with(127);
    }

    fn a_program_that_cannot_be_executed_is_126() needs [Box] {
        run(["--", "/dev/null"]).exits_with(126);
    }

    fn a_step_that_fails_is_125() needs [Box] {
        run_probe(&["-w", "/dev/null/none"], &["pid"]).exits_with(125);
    }

    fn words_without_sense_are_125() needs [] {
        run(["--no-such-option"]).exits_with(125);
    }
}
