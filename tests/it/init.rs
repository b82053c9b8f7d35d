//! `--init`: a PID 1 that clonebox supplies.

use std::fs;

use crate::signals::{FORWARDED, at_work};
use crate::support::pty::{Change, Terminal};
use crate::support::{Clonebox, binary, files, probe, run_probe, tests};

/// What a run says with `--init` and without, the plan's own lines left out.
fn said(options: &[&str], words: &[&str]) -> (String, i32) {
    let command = Clonebox::new()
        .args(options)
        .args(["--"])
        .args(words)
        .command();
    let output = { command }.output().expect("the command");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    let about_steps = |line: &&str| !line.starts_with("  step ") && !line.starts_with("  call ");
    let lines: Vec<&str> = text.lines().filter(about_steps).collect();
    (lines.join("\n"), output.status.code().expect("a code"))
}

#[track_caller]
fn fails_alike(words: &[&str], code: i32) {
    let plain = said(&[], words);
    assert_eq!(plain.1, code, "{}", plain.0);
    assert_eq!(said(&["--init"], words), plain);
}

/// The report of a run, and its exit code.
fn report(words: &[&str]) -> (serde_json::Value, i32) {
    let directory = files::directory();
    let path = directory.path().join("report");
    let command = Clonebox::new()
        .args(["--init", "--report"])
        .args([&path])
        .probe(words)
        .command();
    let status = { command }.status().expect("the command");
    let report = fs::read(path).expect("a report");
    (
        serde_json::from_slice(&report).expect("JSON"),
        status.code().expect("a code"),
    )
}

/// A line of the probe about PID 1.
fn about_init(word: &str) -> String {
    let said = run_probe(&["--init"], &["init"]).succeeds().stdout();
    let line = said.lines().find_map(|line| line.strip_prefix(word));
    line.unwrap_or_else(|| panic!("no {word} in {said}"))
        .to_owned()
}

tests! {
    fn the_program_is_not_pid_1() needs [Box] {
        run_probe(&["--init"], &["pid"]).succeeds().prints("2\n");
    }

    fn the_init_reaps_ten_thousand_orphans() needs [Box] {
        // An emulated processor takes its time for 10,000: there CLONEBOX_IT_ORPHANS is less.
        let count = std::env::var("CLONEBOX_IT_ORPHANS").unwrap_or_else(|_| "10000".to_owned());
        run_probe(&["--init"], &["orphans", &count]).succeeds().prints("0 left true\n");
    }

    fn the_init_passes_signals_on() needs [Box] {
        let mut talk = at_work(&["--init"], &["signals"]);
        for signal in FORWARDED {
            talk.signal(signal as i32);
            talk.says(signal.as_str());
        }
        assert_eq!(talk.end().0.code(), Some(0));
    }

    fn a_program_without_a_handler_is_ended_by_a_signal() needs [Box] {
        let talk = at_work(&["--init"], &["stay"]);
        talk.signal(libc::SIGTERM);
        let (status, _, complaint) = talk.end();
        assert_eq!((status.code(), &*complaint), (Some(143), ""));
    }

    fn the_exit_code_is_the_programs() needs [Box] {
        for code in [0, 1, 7, 128, 255] {
            run_probe(&["--init"], &["exit", &code.to_string()]).exits_with(code).says_nothing_else();
        }
    }

    fn the_report_has_the_exit_code() needs [Box] {
        let (report, code) = report(&["exit", "7"]);
        assert_eq!(code, 7);
        assert_eq!((&report["exit_code"], &report["signal"]), (&7.into(), &serde_json::Value::Null));
    }

    fn the_report_has_the_signal_that_ended_the_program() needs [Box] {
        for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGUSR1] {
            let (report, code) = report(&["raise", &signal.to_string()]);
            assert_eq!(code, 128 + signal);
            assert_eq!((&report["exit_code"], &report["signal"]), (&code.into(), &signal.into()));
        }
    }

    fn an_exit_code_above_128_is_no_signal() needs [Box] {
        let (report, _) = report(&["exit", "137"]);
        assert_eq!((&report["exit_code"], &report["signal"]), (&137.into(), &serde_json::Value::Null));
    }

    fn a_missing_program_is_the_same_error_as_without_an_init() needs [Box] {
        fails_alike(&["/dev/null/none"], 127);
        fails_alike(&["no-such-program-anywhere"], 127);
    }

    fn a_program_that_cannot_be_executed_is_the_same_error_as_without_an_init() needs [Box] {
        fails_alike(&["/"], 126);
        fails_alike(&["/proc/self/status"], 126);
    }

    fn a_script_without_its_interpreter_is_the_same_error_as_without_an_init() needs [Box] {
        let directory = files::directory();
        let path = directory.path().join("script");
        let mut command = std::process::Command::new(probe::path());
        command.args(["__probe", "write"]).arg(&path).arg("755");
        Clonebox::of(command).input("#!/no/such/interpreter\n").run().succeeds();
        fails_alike(&[path.to_str().expect("UTF-8")], 127);
    }

    fn the_program_is_looked_for_in_path() needs [Box] {
        let path = "PATH=/no/such/directory:/bin:/usr/bin";
        Clonebox::new().args(["--init", "-e", path, "--", "true"]).run().succeeds().says_nothing_else();
    }

    fn a_shell_on_a_new_terminal_behind_an_init_has_job_control() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let it = format!("IT={}", probe::path());
        let options = ["--init", "-e", &it, "-e", "PS1=go> ", "--", "/bin/sh", "-i"];
        terminal.run(Clonebox::new().args(options));
        terminal.expect("go> ");
        terminal.send("\"$IT\" __probe signals SIGTSTP\n");
        terminal.expect("ready\r\n");
        terminal.send("\x1a");
        terminal.expect("topped");
        terminal.expect("go> ");
        terminal.send("fg\n");
        terminal.expect("SIGCONT\r\n");
        terminal.send("\x03");
        terminal.expect("SIGINT\r\n");
        terminal.has_not_seen("job control");
        terminal.has_not_seen("tty");
    }

    fn ctrl_c_reaches_a_program_behind_an_init_once() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run(Clonebox::new().args(["--init"]).probe(["signals"]));
        terminal.expect("ready\r\n");
        terminal.send("\x03");
        terminal.expect("SIGINT\r\n");
        terminal.signal(libc::SIGUSR2);
        terminal.expect("SIGUSR2\r\n");
        assert_eq!(terminal.end(), Change::Exited(0));
        assert_eq!(String::from_utf8_lossy(terminal.seen()).matches("SIGINT").count(), 1);
    }

    fn ctrl_z_does_not_stop_a_program_that_nobody_could_continue() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run(Clonebox::new().args(["--init"]).probe(["hungry"]));
        terminal.expect("ready\r\n");
        terminal.send("\x1a");
        terminal.expect("^Z");
        terminal.send("lives\r");
        terminal.expect("<lives\\n>");
    }

    fn ctrl_z_does_not_stop_a_program_on_an_inherited_terminal_either() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run(Clonebox::new().args(["--init", "--tty=inherit"]).probe(["hungry"]));
        terminal.expect("ready\r\n");
        terminal.send("\x1a");
        terminal.expect("^Z");
        terminal.send("lives\n");
        terminal.expect("<lives\\n>");
    }

    fn a_shell_on_an_inherited_terminal_behind_an_init_has_job_control() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let options = ["--init", "--tty=inherit", "-e", "PS1=go> ", "--", "/bin/sh", "-i"];
        terminal.run(Clonebox::new().args(options));
        terminal.expect("go> ");
        terminal.send("exit\n");
        assert_eq!(terminal.end(), Change::Exited(0));
        terminal.has_not_seen("job control");
        terminal.has_not_seen("Cannot");
    }

    fn the_init_is_a_program_of_its_own() needs [Box] {
        assert!(about_init("/memfd:clonebox-init").starts_with(' '));
    }

    fn the_init_has_little_memory() needs [Box] {
        let size: u64 = about_init("size ").parse().expect("a number");
        let resident: u64 = about_init("resident ").parse().expect("a number");
        assert!(size < 512 << 10, "{size} bytes of address space");
        assert!(resident < 128 << 10, "{resident} bytes in memory");
    }

    fn the_program_does_not_inherit_the_inits_descriptors() needs [Box] {
        run_probe(&["--init"], &["fds"]).succeeds().prints("0\n1\n2\n");
    }

    fn a_descriptor_is_passed_through_an_init() needs [Box] {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3</dev/null 4</dev/null"]).arg(binary());
        let passed = Clonebox::of(command).args(["--init", "--fd", "3"]).probe(["fds"]).run();
        passed.succeeds().prints("0\n1\n2\n3\n");
    }

    fn the_program_runs_as_the_user_behind_an_init() needs [Root] {
        let status = Clonebox::new().args(["--init", "-u", "12345:54321", "--", "/bin/cat", "/proc/self/status"]).run();
        let status = crate::support::status::Status::printed(status.succeeds().stdout());
        assert_eq!(status.words("Uid"), ["12345"; 4]);
        assert_eq!(status.words("Gid"), ["54321"; 4]);
    }

    fn an_init_works_where_descriptors_cannot_be_marked() needs [Box, Seccomp] {
        for options in [&[][..], &["--fd", "3"], &["--fd", "5"]] {
            let script = "exec \"$0\" __probe without-marking \"$@\" 3</dev/null 4</dev/null 5</dev/null";
            let mut command = std::process::Command::new("/bin/sh");
            command.args(["-c", script, &probe::path()]).arg(binary()).arg("--init").args(options);
            let passed = options.get(1).map_or(String::new(), |number| format!("{number}\n"));
            let ran = Clonebox::of(command).probe(["fds"]).run();
            ran.succeeds().prints(&format!("0\n1\n2\n{passed}"));
        }
    }
}
