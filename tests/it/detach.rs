//! Boxes that go on without whoever has started them.

use std::fs;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getsid};

use crate::support::clonebox::Ran;
use crate::support::processes::{eventually, marked, marker};
use crate::support::pty::{Change, Terminal};
use crate::support::state::State;
use crate::support::{Clonebox, binary, files, probe, tests};

/// Runs a shell in a detached box of this name.
#[track_caller]
fn shell(state: &State, name: &str, options: &[&str], script: &str) -> Ran {
    let shell = ["--", "/bin/sh", "-c", script];
    let ran = state
        .clonebox()
        .args(["-d", "--name", name])
        .args(options)
        .args(shell)
        .run();
    ran.succeeds().prints(&format!("{name}\n"))
}

/// The parent of a process: proc_pid_stat(5).
fn parent(pid: u64) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let (_, rest) = stat.rsplit_once(") ").expect("a name");
    rest.split(' ')
        .nth(1)
        .and_then(|pid| pid.parse().ok())
        .expect("a parent")
}

#[track_caller]
fn ends(state: &State, name: &str, code: u8) {
    state
        .run(&["wait", name])
        .succeeds()
        .prints(&format!("{code}\n"));
}

tests! {
    fn detach_returns_when_the_program_runs_and_prints_the_name() needs [Box] {
        let state = State::new();
        let began = Instant::now();
        shell(&state, "web", &[], "sleep 30");
        assert!(began.elapsed() < Duration::from_secs(20));
        let found = state.find("web").expect("a box");
        assert_eq!((&found["state"], &found["detached"]), (&"running".into(), &true.into()));
        state.run(&["kill", "web"]).succeeds();
        ends(&state, "web", 137);
        state.run(&["rm", "web"]).succeeds();
        assert_eq!(state.files(), [""; 0]);
    }

    fn a_box_is_forgotten_when_its_end_has_been_written_down() needs [Box] {
        for words in [&["rm", "web"][..], &["rm", "-f", "web"]] {
            let state = State::new();
            shell(&state, "web", &[], "sleep 30");
            let pid = state.find("web").and_then(|found| found["pid"].as_u64()).expect("a process");
            let keeper = Pid::from_raw(parent(pid).try_into().expect("a process id"));
            kill(keeper, Signal::SIGSTOP).expect("it is ours");
            state.run(&["kill", "web"]).succeeds();
            assert!(eventually(|| state.is("web", "ended")));
            let forgetting = state.clonebox().args(words).start();
            std::thread::sleep(Duration::from_millis(200));
            kill(keeper, Signal::SIGCONT).expect("it is ours");
            forgetting.end().succeeds();
            assert_eq!(state.files(), [""; 0]);
        }
    }

    fn without_a_name_it_gets_one() needs [Box] {
        let state = State::new();
        let name = state.clonebox().args(["--detach"]).probe(["stay"]).run().succeeds().stdout();
        assert!(state.is(name.trim(), "running"), "{name}");
        state.run(&["rm", "-f", name.trim()]).succeeds();
        assert_eq!(state.files(), [""; 0]);
    }

    fn a_start_that_failed_is_a_command_that_failed() needs [Box] {
        let state = State::new();
        for how in ["--detach", "--detach=bare"] {
            state.run(&[how, "--name", "web", "--", "/nowhere"])
                .exits_with(127)
                .prints("")
                .complains("clonebox: cannot execute /nowhere: No such file or directory (ENOENT)");
            state.run(&[how, "--name", "web", "-w", "/nowhere", "--", "/bin/true"]).exits_with(125).prints("");
            assert_eq!(state.files(), [""; 0]);
        }
    }

    fn a_log_has_both_streams() needs [Box] {
        let state = State::new();
        shell(&state, "web", &[], "echo one; echo two >&2; exit 3");
        ends(&state, "web", 3);
        let ran = state.run(&["logs", "web"]).succeeds().prints("one\n");
        assert_eq!(ran.stderr(), "two\n");
        let table = state.run(&["ps"]).succeeds().stdout();
        assert!(table.contains("ended (3)"), "{table}");
        state.run(&["rm", "web"]).succeeds();
        assert_eq!(state.files(), [""; 0]);
    }

    fn a_log_is_followed_until_the_end() needs [Box] {
        let state = State::new();
        shell(&state, "web", &[], "echo one; sleep 0.3; echo two; sleep 0.3; echo three");
        state.run(&["logs", "-f", "web"]).succeeds().prints("one\ntwo\nthree\n");
    }

    fn a_log_has_a_size() needs [Box] {
        let state = State::new();
        shell(&state, "web", &["--log-size", "64k"], "for i in $(seq 1 30000); do echo line $i; done");
        ends(&state, "web", 0);
        let size = |name: &str| fs::metadata(state.file(name)).map_or(0, |file| file.len());
        assert!(size("web.log") + size("web.log.old") <= 64 << 10);
        let text = state.run(&["logs", "web"]).succeeds().stdout();
        assert!(text.ends_with("line 29999\nline 30000\n") && text.len() > 16 << 10, "{} bytes", text.len());
    }

    fn a_terminal_is_logged_as_well() needs [Box, Ptmx] {
        let state = State::new();
        shell(&state, "web", &["--tty", "new"], "tty >/dev/null && echo terminal");
        ends(&state, "web", 0);
        state.run(&["logs", "web"]).succeeds().prints("terminal\r\n");
    }

    fn attach_is_at_the_terminal_of_a_box() needs [Box, Ptmx] {
        let state = State::new();
        let words = ["-d", "--name", "web", "--tty", "new", "--", "/bin/sh", "-c", "while read line; do echo \"got $line\"; done"];
        state.run(&words).succeeds();
        let attach = || state.clonebox().args(["attach", "web"]);
        let mut terminal = Terminal::new();
        terminal.run(attach());
        terminal.send("one\n");
        terminal.expect("got one");
        // ^P alone is the box's.
        terminal.send("\u{10}two\n");
        terminal.expect("two");
        terminal.send("\u{10}\u{11}");
        terminal.end();
        assert!(state.is("web", "running"));
        let mut again = Terminal::new();
        again.run(attach());
        again.send("three\n");
        again.expect("got three");
        // The box's end of input, and with it its end.
        again.send("\u{4}");
        again.end();
        ends(&state, "web", 0);
        let text = state.run(&["logs", "web"]).succeeds().stdout();
        assert!(text.contains("got one") && text.contains("got three"), "{text}");
    }

    fn sudo_attaches_at_a_terminal() needs [Sudo, Ptmx] {
        let state = State::of_sudo();
        let echo = "while read line; do echo \"got $line\"; done; exit 3";
        state.run(&["-d", "--name", "web", "--tty", "new", "--", "/bin/sh", "-c", echo]).succeeds();
        for (leave, change) in [("\u{10}\u{11}", Change::Exited(0)), ("\u{4}", Change::Exited(3))] {
            let mut terminal = Terminal::new();
            let before = terminal.settings();
            terminal.run(state.clonebox().args(["attach", "web"]));
            terminal.send("one\n");
            terminal.expect("got one");
            terminal.send(leave);
            assert_eq!(terminal.end(), change);
            assert_eq!(terminal.settings(), before);
        }
    }

    fn attach_to_a_box_without_a_terminal_shows_both_streams_and_ends_with_it() needs [Box] {
        let state = State::new();
        let directory = files::directory();
        let go = directory.path().join("go");
        let script = format!("until test -e {}; do sleep 0.02; done; echo out; echo err >&2; exit 7", go.display());
        shell(&state, "web", &[], &script);
        let visitors: Vec<_> = (0..3).map(|_| state.clonebox().args(["attach", "web"]).start()).collect();
        let keeper = parent(state.pid("web"));
        let sockets = || {
            let entries = fs::read_dir(format!("/proc/{keeper}/fd")).expect("descriptors").flatten();
            entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))).count()
        };
        assert!(eventually(|| sockets() == 4));
        fs::write(&go, "").expect("it is ours");
        for visitor in visitors {
            let ran = visitor.end().exits_with(7).prints("out\n");
            assert_eq!(ran.stderr(), "err\n");
        }
    }

    fn a_visitor_that_does_not_read_holds_nobody_up() needs [Box] {
        let state = State::new();
        let directory = files::directory();
        let go = directory.path().join("go");
        let script = format!("until test -e {}; do echo ready; sleep 0.02; done; head -c 3000000 /dev/zero; exit 4", go.display());
        shell(&state, "web", &[], &script);
        let mut visitor = state.clonebox().args(["attach", "web"]).start();
        let pid = Pid::from_raw(visitor.pid().cast_signed());
        visitor.ready();
        kill(pid, Signal::SIGSTOP).expect("it is ours");
        fs::write(&go, "").expect("it is ours");
        ends(&state, "web", 4);
        kill(pid, Signal::SIGCONT).expect("it is ours");
        visitor.end().exits_with(125).complains("clonebox: cannot stay with the box: its keeper is gone");
    }

    fn a_box_that_nobody_keeps_lets_nobody_in() needs [Box] {
        let state = State::new();
        let _web = state.start("web", &[]);
        state.run(&["attach", "web"]).exits_with(125).complains("the box web has no keeper to let anybody in");
    }

    fn the_keeper_has_nothing_of_the_callers() needs [Box] {
        let state = State::new();
        let file = files::directory();
        let open = fs::File::create(file.path().join("open")).expect("it is ours");
        let mut command = Command::new("/bin/sh");
        let script = format!("exec 7>{}; exec \"$@\"", file.path().join("other").display());
        command.args(["-c", &script, "sh"]).arg(binary());
        let ran = Clonebox::of(command)
            .env(State::VARIABLE, state.path())
            .current_dir(file.path())
            .args(["-d", "--name", "web"])
            .probe(["stay"])
            .run();
        ran.succeeds();
        let keeper = parent(state.pid("web"));
        let link = |name: &str| fs::read_link(format!("/proc/{keeper}/{name}")).expect("a link");
        assert_eq!(link("cwd").to_str(), Some("/"));
        for number in 0..3 {
            assert_eq!(link(&format!("fd/{number}")).to_str(), Some("/dev/null"));
        }
        let entries = fs::read_dir(format!("/proc/{keeper}/fd")).expect("descriptors").flatten();
        for entry in entries {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            assert!(!target.starts_with(file.path()), "{}", target.display());
        }
        let pid = Pid::from_raw(i32::try_from(keeper).expect("a process id"));
        assert_eq!(getsid(Some(pid)).expect("a session"), pid);
        assert!(open.as_raw_fd() > 2);
        state.run(&["rm", "-f", "web"]).succeeds();
    }

    fn the_keeper_is_small() needs [Box] {
        let state = State::new();
        shell(&state, "web", &[], "head -c 1000000 /dev/zero; echo done >&2; sleep 30");
        assert!(eventually(|| state.run(&["logs", "web"]).stderr().contains("done")));
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", parent(state.pid("web")))).expect("a process");
        let kib = |field: &str| -> u64 {
            let line = rollup.lines().find_map(|line| line.strip_prefix(field)).expect(field);
            line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
        };
        // Pages of the program's file are the kernel's cache.
        let own = kib("Anonymous:");
        assert!(own < 1024, "{own} KiB of its own:\n{rollup}");
        state.run(&["rm", "-f", "web"]).succeeds();
    }

    fn a_box_dies_with_its_keeper_and_leaves_a_free_name() needs [Box] {
        let state = State::new();
        let marker = marker("keeper");
        state.clonebox().args(["-d", "--name", "web"]).probe(["stay", &marker]).run().succeeds();
        let keeper = parent(state.pid("web"));
        kill(Pid::from_raw(i32::try_from(keeper).expect("a process id")), Signal::SIGKILL).expect("it is ours");
        assert!(eventually(|| marked(&marker).is_empty()));
        assert!(eventually(|| state.list().is_empty()));
        assert_eq!(state.files(), [""; 0]);
    }

    fn a_signal_to_the_keeper_is_the_boxs() needs [Box] {
        let state = State::new();
        shell(&state, "web", &["--init"], "sleep 30");
        let keeper = parent(state.pid("web"));
        kill(Pid::from_raw(i32::try_from(keeper).expect("a process id")), Signal::SIGTERM).expect("it is ours");
        ends(&state, "web", 143);
    }

    fn a_detached_box_has_timeout_and_report() needs [Box] {
        let state = State::new();
        let directory = files::directory();
        let report = directory.path().join("report");
        let option = format!("--report={}", report.display());
        shell(&state, "web", &["--timeout", "300ms", &option], "sleep 30");
        ends(&state, "web", 124);
        let text = fs::read_to_string(&report).expect("a report");
        assert!(text.contains("\"timed_out\":true"), "{text}");
        state.run(&["-d", &option, "--", "/nowhere"]).exits_with(127);
        let text = fs::read_to_string(&report).expect("a report");
        assert!(text.contains("\"exit_code\":127"), "{text}");
    }

    fn a_name_stays_taken_after_the_end_until_it_is_removed() needs [Box] {
        let state = State::new();
        shell(&state, "web", &[], "exit 0");
        ends(&state, "web", 0);
        state.run(&["--name", "web", "--", "/bin/true"])
            .exits_with(125)
            .complains("there is a box web already, which has ended: clonebox rm web forgets it");
        state.run(&["kill", "web"]).exits_with(125).complains("the box web has ended");
        state.run(&["stop", "web"]).succeeds();
        state.run(&["rm", "web"]).succeeds();
        state.run(&["--name", "web", "--", "/bin/true"]).succeeds();
    }

    fn bare_has_no_keeper() needs [Box] {
        let state = State::new();
        let ran = state.clonebox().args(["--detach=bare", "--name", "web"]).probe(["stay"]).run();
        ran.succeeds().prints("web\n");
        assert!(state.is("web", "running"));
        state.run(&["logs", "web"]).exits_with(125).complains("the box web has no log");
        state.run(&["stop", "-t", "0", "web"]).succeeds();
        assert!(eventually(|| state.list().is_empty()));
        assert_eq!(state.files(), [""; 0]);
    }

    fn what_a_detached_box_cannot_have_is_refused() needs [] {
        let state = State::new();
        for (options, message) in [
            (&["-d", "--tty=inherit"][..], "--tty inherit: a detached box does not have the caller's terminal"),
            (&["--detach=bare", "--tty=new"], "--tty new: a detached box"),
            (&["--detach=bare", "--timeout=1"], "--detach=bare: nobody is there for --report and --timeout"),
            (&["--detach=daemon"], "--detach daemon: expected --detach or --detach=bare"),
            (&["--log-size=1m"], "--log-size 1m: expected --detach as well"),
        ] {
            let words: Vec<&str> = options.iter().copied().chain(["--", "/bin/true"]).collect();
            state.run(&words).exits_with(125).prints("").complains(message);
        }
        assert!(!state.path().exists());
    }

    fn the_plan_of_a_detached_box_can_be_looked_at() needs [Box] {
        let state = State::new();
        let plan = state.run(&["-d", "--explain", "--", "/bin/true"]).succeeds().stdout();
        assert!(plan.contains("dup3(<stdout>, 1"), "{plan}");
        assert!(!state.path().exists());
    }

    fn cgroups_go_with_a_detached_box() needs [Box, Limits] {
        let state = State::new();
        shell(&state, "web", &["-m", "64m"], "sleep 30");
        let text = state.run(&["inspect", "web"]).succeeds().stdout();
        let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let path = all["cgroups"][0]["path"].as_str().expect("a cgroup").to_owned();
        assert!(fs::exists(&path).expect("a path"));
        state.run(&["kill", "web"]).succeeds();
        ends(&state, "web", 137);
        assert!(!fs::exists(&path).expect("a path"));
    }

    fn a_test_that_fails_leaves_no_box() needs [Box] {
        let marker = marker("left");
        let state = State::new();
        let directory = state.path().to_owned();
        for how in ["-d", "--detach=bare"] {
            state.clonebox().args([how]).probe(["stay", &marker]).run().succeeds();
        }
        assert!(!marked(&marker).is_empty());
        drop(state);
        assert!(eventually(|| marked(&marker).is_empty()));
        assert!(!directory.exists());
    }

    fn fifty_detached_boxes_are_started_listed_and_stopped_at_once() needs [Box] {
        let state = State::new();
        let marker = marker("fifty");
        let start = |number: u32| {
            let name = format!("box-{number}");
            let mut command = Command::new(binary());
            command.args(["-d", "--name", &name, "--", &probe::path(), "__probe", "stay", &marker]);
            command.env(State::VARIABLE, state.path()).stdout(Stdio::null()).spawn().expect("the command")
        };
        let all: Vec<_> = (0..50).map(start).collect();
        for mut one in all {
            assert!(one.wait().expect("a child").success());
        }
        assert_eq!(state.list().len(), 50);
        state.run(&["stop", "--all", "-t", "0"]).succeeds();
        assert!(eventually(|| marked(&marker).is_empty()));
        let names: Vec<String> = (0..50).map(|number| format!("box-{number}")).collect();
        let words: Vec<&str> = ["rm"].into_iter().chain(names.iter().map(String::as_str)).collect();
        state.run(&words).succeeds();
        assert_eq!(state.files(), [""; 0]);
    }
}
