//! What is done to a box by those who have not started it: stop, kill, wait, rm, inspect.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use serde_json::Value;

use crate::support::processes::{eventually, holds};
use crate::support::pty::{Change, Terminal};
use crate::support::rootfs::Root;
use crate::support::state::State;
use crate::support::tests;

/// Looks at the table of the box `web`, twice, and leaves it as people do.
#[track_caller]
fn draws_stats(state: &State) {
    let mut terminal = Terminal::new();
    terminal.run(state.clonebox().args(["stats", "--interval", "20ms"]));
    for _ in 0..2 {
        terminal.expect("\x1b[H\x1b[JNAME");
        terminal.expect("PIDS\r\nweb ");
    }
    terminal.send("\x03");
    let end = terminal.end();
    assert!(
        matches!(end, Change::Killed(libc::SIGINT) | Change::Exited(130)),
        "{end:?}"
    );
}

tests! {
    fn kill_ends_a_box() needs [Box] {
        let state = State::new();
        let running = state.start("web", &[]);
        state.run(&["kill", "web"]).succeeds().prints("").says_nothing_else();
        running.end().exits_with(137);
    }

    fn kill_sends_the_signal_that_is_named() needs [Box] {
        let state = State::new();
        for signal in ["TERM", "SIGTERM", "15"] {
            let running = state.start("web", &["--init"]);
            state.run(&["kill", "-s", signal, "web"]).succeeds();
            running.end().exits_with(143);
        }
    }

    fn kill_takes_a_process_id_as_well() needs [Box] {
        let state = State::new();
        let running = state.start("web", &[]);
        state.run(&["kill", &state.pid("web").to_string()]).succeeds();
        running.end().exits_with(137);
    }

    fn kill_all_ends_all() needs [Box] {
        let state = State::new();
        let running = [state.start("a", &[]), state.start("b", &[])];
        state.run(&["kill", "--all"]).succeeds();
        for one in running {
            one.end().exits_with(137);
        }
        state.run(&["kill", "--all"]).succeeds();
    }

    fn what_makes_no_sense_is_refused_and_changes_nothing() needs [Box] {
        let state = State::new();
        let _running = state.start("web", &[]);
        for (words, message) in [
            (&["kill"][..], "kill needs the name of a box"),
            (&["kill", "-s", "FOO", "web"], "FOO is no signal"),
            (&["kill", "--all", "web"], "kill takes names or --all, not both"),
            (&["stop", "-t", "soon", "web"], "--timeout soon: expected a time"),
            (&["stop", "--al"], "there is no option --al; did you mean --all?"),
            (&["wait", "other"], "there is no box other"),
            (&["rm", "web"], "the box web runs"),
            (&["inspect", "web", "web"], "inspect takes the name of one box"),
            (&["ps", "web"], "ps takes no names"),
        ] {
            let ran = state.run(words).exits_with(125).prints("");
            assert!(ran.stderr().starts_with(&format!("clonebox: {message}")), "{ran:?}");
        }
        assert!(state.is("web", "running"));
    }

    fn one_name_that_is_wrong_does_not_spare_the_others() needs [Box] {
        let state = State::new();
        let running = state.start("web", &[]);
        state.run(&["kill", "other", "web"]).exits_with(125).complains("there is no box other");
        running.end().exits_with(137);
    }

    fn stop_asks_and_waits() needs [Box] {
        let state = State::new();
        let running = state.start("web", &["--init"]);
        state.run(&["stop", "web"]).succeeds().prints("").says_nothing_else();
        running.end().exits_with(143);
        assert!(state.files().is_empty());
    }

    fn stop_kills_a_box_that_does_not_hear() needs [Box] {
        let state = State::new();
        // As PID 1 it ignores SIGTERM.
        let running = state.start("web", &[]);
        state.run(&["stop", "-t", "200ms", "web"]).succeeds();
        running.end().exits_with(137);
    }

    fn wait_prints_the_exit_code() needs [Box] {
        let state = State::new();
        let mut running = state.start("web", &["--init"]);
        let mut waiting = state.clonebox().args(["wait", "web"]).start();
        assert!(eventually(|| holds(waiting.pid(), "pidfd")));
        assert!(!waiting.has_ended() && !running.has_ended());
        state.run(&["kill", "-s", "TERM", "web"]).succeeds();
        waiting.end().succeeds().prints("143\n").says_nothing_else();
        running.end().exits_with(143);
    }

    fn many_may_wait_for_one_box() needs [Box] {
        let state = State::new();
        let _running = state.start("web", &[]);
        let mut waiting: Vec<_> = (0..8).map(|_| state.clonebox().args(["wait", "web"]).start()).collect();
        for one in &mut waiting {
            assert!(eventually(|| holds(one.pid(), "pidfd")));
        }
        state.run(&["kill", "web"]).succeeds();
        for one in waiting {
            one.end().succeeds().prints("137\n");
        }
    }

    fn rm_by_force_ends_a_box_and_forgives_that_there_is_none() needs [Box] {
        let state = State::new();
        let running = state.start("web", &[]);
        state.run(&["rm", "-f", "web"]).succeeds();
        running.end().exits_with(137);
        state.run(&["rm", "-f", "web"]).succeeds();
        state.run(&["rm", "web"]).exits_with(125).complains("there is no box web");
    }

    fn inspect_says_what_the_kernel_has() needs [Box] {
        let state = State::new();
        let _running = state.start("web", &["--net", "none", "--cap-drop", "ALL", "--cap-add", "KILL", "-w", "/dev"]);
        let text = state.run(&["inspect", "web"]).succeeds().stdout();
        let all: Value = serde_json::from_str(&text).expect("JSON");
        let kernel = &all["kernel"];
        for kind in ["pid", "uts", "mnt", "net"] {
            assert_eq!(kernel["namespaces"][kind]["shared"], false, "{kind}: {text}");
        }
        assert_eq!(kernel["namespaces"]["ipc"]["shared"], true, "{text}");
        assert_eq!(kernel["capabilities"]["effective"], serde_json::json!(["CAP_KILL"]), "{text}");
        assert_eq!(kernel["no_new_privs"], true);
        assert_eq!(kernel["working_directory"], "/dev");
        let mounts = kernel["mounts"].as_array().expect("mounts");
        assert!(mounts.iter().any(|mount| mount["target"] == "/proc" && mount["type"] == "proc"), "{text}");
        assert_eq!(all["plan"]["name"], "web");
        assert_eq!(all["pid"], kernel["pid"]);
    }

    fn inspect_says_what_filters_the_kernel_has() needs [Box, Seccomp, Unfiltered] {
        let kernel = |options: &[&str]| {
            let state = State::new();
            let _running = state.start("web", options);
            let text = state.run(&["inspect", "web"]).succeeds().stdout();
            let all: Value = serde_json::from_str(&text).expect("JSON");
            all["kernel"].clone()
        };
        let filtered = kernel(&["--seccomp", "default"]);
        assert_eq!(filtered["seccomp"], "filter", "{filtered:#}");
        let free = kernel(&["--seccomp", "off", "--allow-new-privs"]);
        assert_eq!((&free["seccomp"], &free["no_new_privs"]), (&"off".into(), &false.into()), "{free:#}");
        // The number is told since Linux 5.9.
        let [one, none] = [&filtered, &free].map(|kernel| kernel["seccomp_filters"].as_u64().expect("a number"));
        assert_eq!((one, none), (1, 0));
    }

    fn memory_and_processors_are_those_of_the_cgroup() needs [Box, Limits] {
        let state = State::new();
        let _running = state.start("web", &["-m", "64m", "--cpus", "1", "--pids-limit", "9"]);
        let found = state.find("web").expect("a box");
        assert_eq!(found["memory_limit_bytes"], 64 << 20, "{found}");
        assert!(found["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{found}");
        assert!(found["cpu_s"].as_f64().is_some(), "{found}");
        assert_eq!(found["pids"], 1, "{found}");
        let text = state.run(&["inspect", "web"]).succeeds().stdout();
        assert!(text.contains("pids.max"), "{text}");
    }

    fn a_paused_box_does_nothing_until_it_goes_on() needs [Box, Limits] {
        let state = State::new();
        let script = "while true; do echo x; sleep 0.02; done";
        let words = ["-d", "--name", "web", "--pids-limit", "9", "--", "/bin/sh", "-c", script];
        state.run(&words).succeeds();
        let count = || state.run(&["logs", "web"]).succeeds().stdout().len();
        assert!(eventually(|| count() > 4));
        state.run(&["pause", "web"]).succeeds().says_nothing_else();
        assert!(state.is("web", "paused"));
        // What was on its way when it was paused arrives; then nothing more.
        let rests = || {
            let before = count();
            std::thread::sleep(std::time::Duration::from_millis(400));
            count() == before
        };
        assert!(eventually(rests));
        let before = count();
        state.run(&["pause", "web"]).succeeds();
        state.run(&["unpause", "web"]).succeeds();
        assert!(state.is("web", "running"));
        assert!(eventually(|| count() > before + 4));
        state.run(&["unpause", "web"]).succeeds();
        state.run(&["rm", "-f", "web"]).succeeds();
    }

    fn a_paused_box_can_be_killed_and_leaves_nothing() needs [Box, Limits] {
        for words in [&["kill", "web"][..], &["stop", "-t", "0", "web"], &["kill", "--all"]] {
            let state = State::new();
            let running = state.start("web", &["--pids-limit", "9"]);
            state.run(&["pause", "web"]).succeeds();
            let text = state.run(&["inspect", "web"]).succeeds().stdout();
            let all: Value = serde_json::from_str(&text).expect("JSON");
            let name = all["cgroups"][0]["path"].as_str().and_then(|path| path.rsplit('/').next()).expect("a cgroup");
            state.run(words).succeeds();
            running.end().exits_with(137);
            for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
                assert!(!hierarchy.path().join(name).exists(), "{}", hierarchy.path().display());
            }
        }
    }

    fn a_box_without_a_cgroup_cannot_be_paused() needs [Box] {
        let state = State::new();
        let _running = state.start("web", &[]);
        state.run(&["pause", "web"])
            .exits_with(125)
            .complains("the box web has no cgroup that could be paused: start it with a limit, such as --pids-limit");
        assert!(state.is("web", "running"));
    }

    fn limits_of_a_box_that_runs_can_be_changed() needs [Box, Limits] {
        let state = State::new();
        let _running = state.start("web", &["-m", "64m", "--pids-limit", "9"]);
        state.run(&["update", "-m", "32m", "--pids-limit=7", "web"]).succeeds().prints("").says_nothing_else();
        assert_eq!(state.find("web").expect("a box")["memory_limit_bytes"], 32 << 20);
        // All or none: nobody has so little memory in use.
        state.run(&["update", "--pids-limit", "5", "-m", "64m", "--cgroup-conf", "pids.max=many", "web"])
            .exits_with(125)
            .complains("clonebox: cannot set pids.max of the box web to many: Invalid argument (EINVAL)");
        let text = state.run(&["inspect", "web"]).succeeds().stdout();
        assert!(text.contains("\"pids.max\": \"7\""), "{text}");
        assert_eq!(state.find("web").expect("a box")["memory_limit_bytes"], 32 << 20);
        state.run(&["update", "--cpus", "1", "web"])
            .exits_with(125)
            .complains("--cpus 1: the box has no cgroup of the cpu controller: it was started without such a limit");
        state.run(&["update", "web"]).exits_with(125).complains("update needs a limit");
        state.run(&["update", "--name", "x", "web"]).exits_with(125).complains("there is no option --name");
        state.run(&["update", "-m", "x", "web"]).exits_with(125).complains("--memory x: ");
    }

    fn processors_of_a_box_that_runs_can_be_changed() needs [Box, Limits] {
        let state = State::new();
        let _running = state.start("web", &["--cpus", "1"]);
        state.run(&["update", "--cpus", "0.5", "web"]).succeeds().prints("").says_nothing_else();
        let text = state.run(&["inspect", "web"]).succeeds().stdout();
        let is_half = ["\"cpu.max\": \"50000 100000\"", "\"cpu.cfs_quota_us\": \"50000\""];
        assert!(is_half.into_iter().any(|line| text.contains(line)), "{text}");
    }

    fn diff_tells_what_was_added_changed_and_deleted() needs [Root, Execveat] {
        let (state, root, upper) = (State::new(), Root::new(), crate::support::files::directory());
        let file = |name: &str| fs::write(root.path().join(name), "before").expect("it is ours");
        fs::create_dir(root.path().join("d")).expect("it is ours");
        for name in ["kept", "changed", "gone", "d/inner"] {
            file(name);
        }
        fs::create_dir(root.path().join("bin")).expect("it is ours");
        let options = ["--rootfs-overlay", root.text(), "--upper", upper.path().to_str().expect("UTF-8")];
        let script = "echo x >/changed; rm /gone; rm -r /d; mkdir /d; echo y >/d/new; ln -s /etc /link; sleep 60";
        let words = ["-d", "--name", "web"].iter().chain(&options).copied().chain([
            "--ro-bind", "/bin", "--ro-bind", "/usr", "--bind-try", "/lib", "--bind-try", "/lib64", "--", "/bin/sh", "-c", script,
        ]);
        state.run(&words.collect::<Vec<_>>()).succeeds();
        let expected = ["C /changed", "C /d", "D /d/inner", "A /d/new", "D /gone", "A /link"];
        let found = || {
            let text = state.run(&["diff", "web"]).succeeds().stdout();
            // Without the mount points.
            let made = ["bin", "dev", "lib", "lib64", "proc", "sys", "usr"].map(|name| format!("/{name}"));
            let lines = text.lines().filter(|line| !made.iter().any(|made| line.ends_with(made)));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(eventually(|| found() == expected), "{:?}", found());
        state.run(&["rm", "-f", "web"]).succeeds();
    }

    fn a_box_with_a_name_has_an_overlay_in_a_directory_whose_name_is_any_bytes() needs [Root, Execveat] {
        let (state, place, other) = (State::new(), crate::support::files::directory(), Root::new());
        let directory = place.path().join(OsStr::from_bytes(b"\xff"));
        for name in ["root", "upper"] {
            fs::create_dir_all(directory.join(name)).expect("it is ours");
        }
        let options = ["-d", "--name", "web", "--rootfs-overlay", "root", "--upper", "upper", "-v", &other.program()];
        let words = ["--", "/it", "__probe", "stay"];
        state.clonebox().current_dir(&directory).args(options).args(words).run().succeeds();
        let found = || state.run(&["diff", "web"]).succeeds().stdout();
        assert!(eventually(|| found().contains("A /it\n")), "{}", found());
        state.run(&["rm", "-f", "web"]).succeeds();
    }

    fn diff_of_what_nobody_can_reach_is_refused() needs [Box] {
        let state = State::new();
        let _web = state.start("web", &[]);
        state.run(&["diff", "web"]).exits_with(125).complains("the root of the box web is no overlay");
    }

    fn stats_tell_what_is_used() needs [Box, Limits] {
        let state = State::new();
        let probe = crate::support::probe::path();
        let mut running = state.clonebox()
            .args(["--name", "web", "-m", "64m", "--cpus", "0.5", "--pids-limit", "9", "--", &probe, "__probe", "spin"])
            .start();
        assert!(eventually(|| state.is("web", "running")));
        let text = state.run(&["stats", "--json", "--once"]).succeeds().stdout();
        let sample: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&sample["name"], &sample["pids"]), (&"web".into(), &1.into()));
        assert!(sample["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 0 && bytes < 64 << 20), "{text}");
        let table = state.run(&["stats", "web"]).succeeds().stdout();
        assert!(table.starts_with("NAME   CPU ") && table.contains("64.0MiB"), "{table}");
        // A second look knows what the processor did.
        let mut command = state.clonebox().args(["stats", "--json", "--interval", "300ms"]).command();
        command.env(State::VARIABLE, state.path()).stdout(std::process::Stdio::piped());
        let mut stats = command.spawn().expect("the command");
        let mut line = String::new();
        let mut output = std::io::BufReader::new(stats.stdout.take().expect("a pipe"));
        std::io::BufRead::read_line(&mut output, &mut line).expect("a line");
        let sample: Value = serde_json::from_str(&line).expect("JSON");
        let percent = sample["cpu_percent"].as_f64().expect("a number");
        assert!(percent > 1.0 && percent < 110.0, "{line}");
        stats.kill().expect("it is ours");
        stats.wait().expect("its end");
        assert!(!running.has_ended());
        state.run(&["kill", "web"]).succeeds();
    }

    fn stats_are_a_table_that_is_drawn_again_at_a_terminal() needs [Box, Ptmx] {
        let state = State::new();
        let _web = state.start("web", &[]);
        draws_stats(&state);
        // What is not drawn again is not drawn: it is lines.
        for words in [&["stats", "--once"][..], &["stats", "--json", "--once"]] {
            let mut terminal = Terminal::new();
            terminal.run(state.clonebox().env("TERM", "xterm").args(words));
            terminal.expect("web");
            assert_eq!(terminal.end(), Change::Exited(0));
            terminal.has_not_seen("\x1b");
        }
    }

    fn sudo_draws_stats_at_a_terminal() needs [Sudo, Ptmx] {
        let state = State::of_sudo();
        state.run(&["-d", "--name", "web", "--", "/bin/sleep", "300"]).succeeds();
        draws_stats(&state);
    }

    fn stop_tells_at_a_terminal_how_far_it_is_and_only_there() needs [Box, Ptmx] {
        let state = State::new();
        // As PID 1 they ignore SIGTERM: it takes all of the time.
        let stop = |quiet: &[&'static str]| {
            state.clonebox().env("TERM", "xterm").args(["stop", "-t", "300ms", "--all"]).args(quiet)
        };
        let start = || ["one", "two"].map(|name| state.start(name, &[]));
        let mut terminal = Terminal::new();
        let running = start();
        terminal.run(stop(&[]));
        terminal.expect("clonebox: stopping 2 boxes: 0 done\r\x1b[K");
        terminal.expect("clonebox: stopping 2 boxes: 1 done\r\x1b[K");
        assert_eq!(terminal.end(), Change::Exited(0));
        drop(running);
        let running = start();
        let mut terminal = Terminal::new();
        terminal.run(stop(&["--quiet"]));
        assert_eq!(terminal.end(), Change::Exited(0));
        terminal.has_not_seen("stopping");
        drop(running);
        let running = start();
        stop(&[]).run().succeeds().prints("").says_nothing_else();
        drop(running);
    }

    fn stop_of_one_box_tells_so_too() needs [Box, Ptmx] {
        let state = State::new();
        let running = state.start("one", &[]);
        let mut terminal = Terminal::new();
        terminal.run(state.clonebox().env("TERM", "xterm").args(["stop", "-t", "100ms", "one"]));
        terminal.expect("clonebox: stopping 1 box\r\x1b[K");
        assert_eq!(terminal.end(), Change::Exited(0));
        drop(running);
    }

    fn rm_tells_at_a_terminal_how_far_it_is_and_only_there() needs [Box, Ptmx] {
        let state = State::new();
        let start = || for name in ["one", "two"] {
            state.clonebox().args(["-d", "--name", name]).probe(["stay"]).run().succeeds();
        };
        // An error takes the place of the line.
        let rm = |quiet: &[&'static str]| {
            state.clonebox().env("TERM", "xterm").env("NO_COLOR", "1").args(["rm", "one", "two"]).args(quiet)
        };
        start();
        let mut terminal = Terminal::new();
        terminal.run(rm(&[]));
        terminal.expect("clonebox: removing 2 boxes: 0 done\r\x1b[Kclonebox: the box one runs");
        terminal.expect("clonebox: removing 2 boxes: 1 done\r\x1b[Kclonebox: the box two runs");
        assert_eq!(terminal.end(), Change::Exited(125));
        let mut terminal = Terminal::new();
        terminal.run(rm(&["--force", "--quiet"]));
        assert_eq!(terminal.end(), Change::Exited(0));
        terminal.has_not_seen("removing");
        start();
        rm(&["--force"]).run().succeeds().prints("").says_nothing_else();
        assert_eq!(state.files(), [""; 0]);
    }

    fn diff_of_many_files_tells_at_a_terminal_how_far_it_is_and_only_there() needs [Root, Execveat, Ptmx] {
        let (state, root, upper) = (State::new(), Root::new(), crate::support::files::directory());
        let many = upper.path().join("upper/many");
        fs::create_dir_all(&many).expect("it is ours");
        for number in 0..5000 {
            fs::write(many.join(format!("{number:04}")), "").expect("it is ours");
        }
        let (layer, program) = (upper.path().to_str().expect("UTF-8"), root.program());
        let layers = ["--rootfs-overlay", root.text(), "--upper", layer, "-v", &program];
        let words = [&["-d", "--name", "web"][..], &layers, &["--", "/it", "__probe", "stay"]].concat();
        state.run(&words).succeeds();
        let diff = |quiet: &[&'static str]| state.clonebox().env("TERM", "xterm").args(["diff", "web"]).args(quiet);
        let mut terminal = Terminal::new();
        terminal.run(diff(&[]));
        terminal.expect("clonebox: comparing, 4096 names so far\r\x1b[K");
        terminal.expect("A /many/4999");
        assert_eq!(terminal.end(), Change::Exited(0));
        let mut terminal = Terminal::new();
        terminal.run(diff(&["-q"]));
        assert_eq!(terminal.end(), Change::Exited(0));
        terminal.has_not_seen("comparing");
        let text = diff(&[]).run().succeeds().says_nothing_else().stdout();
        assert_eq!(text.lines().filter(|line| line.starts_with("A /many/")).count(), 5000);
        state.run(&["rm", "-f", "web"]).succeeds();
    }

    fn a_list_has_commands_as_a_shell_reads_them() needs [Box] {
        let state = State::new();
        let script = "trap 'exit 3' TERM; while :; do sleep 1; done";
        state.run(&["-d", "--name", "web", "--", "/bin/sh", "-c", script]).succeeds();
        let table = state.run(&["ps"]).succeeds().stdout();
        let quoted = r"/bin/sh -c 'trap '\''exit 3'\'' TERM; while :; do sleep 1; done'";
        assert!(table.ends_with(&format!("   {quoted}\n")), "{table}");
        state.run(&["rm", "-f", "web"]).succeeds();
    }

    fn a_list_of_none_is_a_head() needs [] {
        let state = State::new();
        let table = state.run(&["ps"]).succeeds().stdout();
        assert_eq!(table, "NAME   PID   AGE   STATE   MEMORY   CPU   COMMAND\n");
        state.run(&["ps", "--json"]).succeeds().prints("");
        assert!(!state.path().exists());
    }
}
