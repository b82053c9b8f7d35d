//! Boxes with names, through the library: what each subcommand does, a program can do, and both see the same boxes.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clonebox::{BoxState, Change, Entry, ErrorKind, Limits, Origin, Registry, Setting, Written};

use crate::support::processes::eventually;
use crate::support::rootfs::Root;
use crate::support::state::State;
use crate::support::{files, probe, tests};

/// A box `web` that stays, started and cared for by this process.
struct Own {
    _claim: clonebox::Claim,
    child: clonebox::Child,
}

impl Own {
    #[track_caller]
    fn start(state: &State) -> Self {
        let mut command = clonebox::Command::new(probe::path());
        command
            .args(["__probe", "stay"])
            .name("web")
            .stdin(clonebox::Stdio::null())
            .stdout(clonebox::Stdio::null());
        let template = command.prepare().expect("a template");
        let mut claim = registry(state).claim(&template).expect("a name");
        assert_eq!(find(state).state(), BoxState::Starting);
        let child = template.spawn().expect("a box");
        claim.started(&child).expect("a record");
        Self {
            _claim: claim,
            child,
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn registry(state: &State) -> Registry {
    Registry::at(state.path())
}

#[track_caller]
fn find(state: &State) -> Entry {
    registry(state).find("web").expect("a box")
}

fn is_state<T: std::fmt::Debug>(result: Result<T, clonebox::Error>, text: &str) {
    let error = result.expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::State);
    assert!(error.to_string().contains(text), "{error}");
}

/// All that a log has of a stream.
fn logged(entry: &Entry, wanted: Written) -> String {
    let mut log = entry.log().expect("a log");
    let mut text = Vec::new();
    while let Some((stream, bytes)) = log.piece().expect("a file") {
        if stream == wanted {
            text.extend(bytes);
        }
    }
    String::from_utf8(text).expect("UTF-8")
}

tests! {
    fn a_box_of_a_program_is_one_of_the_commands() needs [Box] {
        let state = State::new();
        let own = Own::start(&state);
        let pid = own.child.id();
        let entry = find(&state);
        assert_eq!((entry.name(), entry.pid(), entry.state()), ("web", Some(pid), BoxState::Running));
        assert_eq!(entry.command(), [probe::path(), "__probe".to_owned(), "stay".to_owned()]);
        assert!(!entry.is_detached() && entry.created().elapsed().is_ok());
        assert_eq!(registry(&state).entries().expect("a list").len(), 1);
        assert_eq!(registry(&state).find(&pid.to_string()).expect("by its process id").name(), "web");
        assert_eq!(entry.inspect()["kernel"]["pid"], pid);
        assert!(entry.plan().is_some_and(|plan| plan["name"] == "web"));
        assert_eq!(entry.to_json(), state.find("web").expect("the command sees it"));
        is_state(entry.log(), "has no log");
        is_state(entry.attach(), "has no keeper");
        is_state(entry.diff(), "is no overlay");
        is_state(entry.pause(), "no cgroup");
        is_state(registry(&state).claim(&clonebox::Command::new("/bin/true").name("web").prepare().expect("a template")), "there is a box web already");
        is_state(registry(&state).find("other"), "there is no box other");
    }

    fn a_box_is_ended_and_waited_for_by_whoever_has_not_started_it() needs [Box] {
        let state = State::new();
        let mut own = Own::start(&state);
        let entry = find(&state);
        let soon = Instant::now().checked_add(Duration::from_millis(20));
        assert_eq!(entry.wait(soon).expect("it is looked at"), None);
        entry.signal(libc::SIGKILL).expect("a signal");
        own.child.wait().expect("its end");
        drop(own);
        assert!(entry.wait(None).expect("it has ended").is_some());
        is_state(entry.signal(libc::SIGKILL), "has ended");
        is_state(registry(&state).find("web"), "there is no box web");
        assert_eq!(state.files(), [""; 0]);
    }

    fn a_program_keeps_a_box_with_a_log_and_lets_others_in() needs [Box] {
        let (state, directory) = (State::new(), files::directory());
        let go = directory.path().join("go");
        let script = format!("echo first; until test -e {}; do sleep 0.02; done; echo out; echo err >&2; exit 7", go.display());
        let mut keeper = Command::new(probe::path());
        keeper.args(["__probe", "keep"]).arg(state.path()).args(["web", "/bin/sh", "-c", &script]);
        let mut keeper = keeper.stdin(Stdio::null()).spawn().expect("this binary");
        assert!(eventually(|| state.is("web", "running")));
        let entry = find(&state);
        assert!(entry.is_detached());
        let mut visitor = Command::new(probe::path());
        visitor.args(["__probe", "visit"]).arg(state.path()).arg("web").stdin(Stdio::null());
        let visitor = visitor.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("this binary");
        let other = state.clonebox().args(["attach", "web"]).start();
        let sockets = || {
            let entries = fs::read_dir(format!("/proc/{}/fd", keeper.id())).expect("descriptors").flatten();
            entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))).count()
        };
        // The door and two visitors.
        assert!(eventually(|| sockets() == 3), "{}", sockets());
        fs::write(&go, "").expect("it is ours");
        let said = visitor.wait_with_output().expect("its end");
        assert_eq!((&said.stdout[..], &said.stderr[..]), (&b"out\nEnded(7)\n"[..], &b"err\n"[..]));
        other.end().exits_with(7).prints("out\n");
        let end = entry.wait(None).expect("its end").expect("its end");
        assert_eq!(end["exit_code"], 7);
        assert!(keeper.wait().expect("a child").success());
        let entry = find(&state);
        assert_eq!(entry.state(), BoxState::Ended(Some(7)));
        assert_eq!((&*logged(&entry, Written::Stdout), &*logged(&entry, Written::Stderr)), ("first\nout\n", "err\n"));
        state.run(&["logs", "web"]).succeeds().prints("first\nout\n");
        entry.forget().expect("it has ended");
        assert_eq!(state.files(), [""; 0]);
    }

    fn a_program_pauses_measures_and_limits_boxes() needs [Box, Limits] {
        let state = State::new();
        let _web = state.start("web", &["-m", "64m", "--pids-limit", "9"]);
        let entry = find(&state);
        let load = entry.load();
        assert_eq!((load.memory_limit_bytes, load.pids), (Some(64 << 20), Some(1)));
        entry.pause().expect("it has cgroups");
        assert_eq!(entry.state(), BoxState::Paused);
        entry.unpause().expect("it has cgroups");
        assert_eq!(entry.state(), BoxState::Running);
        let limits = Limits {
            memory: Some(Setting::new(32 << 20, Origin::text("here"))),
            ..Limits::default()
        };
        entry.update(&limits).expect("it has a limit of memory");
        assert_eq!(entry.load().memory_limit_bytes, Some(32 << 20));
    }

    fn a_program_sees_what_a_box_has_written() needs [Root, Execveat] {
        let (state, root, upper) = (State::new(), Root::new(), files::directory());
        let (layer, program) = (upper.path().to_str().expect("UTF-8"), root.program());
        let layers = ["--rootfs-overlay", root.text(), "--upper", layer, "-v", &program];
        let write = ["--", "/it", "__probe", "append", "/new"];
        state.run(&[&["-d", "--name", "web"][..], &layers, &write].concat()).succeeds();
        state.run(&["wait", "web"]).succeeds().prints("0\n");
        let entry = find(&state);
        let changes = entry.diff().expect("an upper layer");
        assert!(changes.contains(&(Change::Added, "/new".into())), "{changes:?}");
        let mut compared = Vec::new();
        assert_eq!(entry.diff_with(|path| compared.push(path.to_owned())).expect("the same"), changes);
        compared.sort();
        assert_eq!(compared, changes.into_iter().map(|(_, path)| path).collect::<Vec<_>>());
    }
}
