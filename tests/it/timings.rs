//! `--timings`: how long each step took.

use std::fs;

use crate::support::clonebox::run;
use crate::support::{files, probe, run_probe, tests};

/// The calls of a table of timings.
fn calls(table: &str) -> Vec<&str> {
    let call = |line: &'_ str| -> Option<usize> {
        let (time, _) = line.split_once(" µs  ")?;
        time.trim_start()
            .parse::<f64>()
            .ok()
            .filter(|time| *time >= 0.0)?;
        Some(time.len() + " µs  ".len())
    };
    let calls = table
        .lines()
        .map(|line| &line[call(line).unwrap_or_else(|| panic!("{line}"))..]);
    calls.collect()
}

tests! {
    fn timings_are_of_the_clone_and_each_step_of_the_plan() needs [Box] {
        let probe = probe::path();
        let words = ["--name", "web", "--", &probe, "__probe", "exit", "0"];
        let table = run(["--timings"].iter().chain(&words)).succeeds().prints("").stderr();
        let plan = run(["--explain=json"].iter().chain(&words)).succeeds().stdout();
        let plan: serde_json::Value = serde_json::from_str(&plan).expect("JSON");
        let steps = plan["steps"].as_array().expect("steps").iter().map(|step| &step["call"]);
        let expected: Vec<&str> = std::iter::once(&plan["clone"]["call"])
            .chain(steps)
            .map(|call| call.as_str().expect("text"))
            .chain(["in all"])
            .collect();
        assert_eq!(calls(&table), expected);
    }

    fn timings_may_go_to_a_file() needs [Box] {
        let directory = files::directory();
        let path = directory.path().join("timings");
        let option = format!("--timings={}", path.display());
        run_probe(&[&option], &["pid"]).succeeds().prints("1\n").says_nothing_else();
        let table = fs::read_to_string(path).expect("a table");
        assert_eq!(calls(&table).last(), Some(&"in all"));
    }

    fn timings_do_not_change_the_exit_code() needs [Box] {
        run_probe(&["--timings"], &["exit", "7"]).exits_with(7);
    }

    fn a_file_that_cannot_be_made_is_an_error_before_anything_is_run() needs [] {
        run_probe(&["--timings=/dev/null/none"], &["pid"])
            .exits_with(125)
            .prints("")
            .complains("clonebox: --timings /dev/null/none: ");
    }
}
