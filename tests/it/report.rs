//! `--report`: what became of a box, for programs.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::rootfs::Root;
use crate::support::{Clonebox, binary, files, run_probe, tests};

/// The report about a box with these options around a probe.
fn report(options: &[&str], words: &[&str]) -> Value {
    let directory = files::directory();
    let path = directory.path().join("report");
    let option = format!("--report={}", path.display());
    run_probe(&[&[option.as_str()], options].concat(), words);
    let text = fs::read_to_string(path).expect("a report");
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// Runs the command from a shell that has opened descriptor 7 for a file; what is in it afterwards.
fn through_a_descriptor(words: &[&str]) -> String {
    let directory = files::directory();
    let path = directory.path().join("report");
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", "file=$1; shift; exec \"$@\" 7>\"$file\"", "sh"])
        .arg(&path);
    shell.arg(binary()).args(["--report", "7"]);
    Clonebox::of(shell).probe(words).run();
    fs::read_to_string(path).expect("a report")
}

fn seconds(report: &Value, field: &str) -> f64 {
    report[field]
        .as_f64()
        .unwrap_or_else(|| panic!("no {field} in {report}"))
}

tests! {
    fn a_report_says_what_was_made_in_a_root_filesystem() needs [Box] {
        let (root, directory) = (Root::new(), files::directory());
        let file = directory.path().join("report");
        let options = ["--report", file.to_str().expect("UTF-8"), "--tmpfs", "/a/b", "-v", "/:/a/b/c"];
        let made = || {
            root.run(&options, &["exit", "0"]).succeeds();
            let report: Value = serde_json::from_slice(&fs::read(&file).expect("a report")).expect("JSON");
            report["made"].clone()
        };
        assert_eq!(made(), serde_json::json!(["/dev", "/proc", "/sys", "/it", "/a", "/a/b"]));
        // The second time it is all there.
        assert!(made().is_null());
    }

    fn a_report_has_the_exit_code_and_no_signal() needs [Box] {
        let report = report(&[], &["exit", "42"]);
        assert_eq!(report["exit_code"], 42, "{report}");
        assert_eq!(report["signal"], Value::Null, "{report}");
        assert_eq!(report["timed_out"], false, "{report}");
    }

    fn a_report_has_the_signal_that_ended_the_program() needs [Box] {
        let report = report(&["--pid", "host"], &["raise", &libc::SIGUSR1.to_string()]);
        assert_eq!(report["signal"], libc::SIGUSR1, "{report}");
        assert_eq!(report["exit_code"], 128 + libc::SIGUSR1, "{report}");
    }

    fn a_report_says_that_the_time_was_up() needs [Box] {
        let report = report(&["--timeout", "100ms"], &["stay"]);
        assert_eq!(report["timed_out"], true, "{report}");
        assert_eq!(report["exit_code"], 124, "{report}");
        assert_eq!(report["signal"], libc::SIGKILL, "{report}");
    }

    fn a_report_has_times_and_memory() needs [Box] {
        // The probe works until it has used 50 ms in user mode, on 64 MiB.
        let report = report(&[], &["work"]);
        assert!(seconds(&report, "user_s") >= 0.05, "{report}");
        assert!(seconds(&report, "system_s") >= 0.0, "{report}");
        assert!(seconds(&report, "wall_s") > 0.0, "{report}");
        assert!(report["max_rss_bytes"].as_u64() >= Some(64 << 20), "{report}");
    }

    fn a_report_of_a_program_that_is_not_there_has_its_error() needs [Box] {
        let directory = files::directory();
        let path = directory.path().join("report");
        let option = format!("--report={}", path.display());
        crate::support::clonebox::run([&option, "--", "/dev/none"]).exits_with(127);
        let text = fs::read_to_string(path).expect("a report");
        let report: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(report["exit_code"], 127, "{report}");
        let error = report["error"].as_str().expect("text");
        assert!(error.starts_with("cannot execute /dev/none: No such file"), "{error}");
    }

    fn a_report_of_a_step_that_failed_has_its_error() needs [Box] {
        let report = report(&["-w", "/dev/none"], &["pid"]);
        assert_eq!(report["exit_code"], 125, "{report}");
        let error = report["error"].as_str().expect("text");
        assert!(error.starts_with("cannot enter the working directory /dev/none: "), "{error}");
    }

    fn a_report_of_a_wrong_description_has_its_error() needs [] {
        let report = report(&["--nice", "20"], &["pid"]);
        assert_eq!(report["exit_code"], 125, "{report}");
        assert_eq!(report["error"], "--nice 20: a nice value is -20 to 19", "{report}");
    }

    fn a_report_may_go_to_a_descriptor() needs [Box] {
        let report: Value = serde_json::from_str(&through_a_descriptor(&["exit", "3"])).expect("JSON");
        assert_eq!(report["exit_code"], 3, "{report}");
    }

    fn the_descriptor_of_a_report_is_not_the_boxes() needs [Box] {
        // A box that writes to it would write in front of the report.
        let text = through_a_descriptor(&["write", "/proc/self/fd/7", "644"]);
        let report: Value = serde_json::from_str(&text).expect("JSON");
        assert_ne!(report["exit_code"], 0, "{report}");
    }

    fn the_descriptor_of_a_file_of_reports_is_not_the_boxes() needs [Box] {
        let directory = files::directory();
        let option = format!("--report={}", directory.path().join("report").display());
        run_probe(&[&option], &["fds"]).succeeds().prints("0\n1\n2\n");
    }

    fn a_report_to_a_dash_goes_to_standard_error() needs [Box] {
        let ran = run_probe(&["--report", "-"], &["pid"]).succeeds().prints("1\n");
        let report: Value = serde_json::from_str(&ran.stderr()).expect("JSON");
        assert_eq!(report["exit_code"], 0, "{report}");
    }

    fn a_report_is_emptied_before() needs [Box] {
        let directory = files::directory();
        let path = files::write(directory.path(), "report", "644", "x".repeat(4096));
        run_probe(&["--report", path.to_str().expect("UTF-8")], &["pid"]).succeeds();
        let text = fs::read_to_string(path).expect("a report");
        assert!(text.starts_with('{') && text.ends_with("}\n"), "{text}");
    }

    fn a_file_that_cannot_be_made_is_an_error_before_anything_is_run() needs [] {
        run_probe(&["--report", "/dev/null/none"], &["pid"])
            .exits_with(125)
            .prints("")
            .complains("clonebox: --report /dev/null/none: ");
    }

    fn a_descriptor_that_is_not_open_is_an_error_before_anything_is_run() needs [] {
        run_probe(&["--report", "977"], &["pid"])
            .exits_with(125)
            .prints("")
            .complains("clonebox: --report 977: ");
    }

    fn a_descriptor_of_the_command_itself_is_none_for_a_report() needs [] {
        let directory = files::directory();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "exec \"$@\" 3<&-", "sh"]).arg(binary()).args(["--report", "3"]);
        shell.arg(format!("--timings={}", directory.path().join("timings").display()));
        Clonebox::of(shell)
            .probe(["pid"])
            .run()
            .exits_with(125)
            .prints("")
            .complains("clonebox: --report 3: ");
    }

    fn a_report_that_cannot_be_written_is_an_error() needs [Box] {
        run_probe(&["--report", "/dev/full"], &["pid"])
            .exits_with(125)
            .complains("clonebox: cannot write the report: ");
    }
}
