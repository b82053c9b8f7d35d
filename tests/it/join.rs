//! `clonebox exec`: a program in a box that runs, confined as that is.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use clonebox::{ErrorKind, Registry};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::clonebox::{Ran, Running};
use crate::support::processes::{eventually, marked, marker};
use crate::support::pty::{Change, Terminal};
use crate::support::rootfs::Root;
use crate::support::state::State;
use crate::support::status::Status;
use crate::support::user::{Boxes, Place};
use crate::support::{Clonebox, binary, probe, tests};

/// Runs a probe in the box `web`.
fn exec(state: &State, options: &[&str], words: &[&str]) -> Ran {
    describe(state, options, words).run()
}

fn describe(state: &State, options: &[&str], words: &[&str]) -> Clonebox {
    let command = state.clonebox().arg_exec(options);
    command.probe(words)
}

impl Clonebox {
    fn arg_exec(self, options: &[&str]) -> Self {
        self.args(["exec"]).args(options).args(["web"])
    }
}

fn status_of_first(state: &State) -> Status {
    let pid = u32::try_from(state.pid("web")).expect("a process id");
    Status::of(pid).expect("a process")
}

#[track_caller]
fn is_confined_alike(state: &State, options: &[&str]) {
    let first = status_of_first(state);
    let joined = exec(state, options, &["cat", "/proc/self/status"]).succeeds();
    let joined = Status::printed(joined.stdout());
    for field in [
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
    ] {
        assert_eq!(joined.words(field), first.words(field), "{field}");
    }
}

/// The links of a process's namespaces.
fn namespaces(pid: u64) -> Vec<String> {
    ["user", "mnt", "uts", "ipc", "pid", "net", "cgroup", "time"]
        .into_iter()
        .map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")))
        .map(|link| link.expect("a namespace").display().to_string())
        .collect()
}

/// The program in the box that has this word on its command line: not the command that has started it, and not
/// what becomes it.
#[track_caller]
fn joined(marker: &str) -> u32 {
    let program = fs::canonicalize(probe::path()).expect("this binary");
    let runs = |pid: &u32| {
        let exe = fs::read_link(format!("/proc/{pid}/exe"));
        exe.is_ok_and(|exe| exe == program)
    };
    let mut found = None;
    let is_there = eventually(|| {
        found = marked(marker).into_iter().find(runs);
        found.is_some()
    });
    assert!(is_there, "it is in the box");
    found.expect("it is there")
}

fn start_stay(state: &State, options: &[&str], marker: &str) -> Running {
    describe(state, options, &["stay", marker]).start()
}

/// Joins a box with a root filesystem at a terminal, which has a name there, and belongs to this user.
#[track_caller]
fn has_a_terminal_of_its_own(options: &[&str], of_exec: &[&str], user: &str) {
    let (state, root) = (State::new(), Root::new());
    let program = root.program();
    let words = ["-d", "--name", "web", "--rootfs", root.text(), "-v"];
    let command = ["--", "/it", "__probe", "stay"];
    state
        .run(&[&words[..], &[&program], options, &command].concat())
        .succeeds();
    let at_terminal = |words: &[&str]| {
        let mut terminal = Terminal::new();
        terminal.resize(33, 101);
        let exec = state.clonebox().arg_exec(of_exec);
        terminal.run(exec.args(["--", "/it", "__probe"]).args(words));
        terminal
    };
    let mut terminal = at_terminal(&["terminal"]);
    terminal.expect("0 true /dev/pts/0\r\n");
    terminal.expect("controlling\r\nleads a session true\r\nin front true\r\n");
    assert_eq!(terminal.end(), Change::Exited(0));
    let mut terminal = at_terminal(&["size"]);
    terminal.expect("size 33 101\r\n");
    terminal.resize(20, 50);
    terminal.expect("size 20 50\r\n");
    // A command that is killed leaves its program to PID 1, and the box has not ended until that has waited for it.
    terminal.signal(libc::SIGTERM);
    assert_eq!(terminal.end(), Change::Exited(128 + 15));
    let list = ["exec", "web", "/it", "__probe", "list", "/dev/pts"];
    let nothing_left = || state.run(&list).succeeds().stdout() == "ptmx\n";
    assert!(eventually(nothing_left));
    let mut terminal = at_terminal(&["stat", "/dev/pts/0"]);
    terminal.expect(&format!("/dev/pts/0 device 620 136:0 {user}\r\n"));
    assert_eq!(terminal.end(), Change::Exited(0));
    assert!(eventually(nothing_left));
    state.run(&["rm", "-f", "web"]).succeeds();
}

/// Joins the box `web` at a terminal.
#[track_caller]
fn a_shell_has_job_control(state: &State, options: &[&str]) {
    let mut terminal = Terminal::new();
    let before = terminal.settings();
    let shell = ["--env", "PS1=prompt: ", "web", "--", "/bin/sh", "-i"];
    terminal.run(state.clonebox().args(["exec"]).args(options).args(shell));
    terminal.expect("prompt: ");
    terminal.send("echo pid is $(($$ + 0))\n");
    terminal.expect("pid is ");
    terminal.send("sleep 300\n");
    thread::sleep(Duration::from_millis(300));
    terminal.send("\x03");
    terminal.expect("prompt: ");
    terminal.send("exit 7\n");
    assert_eq!(terminal.end(), Change::Exited(7), "{options:?}");
    assert_eq!(terminal.settings(), before, "{options:?}");
}

/// Starts a box with a root filesystem, as this user, and looks who and where what joins it is.
#[track_caller]
fn joins_a_root(options: &[&str], own: &str) {
    let (state, root) = (State::new(), Root::new());
    let etc = root.path().join("etc");
    fs::create_dir(&etc).expect("a directory of ours");
    let passwd = "root:x:0:0::/root:/x\nweb:x:77:78::/srv:/x\n";
    fs::write(etc.join("passwd"), passwd).expect("a directory of ours");
    fs::write(etc.join("group"), "web:x:78:\nmore:x:79:web\n").expect("a directory of ours");
    let program = root.program();
    let words = [
        "-d",
        "--name",
        "web",
        "--rootfs",
        root.text(),
        "-v",
        &program,
    ];
    let command = ["--", "/it", "__probe", "stay"];
    state
        .run(&[&words[..], options, &command].concat())
        .succeeds();
    let run = |options: &[&str], words: &[&str]| {
        let program = ["web", "--", "/it", "__probe"];
        let ran = state.run(&[&["exec"], options, &program, words].concat());
        ran.succeeds().stdout()
    };
    assert_eq!(run(&[], &["cwd"]), "/\n");
    let names = run(&[], &["list", "/"]);
    assert!(names.contains("it") && !names.contains("home"), "{names}");
    let status = |options: &[&str]| Status::printed(run(options, &["cat", "/proc/self/status"]));
    assert_eq!(status(&[]).words("Uid"), [own; 4]);
    let web = status(&["-u", "web"]);
    assert_eq!(web.words("Uid"), ["77"; 4]);
    assert_eq!(web.words("Gid"), ["78"; 4]);
    assert_eq!(web.words("Groups"), ["79"]);
    assert_eq!(web.set("CapEff"), 0);
    let env = run(&["-u", "web", "--env-clear", "-e", "A=b"], &["env"]);
    assert_eq!(env, "A=b\nHOME=/srv\n");
    let command = state
        .clonebox()
        .env("SSH_AUTH_SOCK", "/of/the/host")
        .args(["exec", "web"]);
    let env = command
        .args(["--", "/it", "__probe", "env"])
        .run()
        .succeeds();
    assert!(!env.stdout().contains("SSH_AUTH_SOCK"), "{env:?}");
    state.run(&["rm", "-f", "web"]).succeeds();
    assert_eq!(state.files(), [""; 0]);
}

/// How many boxes are dealt with; fewer where somebody says that the machine is slow.
fn boxes() -> usize {
    let each = std::env::var("CLONEBOX_IT_BOXES");
    let each: usize = each.map_or(25, |each| each.parse().expect("a number"));
    each * 8
}

tests! {
    fn a_program_joins_the_namespaces_of_a_box() needs [Box, Execveat] {
        let state = State::new();
        let _web = state.start("web", &["--net", "none", "--ipc", "private", "--cgroupns", "private"]);
        let marker = marker("joins");
        let _joined = start_stay(&state, &[], &marker);
        assert_eq!(namespaces(joined(&marker).into()), namespaces(state.pid("web")));
        exec(&state, &[], &["pid"]).succeeds();
        assert_ne!(exec(&state, &[], &["pid"]).stdout(), "1\n");
        state.run(&["exec", "web", "/bin/hostname"]).succeeds().prints("web\n").says_nothing_else();
    }

    fn exit_codes_are_those_of_run() needs [Box, Execveat] {
        let state = State::new();
        let _web = state.start("web", &[]);
        for (words, code) in [
            (&["/bin/sh", "-c", "exit 3"][..], 3),
            (&["/bin/sh", "-c", "kill -9 $$"], 137),
            (&["/bin/sh", "-c", "kill -TERM $$"], 143),
            (&["/nowhere"], 127),
            (&["no-such-program"], 127),
            (&["/etc"], 126),
        ] {
            let words = [&["exec", "web", "--"], words].concat();
            state.clonebox().env("PATH", "/usr/bin:/bin").args(words).run().exits_with(code);
        }
        exec(&state, &["--timeout", "100ms"], &["stay"]).exits_with(124);
        exec(&state, &["-w", "/nowhere"], &["exit", "0"])
            .exits_with(125)
            .complains("clonebox: cannot enter the working directory /nowhere: No such file or directory (ENOENT)\n");
    }

    fn what_makes_no_sense_is_refused() needs [Box, Execveat] {
        let state = State::new();
        let _web = state.start("web", &[]);
        let own = std::process::id().to_string();
        for (words, message) in [
            (&["exec"][..], "exec needs the name of a box"),
            (&["exec", "web"], "exec needs a command"),
            (&["exec", "web", "--"], "exec needs a command"),
            (&["exec", "web", "-w", "/", "/bin/true"], "-w is no command: options of exec stand before the name"),
            (&["exec", "other", "--", "/bin/true"], "there is no box other"),
            (&["exec", &own, "/bin/true"], "there is no box "),
            (&["exec", "4294967296", "/bin/true"], "there is no box 4294967296"),
            (&["exec", "../web", "/bin/true"], "there is no box ../web"),
            (&["exec", "--rootfs", "/", "web", "/bin/true"], "there is no option --rootfs"),
            (&["exec", "--user", "web"], "exec needs the name of a box"),
            (&["exec", "-u", "nobody-at-all", "web", "/bin/true"], "--user nobody-at-all: there is no user"),
            (&["exec", "-w", "here", "web", "/bin/true"], "--workdir here: the working directory"),
            (&["exec", "-e", "=x", "web", "/bin/true"], "--env =x: a variable has a name"),
        ] {
            let ran = state.run(words).exits_with(125).prints("");
            assert!(ran.stderr().starts_with(&format!("clonebox: {message}")), "{ran:?}");
        }
        assert!(state.is("web", "running"));
    }

    fn a_process_id_is_as_good_as_a_name() needs [Box, Execveat] {
        let state = State::new();
        let _web = state.start("web", &[]);
        let pid = state.pid("web").to_string();
        state.run(&["exec", &pid, "/bin/hostname"]).succeeds().prints("web\n");
    }

    fn it_is_confined_as_the_first_process() needs [Box, Execveat] {
        for options in [
            &[][..],
            &["--cap-drop", "ALL"],
            &["--cap-drop", "KILL", "--cap-add", "NET_RAW"],
            &["--allow-new-privs"],
            &["--pid", "host"],
        ] {
            let state = State::new();
            let _web = state.start("web", options);
            is_confined_alike(&state, &[]);
        }
    }

    fn it_is_under_the_filter_of_the_box() needs [Box, Execveat, Seccomp] {
        let state = State::new();
        let _web = state.start("web", &["--seccomp", "default"]);
        is_confined_alike(&state, &[]);
        // unshare(CLONE_NEWUTS)
        let call = format!("{},{}", libc::SYS_unshare, libc::CLONE_NEWUTS);
        exec(&state, &[], &["calls", &call]).succeeds().prints("EPERM\n");
        // What the filter forbids it forbids with another capability as well.
        exec(&state, &["--cap-add", "SYS_ADMIN"], &["calls", &call]).succeeds().prints("EPERM\n");
    }

    fn a_box_whose_filter_is_only_traced_is_not_joined() needs [Box, Execveat, Seccomp] {
        let state = State::new();
        let _web = state.start("web", &["--seccomp-trace"]);
        exec(&state, &[], &["exit", "0"])
            .exits_with(125)
            .complains("its filter of system calls is only traced");
    }

    fn it_may_use_the_files_that_the_box_may() needs [Box, Execveat, Landlock] {
        let state = State::new();
        let (program, writable) = (probe::path(), crate::support::files::directory());
        let rw = writable.path().to_str().expect("UTF-8");
        let options = ["--ll-exec", &program, "--ll-ro", "/proc", "--ll-rw", rw];
        let _web = state.start("web", &options);
        exec(&state, &[], &["list", "/etc"]).exits_with(101);
        exec(&state, &[], &["list", rw]).succeeds();
        exec(&state, &[], &["list", "/proc"]).succeeds();
    }

    fn a_rule_that_the_box_could_give_another_meaning_keeps_programs_out() needs [Box, Execveat, Landlock] {
        let state = State::new();
        let (program, writable) = (probe::path(), crate::support::files::directory());
        let rw = writable.path().to_str().expect("UTF-8");
        let (link, below) = (writable.path().join("link"), writable.path().join("below"));
        fs::create_dir(&below).expect("a directory of ours");
        std::os::unix::fs::symlink("/proc", &link).expect("a directory of ours");
        let link = link.to_str().expect("UTF-8");
        let options = ["--ll-exec", &program, "--ll-ro", link];
        let web = state.start("web", &options);
        // The box cannot change it, and what it leads to is known.
        exec(&state, &[], &["list", "/proc"]).succeeds();
        drop(web);
        assert!(eventually(|| state.files().is_empty() || state.list().is_empty()));
        let below = below.to_str().expect("UTF-8");
        let options = ["--ll-exec", &program, "--ll-rw", rw, "--ll-exec", below];
        let _web = state.start("web", &options);
        exec(&state, &[], &["exit", "0"])
            .exits_with(125)
            .complains(&format!("{below} of the box's Landlock rules is below {rw}, where the box may write"));
    }

    fn a_link_that_has_come_into_the_place_of_a_path_is_not_followed() needs [Box, Execveat, Landlock] {
        let state = State::new();
        let (program, directory) = (probe::path(), crate::support::files::directory());
        let place = directory.path().join("place");
        fs::create_dir(&place).expect("a directory of ours");
        let options = ["--ll-exec", &program, "--ll-ro", place.to_str().expect("UTF-8")];
        let _web = state.start("web", &options);
        exec(&state, &[], &["exit", "0"]).succeeds();
        fs::remove_dir(&place).expect("it is empty");
        std::os::unix::fs::symlink("/etc", &place).expect("a directory of ours");
        exec(&state, &[], &["list", "/etc"]).exits_with(125).complains("(ELOOP)\n");
    }

    fn a_capability_more_is_the_callers_word() needs [Box, Execveat] {
        let state = State::new();
        let _web = state.start("web", &["--cap-drop", "ALL"]);
        let ran = exec(&state, &["--cap-add", "CHOWN"], &["cat", "/proc/self/status"]).succeeds();
        let status = Status::printed(ran.stdout());
        assert_eq!((status.set("CapEff"), status.set("CapBnd")), (1, 1));
    }

    fn an_id_that_the_box_has_not_is_told() needs [Userns, Execveat] {
        let state = State::new();
        let _web = state.start("web", &crate::support::alone());
        exec(&state, &["-u", "77:78"], &["pid"])
            .exits_with(125)
            .complains("clonebox: cannot become group 78: Invalid argument (EINVAL)\n")
            .complains("  hint         the user namespace of the box web has no such id: ");
    }

    fn what_the_first_process_has_given_up_nobody_gets() needs [Root, Execveat] {
        let state = State::new();
        let drops = ["--bounding-set=-chown", "/bin/true"];
        let setpriv = Command::new("setpriv").args(drops).status();
        let words = match setpriv {
            Ok(status) if status.success() => &["--", "setpriv", "--bounding-set=-chown", "/bin/sleep", "300"][..],
            _ => &["--cap-drop", "CHOWN", "--", "/bin/sleep", "300"],
        };
        state.run(&[&["-d", "--name", "web"], words].concat()).succeeds();
        assert!(eventually(|| status_of_first(&state).set("CapBnd") & 1 == 0));
        let status = exec(&state, &[], &["cat", "/proc/self/status"]).succeeds().stdout();
        let status = Status::printed(status);
        assert_eq!((status.set("CapBnd") & 1, status.set("CapEff") & 1), (0, 0));
        state.run(&["rm", "-f", "web"]).succeeds();
    }

    fn limits_of_the_process_are_those_of_the_box() needs [Box, Execveat] {
        let state = State::new();
        let _web = state.start("web", &["--ulimit", "nofile=64:64", "--ulimit", "core=0"]);
        let limits = exec(&state, &[], &["cat", "/proc/self/limits"]).succeeds().stdout();
        let line = |name: &str| {
            let line = limits.lines().find(|line| line.starts_with(name)).expect("a line");
            line[name.len()..].split_whitespace().take(2).collect::<Vec<_>>()
        };
        assert_eq!(line("Max open files"), ["64", "64"]);
        assert_eq!(line("Max core file size"), ["0", "0"]);
    }

    fn it_is_counted_in_the_cgroups_of_the_box() needs [Limits, Execveat] {
        let state = State::new();
        let options = ["-m", "64m", "--pids-limit", "20"];
        let _web = state.start("web", &options);
        let marker = marker("counted");
        let _joined = start_stay(&state, &[], &marker);
        let cgroups = |pid: u64| fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("a process");
        let own = cgroups(state.pid("web"));
        assert!(own.contains(".clonebox"), "{own}");
        assert_eq!(cgroups(joined(&marker).into()), own);
        // What it uses up, is the box's.
        let oom = exec(&state, &[], &["eat", "200"]);
        assert_ne!(oom.code(), Some(0), "{oom:?}");
    }

    fn a_box_that_may_have_no_more_processes_gets_none() needs [Limits, Execveat] {
        let state = State::new();
        let _web = state.start("web", &["--pids-limit", "1"]);
        exec(&state, &[], &["exit", "0"]).exits_with(125);
        assert!(state.is("web", "running"));
    }

    fn it_is_in_the_cgroups_of_the_box_before_it_makes_its_first_call() needs [Limits, Execveat] {
        let state = State::new();
        let _web = state.start("web", &["--pids-limit", "1"]);
        let own = fs::read_to_string(format!("/proc/{}/cgroup", state.pid("web"))).expect("a process");
        let unified = own.lines().any(|line| line.starts_with("0::") && line.contains(".clonebox"));
        let ran = exec(&state, &[], &["exit", "0"]).exits_with(125);
        // There the clone itself meets the limit; elsewhere the process is made first, and enters.
        let refused = if unified { "CLONE_INTO_CGROUP" } else { "in the process namespace of the box" };
        ran.complains(refused);
        let plan = state.run(&["exec", "--explain", "web", "--", "/bin/true"]).succeeds().stdout();
        assert_eq!(plan.contains("CLONE_INTO_CGROUP"), unified, "{plan}");
        let enters = plan.find("write(<cgroup>, \"0\", 1)");
        assert_eq!(enters.is_none(), unified, "{plan}");
        assert!(enters < plan.find("setns(<box>"), "{plan}");
    }

    fn a_paused_box_is_not_joined() needs [Limits, Execveat] {
        let state = State::new();
        let _web = state.start("web", &["--pids-limit", "20"]);
        state.run(&["pause", "web"]).succeeds();
        exec(&state, &[], &["exit", "0"])
            .exits_with(125)
            .complains("the box web is paused: clonebox unpause web\n");
        state.run(&["unpause", "web"]).succeeds();
        exec(&state, &[], &["exit", "0"]).succeeds();
    }

    fn its_root_is_that_of_the_box() needs [Root, Execveat] {
        joins_a_root(&[], "0");
        joins_a_root(&["-u", "web"], "77");
    }

    fn its_root_is_that_of_the_box_with_ids_of_its_own() needs [Root, Execveat, Userns, Idmap] {
        joins_a_root(&["--userns", "auto"], "0");
        joins_a_root(&["--userns", "auto", "-u", "web"], "77");
    }

    fn by_an_overlay_as_well() needs [Root, Execveat] {
        let (state, root) = (State::new(), Root::new());
        let words = ["-d", "--name", "web", "--rootfs-overlay", root.text(), "-v", &root.program()];
        state.run(&[&words[..], &["--", "/it", "__probe", "stay"]].concat()).succeeds();
        let exec = ["exec", "web", "--", "/it", "__probe"];
        state.run(&[&exec[..], &["write", "/new", "644"]].concat()).succeeds();
        state.run(&[&exec[..], &["cat", "/new"]].concat()).succeeds();
        assert!(!root.path().join("new").exists());
        state.run(&["rm", "-f", "web"]).succeeds();
    }

    fn the_user_and_the_directory_of_the_box_are_its_own() needs [Root, Execveat] {
        let state = State::new();
        let _web = state.start("web", &["-u", "1234:1235", "-w", "/dev"]);
        exec(&state, &[], &["cwd"]).succeeds().prints("/dev\n");
        let status = Status::printed(exec(&state, &[], &["cat", "/proc/self/status"]).succeeds().stdout());
        assert_eq!((status.words("Uid")[1], status.words("Gid")[1]), ("1234", "1235"));
        assert_eq!(status.set("CapEff"), 0);
    }

    fn a_box_with_ids_of_its_own_is_joined_by_root() needs [Root, Execveat, Userns, Idmap] {
        let state = State::new();
        let _web = state.start("web", &["--userns", "auto"]);
        is_confined_alike(&state, &[]);
        let map = exec(&state, &[], &["cat", "/proc/self/uid_map"]).succeeds().stdout();
        assert_eq!(map, fs::read_to_string(format!("/proc/{}/uid_map", state.pid("web"))).expect("a map"));
        let status = Status::printed(exec(&state, &[], &["cat", "/proc/self/status"]).succeeds().stdout());
        assert_eq!(status.words("Uid"), ["0"; 4]);
    }

    fn an_ordinary_user_joins_his_boxes_and_nobody_elses() needs [Root, Execveat, Userns] {
        let place = Place::new();
        let boxes = Boxes::new(&place);
        let of_user = |words: &[&str]| boxes.run(words);
        of_user(&["-d", "--name", "web", "--", place.program(), "__probe", "stay"]).succeeds();
        let exec = ["exec", "web", "--", place.program(), "__probe"];
        let status = of_user(&[&exec[..], &["cat", "/proc/self/status"]].concat()).succeeds().stdout();
        let status = Status::printed(status);
        assert_eq!(status.words("Uid"), ["0"; 4]);
        assert_eq!(status.words("NoNewPrivs"), ["1"]);
        of_user(&[&exec[..], &["exit", "9"]].concat()).exits_with(9);
        of_user(&["rm", "-f", "web"]).succeeds();
    }

    fn an_ordinary_user_has_the_clocks_of_his_box() needs [Root, Execveat, Userns, TimeNamespace] {
        let place = Place::new();
        let boxes = Boxes::new(&place);
        let of_user = |words: &[&str]| boxes.run(words);
        let stay = ["--", place.program(), "__probe", "stay"];
        let start = ["-d", "--name", "web", "--time-offset", "monotonic=86400,boottime=-1"];
        of_user(&[&start[..], &stay].concat()).succeeds();
        let offsets = ["--", place.program(), "__probe", "cat", "/proc/self/timens_offsets"];
        let said = of_user(&[&["exec", "web"][..], &offsets].concat()).succeeds().stdout();
        let said: Vec<&str> = said.split_whitespace().collect();
        assert_eq!(said, ["monotonic", "86400", "0", "boottime", "-1", "0"]);
        let plan = of_user(&[&["exec", "--explain", "web"][..], &offsets].concat()).succeeds().stdout();
        let [opens, hides, joins] = ["timens_offsets", "PR_SET_DUMPABLE", "setns("].map(|call| plan.find(call));
        assert!(opens < hides && hides < joins, "{plan}");
        of_user(&["rm", "-f", "web"]).succeeds();
    }

    fn sudo_joins_what_sudo_has_started() needs [Sudo, Execveat] {
        let state = State::of_sudo();
        state.run(&["-d", "--name", "web", "--", "/bin/sleep", "300"]).succeeds();
        state.run(&["exec", "web", "/bin/hostname"]).succeeds().prints("web\n");
        state.run(&["rm", "-f", "web"]).succeeds();
    }

    fn sudo_joins_at_a_terminal() needs [Sudo, Execveat, Ptmx] {
        let state = State::of_sudo();
        state.run(&["-d", "--name", "web", "--", "/bin/sleep", "300"]).succeeds();
        for options in [&[][..], &["-t"], &["--tty=inherit"]] {
            a_shell_has_job_control(&state, options);
        }
    }

    fn a_process_that_has_the_id_of_a_box_by_chance_is_not_joined() needs [Box, Execveat] {
        let state = State::new();
        let _web = state.start("web", &[]);
        let own = std::process::id();
        state.forge("web", |record| record["process"] = State::process(own, 1));
        exec(&state, &[], &["exit", "0"]).exits_with(125).complains(" box web");
    }

    fn without_what_confines_it_a_box_is_not_joined() needs [Box, Execveat] {
        for text in ["", "{}\n", "{\"form\":2}\n"] {
            let state = State::new();
            let _web = state.start("web", &[]);
            fs::write(state.file("web.walls"), text).expect("it is ours");
            exec(&state, &[], &["exit", "0"])
                .exits_with(125)
                .prints("")
                .complains("clonebox: the box web cannot be joined: what confines it is not known\n");
            fs::remove_file(state.file("web.walls")).expect("it is ours");
            exec(&state, &[], &["exit", "0"]).exits_with(125).complains("what confines it is not known");
        }
    }

    fn the_end_of_the_box_is_that_of_what_has_joined_it() needs [Box, Execveat] {
        let state = State::new();
        let web = state.start("web", &[]);
        let marker = marker("ends");
        let running = start_stay(&state, &[], &marker);
        joined(&marker);
        drop(web);
        running.end().exits_with(137);
        assert!(eventually(|| marked(&marker).is_empty()));
    }

    fn whoever_joins_a_box_that_ends_is_told() needs [Box, Execveat] {
        let state = State::new();
        for _ in 0..5 {
            let web = state.start("web", &[]);
            let joining: Vec<Running> = (0..4).map(|_| start_stay(&state, &[], "x")).collect();
            drop(web);
            for one in joining {
                let ran = one.end();
                let told = ran.code() == Some(125)
                    && (ran.stderr().contains("has ended") || ran.stderr().contains("there is no box web"));
                assert!(told || ran.code() == Some(137), "{ran:?}");
            }
            assert!(eventually(|| state.list().is_empty()));
        }
    }

    fn that_a_box_ends_while_it_is_looked_at_is_told_as_well() needs [Box, Execveat, Strace] {
        let state = State::new();
        let _web = state.start("web", &[]);
        let mut exec = Command::new("strace");
        // What confines its first process is looked at half a second after that has been found.
        exec.args(["-qq", "-o", "/dev/null", "-P", "web.walls", "-e", "inject=openat:delay_exit=500000"]);
        exec.arg(binary()).args(["exec", "web", "--", "/bin/true"]).env(State::VARIABLE, state.path());
        let exec = Clonebox::of(exec).start();
        thread::sleep(Duration::from_millis(250));
        state.clonebox().args(["kill", "web"]).run().succeeds();
        exec.end().exits_with(125).complains("the box web has ended");
    }

    fn a_command_that_is_killed_takes_its_program_along() needs [Box, Execveat] {
        let state = State::new();
        let _web = state.start("web", &[]);
        for options in [&[][..], &["--tty", "none"]] {
            let marker = marker("killed");
            let mut running = start_stay(&state, options, &marker);
            joined(&marker);
            kill(Pid::from_raw(running.pid().cast_signed()), Signal::SIGKILL).expect("it is ours");
            assert!(eventually(|| marked(&marker).is_empty()));
            running.end();
        }
        assert!(state.is("web", "running"));
    }

    fn that_a_box_cannot_end_because_nobody_waits_for_what_has_joined_it_is_told() needs [Box, Execveat] {
        let state = State::new();
        let marker = marker("zombie");
        state.clonebox().args(["-d", "--name", "web"]).probe(["stay"]).run().succeeds();
        let mut negligent = Command::new(probe::path());
        negligent.args(["__probe", "negligent"]).arg(binary());
        negligent.args(["exec", "web", "--", &probe::path(), "__probe", "stay", &marker]);
        negligent.env(State::VARIABLE, state.path()).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut negligent = negligent.spawn().expect("this binary");
        let is_inside = |pid: &u32| Status::of(*pid).is_some_and(|status| status.words("NSpid").len() > 1);
        let mut inside = None;
        assert!(eventually(|| {
            inside = marked(&marker).into_iter().find(is_inside);
            inside.is_some()
        }));
        let program = inside.expect("it is there");
        let mut input = negligent.stdin.take().expect("a pipe");
        writeln!(input, "kill").expect("it reads");
        let is_zombie = || Status::of(program).is_some_and(|status| status.words("State")[0] == "Z");
        assert!(eventually(is_zombie));
        let end = |words: &[&str]| state.run(words);
        end(&["stop", "-t", "0", "web"])
            .exits_with(125)
            .complains("clonebox: the box web was killed and has not ended within 10 s: ");
        drop(input);
        negligent.wait().expect("a child");
        end(&["rm", "-f", "web"]).succeeds();
        assert_eq!(state.files(), [""; 0]);
    }

    fn signals_are_for_the_program() needs [Box, Execveat] {
        let state = State::new();
        let _web = state.start("web", &[]);
        let marker = marker("signal");
        let mut running = start_stay(&state, &[], &marker);
        joined(&marker);
        kill(Pid::from_raw(running.pid().cast_signed()), Signal::SIGTERM).expect("it is ours");
        running.end().exits_with(143);
        assert!(state.is("web", "running"));
    }

    fn it_has_no_descriptors_but_its_streams() needs [Box, Execveat] {
        let state = State::new();
        let _web = state.start("web", &[]);
        assert_eq!(
            exec(&state, &[], &["fds"]).succeeds().stdout(),
            state.clonebox().probe(["fds"]).run().succeeds().stdout()
        );
    }

    fn a_terminal_of_its_own_has_job_control() needs [Box, Execveat, Ptmx] {
        let state = State::new();
        let _web = state.start("web", &[]);
        for options in [&[][..], &["-t"], &["--tty", "new"], &["--tty=inherit"]] {
            a_shell_has_job_control(&state, options);
        }
    }

    fn a_terminal_is_one_of_the_boxs_own() needs [Box, Execveat, Ptmx] {
        for (options, user) in [(&[][..], "0"), (&["--init"], "0")] {
            has_a_terminal_of_its_own(options, &[], user);
        }
    }

    fn a_terminal_is_that_of_the_user_who_joins() needs [Root, Execveat, Ptmx] {
        has_a_terminal_of_its_own(&[], &["-u", "77:78"], "77");
        has_a_terminal_of_its_own(&["-u", "77:78"], &[], "77");
    }

    fn a_terminal_is_one_of_a_box_with_ids_of_its_own() needs [Root, Execveat, Ptmx, Userns, Idmap] {
        for (options, user) in [(&[][..], "0"), (&["-u", "77:78"], "77")] {
            has_a_terminal_of_its_own(&["--userns", "auto"], options, user);
        }
    }

    fn a_terminal_of_a_user_of_a_box_with_subordinate_ids_is_his() needs [Subids, Execveat, Ptmx] {
        has_a_terminal_of_its_own(&["--userns", "auto"], &["-u", "77:78"], "77");
    }

    fn what_lies_in_the_place_of_a_devpts_makes_no_terminal() needs [Root, Execveat, Ptmx] {
        let root = Root::new();
        fs::create_dir_all(root.path().join("dev/pts")).expect("a directory of ours");
        let ptmx = root.path().join("dev/pts/ptmx");
        let put: [(&str, &dyn Fn()); 3] = [
            ("pipe", &|| nix::unistd::mkfifo(&ptmx, nix::sys::stat::Mode::S_IRWXU).expect("a pipe")),
            ("link", &|| std::os::unix::fs::symlink("/proc/1/root/dev/ptmx", &ptmx).expect("a link")),
            ("nothing", &|| {}),
        ];
        for (what, put) in put {
            let state = State::new();
            put();
            let words = ["-d", "--name", "web", "--dev", "none", "--rootfs", root.text(), "-v", &root.program()];
            state.run(&[&words[..], &["--", "/it", "__probe", "stay"]].concat()).succeeds();
            let mut terminal = Terminal::new();
            terminal.run(state.clonebox().arg_exec(&["-t"]).args(["--", "/it", "__probe", "terminal"]));
            terminal.expect("0 true ");
            assert_eq!(terminal.end(), Change::Exited(0), "{what}");
            state.run(&["rm", "-f", "web"]).succeeds();
            let _ = fs::remove_file(&ptmx);
        }
    }

    fn explain_shows_what_would_be_done_and_does_nothing() needs [Box, Execveat] {
        let state = State::new();
        let _web = state.start("web", &["--net", "none"]);
        let plan = state.run(&["exec", "--explain", "web", "--", "/bin/false"]).succeeds().stdout();
        for call in ["setns(<box>, ", "CLONE_NEWNET", "fchdir(<root>)", "chroot(\".\")", "exec web", "\"join\""] {
            assert!(plan.contains(call), "{call}:\n{plan}");
        }
        assert!(!plan.contains("mount("), "{plan}");
        let plan = state.run(&["exec", "--explain=json", "web", "--", "/bin/false"]).succeeds().stdout();
        let plan: serde_json::Value = serde_json::from_str(&plan).expect("JSON");
        assert_eq!(plan["name"], json!("web"));
    }

    fn a_report_is_written() needs [Box, Execveat] {
        let state = State::new();
        let _web = state.start("web", &[]);
        let ran = exec(&state, &["--report", "-"], &["exit", "4"]).exits_with(4);
        let report: serde_json::Value = serde_json::from_str(&ran.stderr()).expect("JSON");
        assert_eq!(report["exit_code"], 4);
    }

    fn clocks_are_those_of_the_box() needs [Box, Execveat, TimeNamespace] {
        let state = State::new();
        let _web = state.start("web", &["--time-offset", "86400"]);
        let offsets = |pid: u64| fs::read_to_string(format!("/proc/{pid}/timens_offsets")).expect("a process");
        let marker = marker("clocks");
        let _joined = start_stay(&state, &[], &marker);
        assert_eq!(offsets(joined(&marker).into()), offsets(state.pid("web")));
    }

    fn the_library_joins_a_box_from_many_threads() needs [Box, Execveat] {
        let state = State::new();
        let _web = state.start("web", &[]);
        let entry = Registry::at(state.path()).find("web").expect("a box");
        let command = || {
            let mut command = clonebox::Command::new(probe::path());
            command.args(["__probe", "copy"]).join(entry.join().expect("it runs"));
            command
        };
        let template = command().prepare().expect("a template");
        thread::scope(|scope| {
            for thread in 0..8 {
                let (template, command) = (&template, &command);
                scope.spawn(move || {
                    for _ in 0..10 {
                        template.spawn().expect("a process").wait().expect("its end");
                        let output = command().stdin(clonebox::Stdio::null()).output().expect("a process");
                        assert!(output.status.success(), "{thread}");
                    }
                });
            }
        });
        let missing = clonebox::Command::new("/nowhere").join(entry.join().expect("it runs")).spawn();
        assert_eq!(missing.expect_err("there is none").kind(), ErrorKind::Exec);
        let wrong = command().hostname("x").userns(clonebox::UserNamespace::Auto).spawn();
        let wrong = wrong.expect_err("it makes no sense");
        assert_eq!(wrong.kind(), ErrorKind::Spec);
        assert!(wrong.to_string().contains("Command::hostname: that is settled by the box web"), "{wrong}");
    }

    fn many_boxes_are_started_joined_listed_and_stopped_at_once() needs [Box, Execveat] {
        let count = boxes();
        let state = State::new();
        let next = std::sync::atomic::AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let name = format!("box{number}");
                    state.run(&["-d", "--name", &name, "--", "/bin/sleep", "600"]).succeeds().prints(&format!("{name}\n"));
                    state.run(&["exec", &name, "/bin/hostname"]).succeeds().prints(&format!("{name}\n"));
                    assert!(state.is(&name, "running"));
                    if number.is_multiple_of(2) {
                        state.run(&["stop", "-t", "0", &name]).succeeds();
                        state.run(&["rm", &name]).succeeds();
                    }
                });
            }
        });
        assert_eq!(state.list().len(), count / 2);
        state.run(&["kill", "--all"]).succeeds();
        let mut names: Vec<String> = state.list().iter().map(|one| one["name"].as_str().expect("a name").to_owned()).collect();
        names.insert(0, "rm".to_owned());
        names.insert(1, "-f".to_owned());
        let words: Vec<&str> = names.iter().map(String::as_str).collect();
        state.run(&words).succeeds();
        assert_eq!(state.files(), [""; 0]);
    }
}
