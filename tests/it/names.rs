//! Names: one box each, and nothing that is left of a box that is gone.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::processes::{eventually, marked, marker};
use crate::support::seccomp::hold_at_call;
use crate::support::state::State;
use crate::support::{Clonebox, binary, probe, tests};

/// A process that is no box, ended when this is dropped.
struct Bystander(std::process::Child);

impl Bystander {
    fn new() -> Self {
        let mut command = Command::new(probe::path());
        Self(
            command
                .args(["__probe", "stay"])
                .spawn()
                .expect("this binary"),
        )
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_there(pid: u64) -> bool {
    // One that has ended may have nobody who waits for it.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Ends a process at once, whatever it does.
fn end(pid: u32) {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("it is ours");
}

tests! {
    fn a_box_without_a_name_leaves_no_trace() needs [Box] {
        let state = State::new();
        state.clonebox().probe(["exit", "0"]).run().succeeds();
        assert!(!state.path().exists());
    }

    fn a_box_with_a_name_is_listed_while_it_runs() needs [Box] {
        let state = State::new();
        let mut running = state.start("web", &[]);
        let found = state.find("web").expect("a box");
        assert!(found["command"].to_string().contains("stay"), "{found}");
        assert_eq!(found["detached"], false);
        assert!(is_there(state.pid("web")));
        let table = state.run(&["ps"]).succeeds().stdout();
        assert!(table.starts_with("NAME   PID "), "{table}");
        assert!(table.lines().nth(1).is_some_and(|line| line.starts_with("web    ")), "{table}");
        end(running.pid());
        running.end();
    }

    fn after_its_end_nothing_is_left_of_a_name() needs [Box] {
        let state = State::new();
        state.clonebox().args(["--name", "web"]).probe(["exit", "3"]).run().exits_with(3);
        assert_eq!(state.files(), [""; 0]);
        state.run(&["--name", "web", "-w", "/nowhere", "--", "/bin/true"]).exits_with(125);
        state.run(&["--name", "web", "--", "/nowhere"]).exits_with(127);
        assert_eq!(state.files(), [""; 0]);
    }

    fn a_name_that_is_taken_is_refused_before_anything_is_done() needs [Box] {
        let state = State::new();
        let _running = state.start("web", &[]);
        let pid = state.pid("web");
        let marker = marker("second");
        state.run(&["--name", "web", "--", "/bin/echo", &marker])
            .exits_with(125)
            .prints("")
            .complains(&format!("clonebox: there is a box web already: process {pid}\n"));
        assert!(is_there(pid));
    }

    fn a_name_is_free_again_after_its_launcher_was_killed() needs [Box] {
        let state = State::new();
        let mut running = state.start("web", &[]);
        let pid = state.pid("web");
        end(running.pid());
        assert!(eventually(|| !is_there(pid)));
        assert!(eventually(|| state.find("web").is_none()));
        assert_eq!(state.files(), [""; 0]);
        state.clonebox().args(["--name", "web"]).probe(["exit", "0"]).run().succeeds();
    }

    fn the_next_claim_sweeps_what_others_have_left() needs [Box] {
        let state = State::new();
        let mut running = state.start("old", &[]);
        let pid = state.pid("old");
        end(running.pid());
        assert!(eventually(|| !is_there(pid)));
        assert_eq!(state.files(), ["old.box", "old.plan", "old.walls"]);
        state.clonebox().args(["--name", "new"]).probe(["exit", "0"]).run().succeeds();
        assert_eq!(state.files(), [""; 0]);
    }

    fn a_box_that_survives_its_launcher_keeps_its_name() needs [Box] {
        let state = State::new();
        let mut running = state.start("web", &["--survive"]);
        let pid = state.pid("web");
        end(running.pid());
        drop(running);
        assert!(state.is("web", "running"));
        state.run(&["--name", "web", "--", "/bin/true"]).exits_with(125).complains("there is a box web already");
        state.run(&["kill", "web"]).succeeds();
        assert!(eventually(|| !is_there(pid)));
        assert!(eventually(|| state.list().is_empty()));
    }

    fn a_recycled_process_id_is_never_touched() needs [Box] {
        for inode in [serde_json::Value::Null, 1.into()] {
            let state = State::new();
            let mut running = state.start("web", &["--survive"]);
            let pid = state.pid("web");
            let mut bystander = Bystander::new();
            end(running.pid());
            drop(running);
            let forged = State::process(bystander.0.id(), 1);
            state.forge("web", |record| {
                record["process"] = forged;
                record["process"]["pidfs_inode"] = inode;
            });
            for words in [&["kill", "web"][..], &["stop", "web"], &["kill", "--all"], &["stop", "--all"]] {
                let _ = state.run(words);
            }
            // The record is that of a box that is gone.
            assert_eq!(state.list().len(), 0);
            state.run(&["kill", "web"]).exits_with(125).complains("there is no box web");
            assert!(bystander.lives());
            end(u32::try_from(pid).expect("a process id"));
        }
    }

    fn a_forged_record_of_the_first_process_of_the_machine_is_no_box() needs [Box] {
        let state = State::new();
        let mut running = state.start("web", &["--survive"]);
        let pid = state.pid("web");
        end(running.pid());
        drop(running);
        for number in [serde_json::json!(0), serde_json::json!(-1), serde_json::json!(1u64 << 40), serde_json::json!("1")] {
            state.forge("web", |record| record["process"]["pid"] = number);
            state.run(&["kill", "web"]).exits_with(125).complains("there is no box web");
            // What is not understood is left alone, and in nobody's way but its own.
            assert_eq!(state.list().len(), 0);
            state.run(&["--name", "web", "--", "/bin/true"]).exits_with(125).complains("no record of a box");
        }
        end(u32::try_from(pid).expect("a process id"));
    }

    fn a_directory_of_somebody_else_is_refused() needs [Root] {
        let state = State::new();
        fs::create_dir(state.path()).expect("it is ours");
        fs::set_permissions(state.path(), Permissions::from_mode(0o700)).expect("it is ours");
        chown(state.path(), Some(1234), Some(1234)).expect("root may");
        for words in [&["ps"][..], &["--name", "web", "--", "/bin/true"], &["kill", "web"]] {
            state.run(words).exits_with(125).prints("").complains("belongs to user 1234, not to the caller (0)");
        }
        assert_eq!(state.files(), [""; 0]);
    }

    fn a_directory_that_is_open_to_others_is_refused() needs [Box] {
        for mode in [0o777, 0o1777, 0o770, 0o707, 0o710] {
            let state = State::new();
            fs::create_dir(state.path()).expect("it is ours");
            fs::set_permissions(state.path(), Permissions::from_mode(mode)).expect("it is ours");
            for words in [&["ps"][..], &["--name", "web", "--", "/bin/true"]] {
                state.run(words).exits_with(125).prints("").complains("is open to others (mode ");
            }
            assert_eq!(state.files(), [""; 0]);
        }
    }

    fn a_link_or_a_file_in_the_place_of_the_directory_is_refused() needs [Box] {
        let (state, other) = (State::new(), State::new());
        fs::create_dir(other.path()).expect("it is ours");
        fs::set_permissions(other.path(), Permissions::from_mode(0o700)).expect("it is ours");
        symlink(other.path(), state.path()).expect("it is ours");
        let refused = || {
            for words in [&["ps"][..], &["--name", "web", "--", "/bin/true"]] {
                state.run(words).exits_with(125).prints("").complains("cannot open the directory of boxes ");
            }
        };
        refused();
        assert_eq!(other.files(), [""; 0]);
        fs::remove_file(state.path()).expect("it is ours");
        fs::write(state.path(), "").expect("it is ours");
        refused();
        fs::remove_file(state.path()).expect("it is ours");
    }

    fn a_record_that_is_a_link_or_a_pipe_is_not_followed() needs [Box] {
        let (state, other) = (State::new(), State::new());
        let _web = other.start("web", &[]);
        fs::create_dir(state.path()).expect("it is ours");
        fs::set_permissions(state.path(), Permissions::from_mode(0o700)).expect("it is ours");
        symlink(other.file("web.box"), state.file("web.box")).expect("it is ours");
        nix::unistd::mkfifo(&state.file("fifo.box"), nix::sys::stat::Mode::S_IRWXU).expect("it is ours");
        assert_eq!(state.list().len(), 0);
        state.run(&["kill", "web"]).exits_with(125).complains("there is no box web");
        state.run(&["--name", "fifo", "--", "/bin/true"]).exits_with(125).complains("no record of a box");
    }

    fn a_name_leads_nowhere_else() needs [Box] {
        let (state, other) = (State::new(), State::new());
        let _web = other.start("web", &[]);
        let _own = state.start("own", &[]);
        for name in ["../web", "/web", "", ".", "web\n"] {
            state.run(&["kill", name]).exits_with(125).complains("there is no box");
        }
        let there = format!("../{}/web", other.path().file_name().expect("a name").display());
        state.run(&["kill", &there]).exits_with(125).complains("there is no box");
    }

    fn without_a_runtime_directory_a_name_is_refused_and_a_box_without_is_not() needs [Box, NotRoot] {
        let mut command = Command::new(binary());
        command.env_remove("XDG_RUNTIME_DIR").env(State::VARIABLE, "");
        let refused = Clonebox::of(command).args(["--name", "web", "--", "/bin/true"]).run();
        refused.exits_with(125).complains("XDG_RUNTIME_DIR is not set (a directory that is this user's alone)");
        let mut command = Command::new(binary());
        command.env_remove("XDG_RUNTIME_DIR").env(State::VARIABLE, "");
        Clonebox::of(command).args(["--", "/bin/true"]).run().succeeds();
    }

    fn a_launcher_that_is_killed_at_any_time_loses_no_other_box_and_no_name() needs [Box] {
        let state = State::new();
        let _web = state.start("web", &[]);
        let marker = marker("killed");
        for moment in 0..60 {
            let mut launcher = state.clonebox().args(["--name", "other"]).probe(["stay", &marker]).start();
            thread::sleep(Duration::from_micros(moment * 100));
            end(launcher.pid());
            launcher.end();
            assert!(state.is("web", "running"), "after {moment}");
        }
        assert!(eventually(|| marked(&marker).is_empty()), "{:?}", marked(&marker));
        // A process has no words any more when it is about to end.
        assert!(eventually(|| state.find("other").is_none()), "{:?}", state.find("other"));
        state.clonebox().args(["--name", "other"]).probe(["exit", "0"]).run().succeeds();
        assert_eq!(state.files(), ["web.box", "web.plan", "web.walls"]);
    }

    fn a_launcher_that_is_killed_in_the_middle_of_a_write_loses_nothing() needs [Box, Seccomp] {
        let state = State::new();
        let _web = state.start("web", &[]);
        let marker = marker("write");
        // The record is written when the name is claimed, and when the box has started.
        for write in 0..2 {
            let command = state.clonebox().args(["--name", "other"]).probe(["stay", &marker]).command();
            let mut held = hold_at_call(libc::SYS_renameat, command);
            for _ in 0..write {
                held.next();
            }
            assert!(state.files().contains(&"other.box.new".to_owned()), "{:?}", state.files());
            held.child.kill().expect("it is ours");
            held.child.wait().expect("its end");
            let before = fs::read(state.file("other.box")).ok();
            let is_whole = |record: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&record).is_ok();
            assert_eq!(before.map(is_whole), (write > 0).then_some(true));
            assert!(eventually(|| marked(&marker).is_empty()));
            assert!(state.is("web", "running"));
            assert!(eventually(|| state.find("other").is_none()));
            state.clonebox().args(["--name", "third"]).probe(["exit", "0"]).run().succeeds();
            assert_eq!(state.files(), ["web.box", "web.plan", "web.walls"], "after write {write}");
        }
    }

    fn of_many_that_want_one_name_at_once_one_gets_it() needs [Box] {
        let state = State::new();
        let mut all: Vec<_> = (0..16)
            .map(|_| state.clonebox().args(["--name", "web"]).probe(["stay"]).start())
            .collect();
        let done = |all: &mut Vec<crate::support::clonebox::Running>| all.iter_mut().filter_map(|one| one.has_ended().then_some(())).count();
        assert!(eventually(|| done(&mut all) == 15));
        assert!(eventually(|| state.is("web", "running")));
        state.run(&["kill", "web"]).succeeds();
        let codes = all.into_iter().map(|one| one.end()).filter(|ran| ran.stderr().contains("there is a box web already"));
        assert_eq!(codes.count(), 15);
        assert_eq!(state.files(), [""; 0]);
    }

    fn of_many_threads_that_claim_one_name_at_once_one_gets_it() needs [] {
        let state = State::new();
        let template = clonebox::Command::new("/bin/true").name("web").prepare().expect("it is fine");
        let registry = clonebox::Registry::at(state.path());
        for _ in 0..100 {
            let barrier = std::sync::Barrier::new(4);
            let claim = || {
                barrier.wait();
                let claim = registry.claim(&template);
                // Nobody lets go before all have tried.
                barrier.wait();
                claim.is_ok()
            };
            let got = thread::scope(|scope| {
                let all = [(); 4].map(|()| scope.spawn(claim));
                all.map(|one| one.join().expect("a thread")).into_iter().filter(|got| *got).count()
            });
            assert_eq!(got, 1);
        }
        assert_eq!(state.files(), [""; 0]);
    }

    fn two_hundred_boxes_are_started_listed_and_stopped_at_once() needs [Box] {
        // A machine that is emulated has not the time for as many.
        let each: u32 = std::env::var("CLONEBOX_IT_BOXES").map_or(25, |each| each.parse().expect("a number"));
        let state = State::new();
        let marker = marker("many");
        let start = |number: u32| {
            let name = format!("box-{number}");
            state.clonebox().args(["--name", &name]).probe(["stay", &marker]).start()
        };
        let began = Instant::now();
        thread::scope(|scope| {
            let starters: Vec<_> = (0..8)
                .map(|part| scope.spawn(move || (0..each).map(|number| start(part * each + number)).collect::<Vec<_>>()))
                .collect();
            let listers: Vec<_> = (0..4).map(|_| scope.spawn(|| for _ in 0..10 { state.list(); })).collect();
            let running: Vec<_> = starters.into_iter().flat_map(|starter| starter.join().expect("a thread")).collect();
            listers.into_iter().for_each(|lister| lister.join().expect("a thread"));
            assert!(eventually(|| state.list().iter().filter(|found| found["state"] == "running").count() == 8 * each as usize));
            let stoppers: Vec<_> = (0..8)
                .map(|part| {
                    let state = &state;
                    scope.spawn(move || {
                        let names: Vec<String> = (0..each).map(|number| format!("box-{}", part * each + number)).collect();
                        let words = ["stop", "-t", "0"].into_iter().chain(names.iter().map(String::as_str));
                        state.run(&words.collect::<Vec<_>>()).succeeds();
                    })
                })
                .collect();
            stoppers.into_iter().for_each(|stopper| stopper.join().expect("a thread"));
            for one in running {
                one.end().exits_with(137);
            }
        });
        assert_eq!(state.files(), [""; 0], "{:?}", began.elapsed());
        assert!(eventually(|| marked(&marker).is_empty()));
    }
}
