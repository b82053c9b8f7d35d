//! Those who join a box that runs: root in it must not reach the launcher by way of them. CVE-2016-9962.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::support::processes::eventually;
use crate::support::seccomp::{Held, hold_at};
use crate::support::state::State;
use crate::support::status::Status;
use crate::support::user::{Boxes, Place, USER};
use crate::support::{Clonebox, files, probe, tests};

const WAYS: [&str; 3] = ["process_vm_writev", "mem", "ptrace"];
/// Root of the box has what tracing takes.
const TRACES: [&str; 2] = ["--cap-add", "SYS_PTRACE"];

/// What a probe in the box `web` prints.
#[track_caller]
fn in_box(state: &State, words: &[&str]) -> String {
    let ran = state.clonebox().args(["exec", "web"]).probe(words).run();
    ran.succeeds().stdout()
}

/// A program that joins, held where it is in the process namespace of the box and has not executed anything.
fn hold_in_box(state: &State, command: Command) -> Held {
    let mut held = hold_at(libc::PR_SET_PDEATHSIG, command);
    let is_in_box = |pid| Status::of(pid).is_some_and(|status| status.words("NSpid").len() > 1);
    while !is_in_box(held.caller) {
        held.next();
    }
    assert!(state.is("web", "running"));
    held
}

/// By process id in the box.
fn inside(held: &Held) -> String {
    let status = Status::of(held.caller).expect("it is held");
    let numbers = status.words("NSpid");
    (*numbers.last().expect("a number")).to_owned()
}

fn joiner(state: &State) -> Command {
    let mut command = Command::new(probe::path());
    command
        .args(["__probe", "joiner"])
        .arg(state.path())
        .arg("web")
        .stdout(Stdio::piped());
    command
}

#[track_caller]
fn the_child_of_a_user_is_not_traced(options: &[&str]) {
    let place = Place::new();
    let boxes = Boxes::new(&place);
    let program = ["web", "--", place.program(), "__probe"];
    let of_user = |words: &[&str]| boxes.run(words);
    let start = ["-d", "--name", "web", "--pid", "host"];
    let stay = ["--", place.program(), "__probe", "stay"];
    of_user(&[&start[..], options, &stay].concat()).succeeds();
    let mut command = Command::new(place.program());
    command
        .args(["__probe", "as-user", USER, "--"])
        .args(boxes.shell())
        .arg("exec")
        .args(program)
        .args(["exit", "0"]);
    command.current_dir("/");
    let mut held = hold_at(libc::PR_SET_NO_NEW_PRIVS, command);
    let caller = held.caller.to_string();
    let ran = of_user(
        &[
            &["exec"][..],
            &program,
            &["trace", &caller, place.program()],
        ]
        .concat(),
    );
    held.child.kill().expect("it is ours");
    held.child.wait().expect("its end");
    of_user(&["rm", "-f", "web"]).succeeds();
    ran.succeeds().prints("EPERM\nEACCES\n");
}

tests! {
    fn whoever_joins_with_his_own_memory_loses_it() needs [Root, Execveat, Userns, Idmap, Pids] {
        for options in [&[][..], &["--userns", "auto"]] {
            for way in WAYS {
                // In a user namespace that file belongs to nobody.
                if way == "mem" && !options.is_empty() {
                    continue;
                }
                let state = State::new();
                let _web = state.start("web", &[options, &TRACES].concat());
                let mut naive = Command::new(probe::path());
                naive.args(["__probe", "naive-join", &state.pid("web").to_string()]);
                let mut naive = naive.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("this binary");
                let mut said = BufReader::new(naive.stdout.take().expect("a pipe"));
                let mut address = String::new();
                said.read_line(&mut address).expect("an address");
                let results = in_box(&state, &["memory-of-all", way, address.trim()]);
                drop(naive.stdin.take());
                let mut result = String::new();
                said.read_to_string(&mut result).expect("a word");
                naive.wait().expect("its end");
                assert!(results.contains("fine"), "{way}: {results}");
                assert_eq!(result, "changed\n", "{way} {options:?}");
            }
        }
    }

    fn the_memory_of_whoever_joins_is_not_to_be_reached() needs [Root, Execveat, Userns, Idmap, Pids, Seccomp] {
        for options in [&[][..], &["--userns", "auto"]] {
            for way in WAYS {
                let state = State::new();
                let _web = state.start("web", &[options, &TRACES].concat());
                let mut held = hold_in_box(&state, joiner(&state));
                let mut said = BufReader::new(held.child.stdout.take().expect("a pipe"));
                let mut address = String::new();
                said.read_line(&mut address).expect("an address");
                let results = in_box(&state, &["memory-of-all", way, address.trim()]);
                assert!(held.finish());
                let mut result = String::new();
                said.read_to_string(&mut result).expect("a word");
                // It is seen, and what is there is its own.
                assert!(!results.is_empty() && !results.contains("fine"), "{way}: {results}");
                assert_eq!(result, "as it was\n", "{way} {options:?}");
            }
        }
    }

    fn what_is_seen_in_the_box_has_nothing_of_the_launchers() needs [Root, Execveat, Pids, Seccomp] {
        let state = State::new();
        let _web = state.start("web", &TRACES);
        let held = hold_in_box(&state, joiner(&state));
        let process = format!("/proc/{}", held.caller);
        let exe = std::fs::read_link(format!("{process}/exe")).expect("it is held");
        assert!(exe.to_string_lossy().contains("memfd:clonebox-init"), "{exe:?}");
        let maps = std::fs::read_to_string(format!("{process}/maps")).expect("it is held");
        assert!(!maps.contains("/it-"), "{maps}");
        let fds = std::fs::read_dir(format!("{process}/fd")).expect("it is held").flatten();
        let mut open: Vec<String> = fds
            .map(|fd| std::fs::read_link(fd.path()).expect("it is held").display().to_string())
            .collect();
        open.sort();
        let sockets = open.iter().filter(|name| name.starts_with("socket:")).count();
        assert!(sockets <= 1 && open.len() <= 4, "{open:?}");
        let exe = format!("/proc/{}/exe", inside(&held));
        assert_ne!(in_box(&state, &["open-to-write", &exe]), "fine\n");
        assert!(held.finish());
    }

    /// It has the ids and capabilities of the box's program already, and the launcher's memory still.
    fn the_child_of_a_user_that_joins_is_not_traced_by_the_box() needs [Root, Execveat, Userns, Seccomp] {
        the_child_of_a_user_is_not_traced(&[]);
    }

    /// Its memory is closed by a step, not by the launcher.
    fn nor_is_one_that_gets_the_clocks_of_the_box() needs [Root, Execveat, Userns, Seccomp, TimeNamespace] {
        the_child_of_a_user_is_not_traced(&["--time-offset", "5"]);
    }

    /// In a box with the process ids of the host the child itself is seen, before it has executed anything.
    fn the_child_that_joins_is_not_traced_by_the_box() needs [Root, Execveat, Userns, Idmap, Seccomp] {
        let outside = files::directory();
        std::fs::write(outside.path().join("canary"), "").expect("a directory of ours");
        let canary = outside.path().join("canary").display().to_string();
        for options in [
            &["--pid", "host"][..],
            &["--pid", "host", "--userns", "auto"],
            &["--pid", "host", "--userns", "auto", "--cap-add", "SYS_PTRACE"],
        ] {
            let state = State::new();
            let _web = state.start("web", options);
            let command: Clonebox = state.clonebox().args(["exec", "web"]).probe(["exit", "0"]);
            let mut held = hold_at(libc::PR_SET_NO_NEW_PRIVS, command.command());
            let caller = held.caller.to_string();
            let result = in_box(&state, &["trace", &caller, &canary]);
            held.child.kill().expect("it is ours");
            held.child.wait().expect("its end");
            assert_eq!(result, "EPERM\nEACCES\n", "{options:?}");
            drop(held);
            assert!(eventually(|| !std::path::Path::new(&format!("/proc/{caller}/exe")).exists()));
        }
    }
}
