//! Pools: boxes that stand before they are asked for.

use std::fs;
use std::thread;
use std::time::Duration;

use clonebox::{Child, Command, ErrorKind, ParentDeath, Pool, Setting, Spec, Stdio, Tty, User};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::cgroups::{left, limited};
use crate::support::clonebox::run;
use crate::support::processes::{eventually, marked, marker};
use crate::support::rootfs::Root;
use crate::support::talk::Talk;
use crate::support::{probe, tests};

/// A box around this binary, which answers a probe.
fn answer(words: &[&str]) -> Command {
    let mut command = Command::new(probe::path());
    command.arg("__probe").args(words).stdout(Stdio::piped());
    command
}

#[track_caller]
fn pool(command: &Command, size: usize) -> Pool {
    let template = command.prepare().expect("a template");
    Pool::new(&template, size).expect("a pool")
}

#[track_caller]
fn printed(child: Child) -> String {
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The processes that stand for a program with this word.
fn standing(marker: &str) -> Vec<u32> {
    let mut all = marked(marker);
    all.retain(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"stand\0")
    });
    all
}

/// The same when there are so many: a process gets its command line a little after it is known to run.
#[track_caller]
fn all_standing(marker: &str, count: usize) -> Vec<u32> {
    assert!(eventually(|| standing(marker).len() == count));
    standing(marker)
}

tests! {
    fn a_pool_is_full_again_though_nobody_waits_for_it() needs [Box, Execveat] {
        let pool = pool(&answer(&["args"]), 4);
        for taken in 1..=4 {
            pool.wait_until_full();
            for _ in 0..taken {
                printed(pool.spawn().expect("a box"));
            }
            assert!(eventually(|| pool.standing() == 4), "{taken} taken");
        }
    }

    fn a_pool_that_nobody_has_used_for_long_is_full_again() needs [Box, Execveat] {
        let pool = pool(&answer(&["args"]), 4);
        pool.wait_until_full();
        // Its thread looks by itself for a tenth of a second.
        thread::sleep(Duration::from_millis(300));
        printed(pool.spawn().expect("a box"));
        assert!(eventually(|| pool.standing() == 4));
    }

    fn a_box_of_a_pool_gets_words_of_its_own() needs [Box, Execveat] {
        let pool = pool(answer(&["args", "one"]).env("KEPT", "1"), 2);
        for word in ["two", "", "three words"] {
            let child = pool.launch().arg(word).spawn().expect("a box");
            let printed = printed(child);
            assert!(printed.contains("one") && printed.contains(word), "{printed}");
        }
        assert!(!printed(pool.spawn().expect("a box")).contains("two"));
    }

    fn a_launch_changes_the_environment() needs [Box, Execveat] {
        let mut command = answer(&["env"]);
        command.env_clear().env("KEPT", "1").env("CHANGED", "2").env("GONE", "3");
        let template = command.prepare().expect("a template");
        let pool = Pool::new(&template, 1).expect("a pool");
        for mut launch in [template.launch(), pool.launch()] {
            launch.env("CHANGED", "new").env_remove("GONE").env("ADDED", "a=b").env("ADDED", "c");
            let text = printed(launch.spawn().expect("a box"));
            let mut lines: Vec<&str> = text.lines().collect();
            lines.sort_unstable();
            assert_eq!(lines, ["ADDED=c", "CHANGED=new", "KEPT=1"]);
        }
        assert!(printed(pool.spawn().expect("a box")).contains("GONE=3"));
    }

    fn words_that_no_program_can_get_are_refused() needs [Box, Execveat] {
        let pool = pool(&answer(&["args"]), 1);
        for mut launch in [pool.launch(), pool.launch()] {
            let error = launch.arg("a\0b").env("", "x").env("A=", "x").spawn().expect_err("no words");
            assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Spec, 125));
            assert_eq!(error.to_string().lines().count(), 3, "{error}");
        }
    }

    fn a_long_argument_reaches_a_box_of_a_pool() needs [Box, Execveat] {
        let pool = pool(&answer(&["args"]), 1);
        let long = "x".repeat(100_000);
        let mut launch = pool.launch();
        launch.args([&long; 5]).stdout(Stdio::piped());
        let text = printed(launch.spawn().expect("a box"));
        assert_eq!(text.matches(&long).count(), 5);
    }

    fn as_much_as_one_that_stands_has_room_for_reaches_it_and_more() needs [Box, Execveat] {
        let pool = pool(&answer(&["args"]), 4);
        // Four words; the strings with their NULs; their addresses, between which and behind which there is a NULL.
        let others = probe::path().len() + "\0__probe\0args\0\0".len();
        let room = 8192 - 4 * 4 - others - 6 * 8;
        for length in room - 20..room + 20 {
            let word: String = ('a'..='z').cycle().take(length).collect();
            let text = printed(pool.launch().arg(&word).spawn().expect("a box"));
            assert!(text.ends_with(&format!(" {word}\n")), "{length}");
        }
    }

    fn many_threads_take_from_one_pool() needs [Box, Execveat] {
        let pool = pool(&answer(&["args"]), 4);
        thread::scope(|scope| {
            for number in 0..8 {
                let pool = &pool;
                scope.spawn(move || for round in 0..10 {
                    let word = format!("{number}.{round}");
                    let child = pool.launch().arg(&word).spawn().expect("a box");
                    assert!(printed(child).contains(&word));
                });
            }
        });
        pool.wait_until_full();
        assert_eq!(pool.standing(), 4);
    }

    fn a_box_that_was_killed_while_it_stood_is_passed_over() needs [Box, Execveat] {
        let marker = marker("killed");
        let pool = pool(&answer(&["args", &marker]), 3);
        pool.wait_until_full();
        for pid in all_standing(&marker, 3) {
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("it is ours");
        }
        for _ in 0..5 {
            assert!(printed(pool.spawn().expect("a box")).contains(&marker));
        }
    }

    fn a_program_that_is_not_there_is_told_by_a_pool() needs [Box, Execveat] {
        for (program, code) in [("/dev/none", 127), ("no-such-program", 127), ("/dev/null", 126)] {
            let pool = pool(&Command::new(program), 2);
            for _ in 0..3 {
                let error = pool.spawn().expect_err("there is none");
                assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Exec, code), "{error}");
            }
        }
    }

    fn what_no_pool_can_have_is_refused() needs [Box, Execveat] {
        let refused = |command: &mut Command, size| {
            let template = command.prepare().expect("a template");
            let error = Pool::new(&template, size).expect_err("no pool");
            assert_eq!(error.kind(), ErrorKind::Spec);
            error.to_string()
        };
        assert!(refused(&mut answer(&["args"]), 0).contains("Pool::new"));
        assert!(refused(answer(&["args"]).init(true), 1).contains("init"));
        assert!(refused(answer(&["args"]).parent_death(ParentDeath::KillWithThread), 1).contains("thread"));
    }

    fn a_pool_with_a_root_filesystem_gives_each_box_its_own() needs [Root, Execveat] {
        let root = Root::new();
        let mut command = Command::new("/it");
        command.args(["__probe", "append"]).rootfs_overlay(root.path()).stdout(Stdio::piped());
        command.mount(clonebox::Mount::parse_volume(&root.program()).expect("a good description"));
        command.user(User { uid: 0, gid: 0 });
        let pool = pool(&command, 2);
        for _ in 0..5 {
            assert_eq!(printed(pool.launch().arg("/x").spawn().expect("a box")), "0\n");
        }
    }

    fn a_box_of_a_pool_is_another_users_while_it_stands() needs [Root, Execveat] {
        let marker = marker("user");
        let mut command = Command::new("/bin/true");
        let pool = pool(command.arg(&marker).user(User { uid: 1234, gid: 1234 }), 2);
        pool.wait_until_full();
        for pid in all_standing(&marker, 2) {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it stands");
            assert!(status.contains("Uid:\t1234\t1234\t1234\t1234"), "{status}");
            assert!(status.contains("NoNewPrivs:\t1") && status.contains("CapEff:\t0000000000000000"), "{status}");
        }
        assert!(pool.spawn().expect("a box").wait().expect("its end").success());
    }

    fn a_box_that_stands_has_no_memory_of_ours() needs [Box, Execveat] {
        let marker = marker("memory");
        let ballast = vec![1u8; 64 << 20];
        let pool = pool(&answer(&["args", &marker]), 1);
        let standing = all_standing(&marker, 1)[0];
        let status = fs::read_to_string(format!("/proc/{standing}/status")).expect("it stands");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a process with memory");
        let kib: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
        assert!(kib < 1024, "{line}");
        drop((pool, ballast));
    }

    fn limits_and_a_terminal_work_in_a_pool() needs [Limits, Ptmx, Execveat] {
        let mut spec = Spec::new("/bin/sh");
        spec.exec.args = vec!["-c".into(), "test -t 0 && ulimit -a >/dev/null".into()];
        spec.limits.pids = Some(Setting::default_of(50));
        spec.tty = Setting::default_of(Tty::New);
        let pool = pool(&Command::from(spec), 2);
        for _ in 0..4 {
            let mut child = pool.spawn().expect("a box");
            let terminal = child.take_terminal().expect("a terminal");
            assert!(child.wait().expect("its end").success());
            drop(terminal);
            assert!(child.limits_usage().is_some());
        }
    }

    fn limits_hold_in_a_pool() needs [Limits, Execveat] {
        let mut spec = Spec::new(probe::path());
        spec.exec.args = vec!["__probe".into(), "forks".into()];
        spec.limits.pids = Some(Setting::default_of(12));
        let pool = pool(Command::from(spec).stdout(Stdio::piped()), 2);
        for _ in 0..3 {
            let count = printed(pool.spawn().expect("a box"));
            let count: usize = count.trim().parse().expect("a number");
            assert!((5..12).contains(&count), "{count} processes");
        }
    }

    fn a_pool_that_is_dropped_leaves_no_process() needs [Box, Execveat] {
        let marker = marker("dropped");
        let pool = pool(&answer(&["args", &marker]), 8);
        pool.wait_until_full();
        all_standing(&marker, 8);
        drop(pool);
        assert_eq!(marked(&marker), [0; 0]);
    }

    fn a_pool_that_is_dropped_leaves_no_cgroup() needs [Limits, Execveat] {
        let name = marker("limited");
        let pool = pool(&limited("/bin/true", &name), 4);
        pool.wait_until_full();
        assert!(left(&name).len() >= 4, "{:?}", left(&name));
        let child = pool.spawn().expect("a box");
        drop(pool);
        // That of the box which is somebody else's is there until he has waited for it.
        let its = left(&name);
        assert!((1..=2).contains(&its.len()), "{its:?}");
        assert_eq!(printed(child), "");
        assert_eq!(left(&name), [""; 0].map(std::path::PathBuf::from));
    }

    fn cgroups_of_a_pool_whose_program_is_killed_are_removed_by_the_next_box() needs [Limits, Execveat] {
        for parent_death in ["kill", "survive"] {
            let name = marker("abandoned");
            let mut command = std::process::Command::new(probe::path());
            command.args(["__probe", "pool", parent_death, &name, "limited"]);
            let mut talk = Talk::with(command);
            talk.says("full");
            assert!(left(&name).len() >= 4, "{:?}", left(&name));
            drop(talk);
            assert!(eventually(|| standing(&name).is_empty()), "{:?}", standing(&name));
            // What the kernel has not given back yet stays for the next but one.
            let gone = || {
                run(["-m", "64m", "--pids-limit", "9", "--", "/bin/true"]).succeeds();
                left(&name).is_empty()
            };
            assert!(eventually(gone), "{parent_death}: {:?}", left(&name));
        }
    }

    fn a_pool_whose_program_is_killed_leaves_no_process() needs [Box, Execveat] {
        for parent_death in ["kill", "survive"] {
            let marker = marker("pool");
            let mut command = std::process::Command::new(probe::path());
            command.args(["__probe", "pool", parent_death, &marker]);
            let mut talk = Talk::with(command);
            talk.says("full");
            all_standing(&marker, 4);
            drop(talk);
            assert!(eventually(|| standing(&marker).is_empty()), "{:?}", standing(&marker));
        }
    }
}
