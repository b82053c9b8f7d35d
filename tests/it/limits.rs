//! Limits: they hold, they are explained, and nothing of their cgroups is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::cgroups::{assert_nothing_left, left, limited, name};
use crate::support::clonebox::{Clonebox, binary, run};
use crate::support::files;
use crate::support::seccomp;
use crate::support::state::State;
use crate::support::{alone, probe, processes, run_probe, tests};

/// Longer than the kernel takes to end what was killed.
const PATIENCE: Duration = Duration::from_secs(20);

fn report(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a report")).expect("JSON")
}

tests! {
    fn memory_that_is_used_up_ends_the_box_and_is_explained() needs [Limits] {
        let (name, directory) = (name("oom"), files::directory());
        let file = directory.path().join("report");
        let options = ["--name", &name, "-m", "24m", "--report", file.to_str().expect("UTF-8")];
        let ran = run_probe(&options, &["eat", "200"]).exits_with(137);
        assert!(
            ran.stderr().starts_with("clonebox: killed by the kernel: out of memory (limit 24 MiB"),
            "{}", ran.stderr()
        );
        let report = report(&file);
        assert_eq!(report["limits"]["oom_killed"], true, "{report}");
        // Version 2 tells it since Linux 5.19.
        if let Some(peak) = report["limits"]["memory_peak_bytes"].as_u64() {
            assert!((20 << 20..=24 << 20).contains(&peak), "{report}");
        }
        assert_eq!(report["exit_code"], 137, "{report}");
        assert_nothing_left(&name);
    }

    fn memory_below_the_limit_is_nobodys_business() needs [Limits] {
        let directory = files::directory();
        let file = directory.path().join("report");
        let options = ["-m", "64m", "--report", file.to_str().expect("UTF-8")];
        run_probe(&options, &["eat", "16"]).succeeds().prints("16\n").says_nothing_else();
        let report = report(&file);
        assert_eq!(report["limits"]["oom_killed"], false, "{report}");
        if let Some(peak) = report["limits"]["memory_peak_bytes"].as_u64() {
            assert!((16 << 20..64 << 20).contains(&peak), "{report}");
        }
    }

    fn memory_that_is_too_little_for_the_set_up_ends_nobody_else() needs [Limits] {
        let root = crate::support::rootfs::Root::new();
        let name = name("little");
        let mut refused = 0;
        for limit in ["4k", "16k", "64k", "128k", "256k", "512k"] {
            for options in [&[][..], &["--rootfs", root.text(), "-v", &root.program()]] {
                let words = ["--name", &name, "-m", limit];
                let ran = run(words.iter().chain(options).chain(&["--", "/it", "__probe", "exit", "0"]));
                // No code is that of a launcher that was killed. What the kernel can do without varies, and
                // it may be the program that is killed, after the set-up.
                match ran.code() {
                    Some(125..=126) => {
                        assert!(ran.stderr().contains(&format!("--memory {limit} leaves too little")), "{}", ran.stderr());
                        refused += 1;
                    }
                    Some(137) => assert!(ran.stderr().contains("out of memory"), "{}", ran.stderr()),
                    Some(0 | 127) => {}
                    code => panic!("{limit}: {code:?}: {}", ran.stderr()),
                }
            }
        }
        assert!(refused > 0, "no limit was too little");
        assert_nothing_left(&name);
    }

    fn a_fork_bomb_is_held() needs [Limits] {
        let (name, directory) = (name("pids"), files::directory());
        let file = directory.path().join("report");
        let options = ["--name", &name, "--pids-limit", "12", "--report", file.to_str().expect("UTF-8")];
        let ran = run_probe(&options, &["forks"]).succeeds();
        let count: u64 = ran.stdout().trim().parse().expect("a number");
        assert!((5..12).contains(&count), "{count} processes");
        // Older kernels do not count it.
        if let Some(peak) = report(&file)["limits"]["pids_peak"].as_u64() {
            assert!((count + 1..=12).contains(&peak), "{peak} at once, {count} children");
        }
        assert_nothing_left(&name);
    }

    fn processors_are_given_as_asked_for() needs [Limits] {
        let directory = files::directory();
        let file = directory.path().join("report");
        let options = ["--cpus", "0.25", "--report", file.to_str().expect("UTF-8")];
        run_probe(&options, &["spin"]).succeeds();
        let report = report(&file);
        let used = report["user_s"].as_f64().expect("a time") + report["system_s"].as_f64().expect("a time");
        let share = used / report["wall_s"].as_f64().expect("a time");
        // Less is possible where others use the machine. What comes above is one period at the beginning.
        assert!(share < 0.25 * 1.15, "{share}: {report}");
        // In a period that was cut short it had all that it may have: a 40th of a second.
        let limits = &report["limits"];
        let throttled = limits["throttled"].as_u64().expect("a number");
        assert!(used > throttled as f64 / 40.0 * 0.85, "{report}");
        // On a machine that does nothing else it is cut short in each; the kernel has counted the same time.
        assert_eq!(throttled > 0, limits["throttled_s"].as_f64() > Some(0.0), "{report}");
        match limits["cpu_s"].as_f64() {
            Some(counted) => assert!((counted - used).abs() < 0.02 + used / 5.0, "{report}"),
            None => assert!(fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_err(), "version 2 counts it: {report}"),
        }
    }

    fn limits_hold_where_clone3_is_refused() needs [Limits, Seccomp] {
        let name = name("old");
        let mut command = Clonebox::new().args(["--name", &name, "-m", "64m", "--pids-limit", "9"]);
        command = command.probe(["cat", "/proc/self/cgroup"]);
        let mut command = command.command();
        seccomp::refuse_to(&mut command, libc::SYS_clone3, Errno::ENOSYS);
        let table = Clonebox::of(command).run().succeeds().stdout();
        assert!(table.contains(&format!("/{name}-")), "{table}");
        assert_nothing_left(&name);
    }

    fn a_box_with_a_cgroup_namespace_is_at_its_root() needs [Limits] {
        let options = ["-m", "64m", "--pids-limit", "50", "--cpus", "1", "--cgroupns", "private"];
        let table = run_probe(&options, &["cat", "/proc/self/cgroup"]).succeeds().stdout();
        for line in table.lines() {
            let (_, path) = line.rsplit_once(':').expect("a path");
            let limited = ["memory", "pids", "cpu"].iter().any(|word| line.split(':').nth(1) == Some(word));
            assert!(path == "/" || !limited, "{table}");
        }
    }

    fn the_limits_hold_from_the_first_instruction() needs [Limits] {
        let name = name("first");
        let table = run_probe(&["--name", &name, "-m", "64m"], &["cat", "/proc/self/cgroup"]).succeeds().stdout();
        assert!(table.contains(&format!("/{name}-")), "{table}");
        let plan = run(["--explain", "-m", "64m", "--", "true"]).succeeds().stdout();
        let unified = plan.contains("memory.max = 67108864");
        assert_eq!(unified, plan.contains("CLONE_INTO_CGROUP"), "{plan}");
        assert_ne!(unified, plan.contains("write(<cgroup>, \"0\", 1)"), "{plan}");
        assert!(plan.contains("--memory 64m"), "{plan}");
    }

    fn limits_work_in_a_user_namespace() needs [Limits, Userns] {
        let options = ["--userns", "auto", "-m", "24m"];
        run_probe(&options, &["eat", "200"]).exits_with(137);
        run_probe(&options, &["eat", "4"]).succeeds();
    }

    fn nothing_is_left_after_a_start_that_failed() needs [Limits] {
        let name = name("failed");
        run(["--name", &name, "-m", "64m", "--pids-limit", "9", "--", "/nonexistent"]).exits_with(127);
        run(["--name", &name, "-m", "64m", "-w", "/nonexistent", "--", "/bin/true"]).exits_with(125);
        assert!(left(&name).is_empty(), "{:?}", left(&name));
    }

    fn nothing_is_left_after_a_timeout() needs [Limits] {
        let name = name("timeout");
        run_probe(&["--name", &name, "-m", "64m", "--timeout", "300ms"], &["stay"]).exits_with(124);
        assert!(left(&name).is_empty(), "{:?}", left(&name));
    }

    fn processes_that_are_left_at_the_end_are_killed() needs [Limits, Root] {
        let name = name("orphans");
        let ran = run_probe(&["--name", &name, "--pid", "host", "-m", "64m"], &["family-and-leave", &name]).succeeds();
        assert!(ran.stdout().contains("left"), "{}", ran.stdout());
        assert!(left(&name).is_empty(), "{:?}", left(&name));
        assert!(processes::marked(&name).is_empty());
    }

    fn processes_that_fork_while_they_are_killed_are_gone_at_the_end() needs [Limits, Root] {
        // No memory is limited: the kernel gives back late what has ended so fast.
        for more in [["--cpu-weight", "100"], ["--pids-limit", "64"]] {
            let name = name("forking");
            let options = [&["--name", &name, "--pid", "host"][..], &more].concat();
            run_probe(&options, &["bomb", &name]).succeeds();
            assert!(left(&name).is_empty(), "{more:?}: {:?}", left(&name));
            assert_eq!(processes::marked(&name), [0; 0], "{more:?}");
        }
    }

    fn processes_of_a_killed_clonebox_that_fork_are_ended_by_the_next() needs [Limits, Root] {
        for more in [["--cpu-weight", "100"], ["--pids-limit", "64"]] {
            let (name, state) = (name("abandoned"), State::new());
            let options = [&["--name", &name, "--pid", "host"][..], &more].concat();
            let mut running = state.clonebox().args(options).probe(["bomb-and-stay", &name]).start();
            // Its cgroups are written down a little after its program runs.
            assert!(processes::eventually(|| state.is(&name, "running")));
            kill(Pid::from_raw(running.pid().cast_signed()), Signal::SIGKILL).expect("it is ours");
            drop(running);
            // Who looks too early sees a box that lives.
            let gone = || {
                state.clonebox().args(["ps"]).run().succeeds();
                left(&name).is_empty() && processes::marked(&name).is_empty()
            };
            assert!(processes::eventually(gone), "{:?} {:?}", left(&name), processes::marked(&name));
        }
    }

    fn what_a_killed_clonebox_leaves_is_removed_by_the_next() needs [Limits] {
        let name = name("killed");
        let mut running = Clonebox::new().args(["--name", &name, "-m", "64m"]).probe(["stay"]).start();
        running.ready();
        assert_eq!(left(&name).len(), 1);
        kill(Pid::from_raw(running.pid().cast_signed()), Signal::SIGKILL).expect("it is ours");
        drop(running);
        let deadline = Instant::now() + PATIENCE;
        while !left(&name).is_empty() {
            assert!(Instant::now() < deadline, "{:?}", left(&name));
            run(["-m", "64m", "--", "/bin/true"]).succeeds();
        }
    }

    fn a_program_that_launches_again_and_again_removes_what_others_leave_meanwhile() needs [Limits] {
        let name = name("meanwhile");
        let template = limited("/bin/true", &name).prepare().expect("a template");
        let mut first = template.spawn().expect("a box");
        let parents: Vec<PathBuf> = left(&name).iter().filter_map(|own| own.parent()).map(Path::to_owned).collect();
        assert!(!parents.is_empty());
        first.wait().expect("its end");
        // Nobody holds them, and nobody is in them.
        for (count, parent) in parents.iter().enumerate() {
            fs::create_dir(parent.join(format!("{name}-1-{count}.clonebox"))).expect("where boxes are made");
        }
        let gone = || {
            template.spawn().expect("a box").wait().expect("its end");
            left(&name).is_empty()
        };
        assert!(processes::eventually(gone), "{:?}", left(&name));
    }

    fn the_next_does_not_touch_a_box_that_lives() needs [Limits] {
        let name = name("alive");
        let mut running = Clonebox::new().args(["--name", &name, "-m", "64m"]).probe(["stay"]).start();
        running.ready();
        run(["-m", "64m", "--", "/bin/true"]).succeeds();
        assert_eq!(left(&name).len(), 1);
        assert!(!running.has_ended());
        // The second one kills; at once, the two would be one.
        for _ in 0..2 {
            kill(Pid::from_raw(running.pid().cast_signed()), Signal::SIGTERM).expect("it is ours");
            std::thread::sleep(Duration::from_millis(200));
        }
        running.end();
        assert!(left(&name).is_empty(), "{:?}", left(&name));
    }

    fn the_cgroups_of_others_are_left_alone() needs [Limits, Root] {
        let usual = PathBuf::from("/sys/fs/cgroup");
        let memory = Some(usual.join("memory")).filter(|memory| memory.is_dir()).unwrap_or(usual);
        // Nobody is in it, and nobody holds it.
        let other = memory.join(format!("{}-1-2", name("other")));
        fs::create_dir(&other).expect("root makes cgroups");
        let ran = run(["-m", "64m", "--", "/bin/true"]);
        fs::remove_dir(&other).expect("it is still there");
        ran.succeeds();
    }

    fn limits_are_found_wherever_cgroups_are_mounted() needs [Limits, Root] {
        let directory = files::directory();
        let usual = PathBuf::from("/sys/fs/cgroup");
        let memory = Some(usual.join("memory")).filter(|memory| memory.is_dir());
        let moved = format!("{}:{}", memory.as_ref().unwrap_or(&usual).display(), directory.path().display());
        let host = ["--cap-add", "ALL", "--tmpfs", "/sys/fs/cgroup"];
        let (binary, probe) = (binary(), probe::path());
        let inner = ["--", &binary.to_string_lossy(), "-m", "24m", "--", &probe, "__probe", "eat", "200"];
        Clonebox::new().args(["-v", &moved]).args(host).args(inner).run().exits_with(137).complains("out of memory");
        Clonebox::new().args(host).args(inner).run().exits_with(125).complains("there is no memory controller here");
    }

    fn a_controller_that_is_not_there_is_named() needs [Limits] {
        let ran = run(["--cgroup-conf", "rdma.max=x", "--cgroup-conf", "misc.max=x", "--", "/bin/true"]);
        let there = !ran.stderr().contains("there is no");
        let ran = ran.exits_with(125).complains("--cgroup-conf");
        if there {
            // Both are here, and take no such value.
            ran.complains("cannot set");
        } else {
            assert!(ran.stderr().contains("controller here"), "{}", ran.stderr());
            let ran = run(["--best-effort-limits", "--cgroup-conf", "rdma.max=x", "--cgroup-conf", "misc.max=x", "--", "/bin/true"]);
            assert!(ran.stderr().contains("clonebox: warning: --cgroup-conf"), "{}", ran.stderr());
        }
    }

    fn where_no_cgroup_can_be_made_a_box_goes_without_if_that_is_asked_for() needs [Limits, Root] {
        let host = ["--cap-add", "ALL", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro", "--"];
        let (binary, probe) = (binary(), probe::path());
        let binary = binary.to_str().expect("UTF-8");
        let limited = |more: &[&str]| {
            let inner = [&[binary, "-m", "24m"], more].concat();
            Clonebox::new().args(host).args(inner).args(["--", &probe, "__probe", "eat", "64"]).run()
        };
        limited(&[]).exits_with(125).complains("Read-only file system (EROFS)\n");
        let ran = limited(&["--best-effort-limits"]).succeeds();
        let warning = "clonebox: warning: --memory 24m: there is no cgroup of the memory controller to be had: cannot make \
                       a cgroup in ";
        assert!(ran.stderr().starts_with(warning), "{}", ran.stderr());
        assert!(ran.stderr().ends_with(": Read-only file system\n"), "{}", ran.stderr());
    }

    fn a_value_that_the_kernel_refuses_names_its_option() needs [Limits] {
        let name = name("refused");
        let ran = run(["--name", &name, "--cgroup-conf", "pids.max=many", "--", "/bin/true"]).exits_with(125);
        assert!(ran.stderr().contains("cannot set pids.max to many: Invalid argument (EINVAL)"), "{}", ran.stderr());
        assert!(ran.stderr().contains("asked by     --cgroup-conf pids.max=many"), "{}", ran.stderr());
        assert!(left(&name).is_empty(), "{:?}", left(&name));
    }

    fn an_ordinary_user_without_a_cgroup_is_told_so() needs [Box, NotRoot] {
        let ran = run_probe(&["-m", "64m"], &["cat", "/proc/self/cgroup"]);
        // Some machine may have delegated one.
        if ran.code() == Some(0) {
            assert!(ran.stdout().contains(".clonebox"), "{}", ran.stdout());
        } else {
            let ran = ran.exits_with(125);
            assert!(ran.stderr().contains("--memory 64m") || ran.stderr().contains("delegated"), "{}", ran.stderr());
        }
    }

    fn nonsense_is_refused_in_one_line() needs [] {
        for words in [
            ["-m", ""], ["-m", "64x"], ["-m", "0"], ["-m", "-1"], ["--memory-swap", "1g"], ["--cpus", "0"], ["--cpus", "x"],
            ["--cpu-weight", "0"], ["--cpu-weight", "10001"], ["--cpu-shares", "1"], ["--cpuset-cpus", "3-1"],
            ["--cpuset-mems", "x"], ["--pids-limit", "0"], ["--io-weight", "x"], ["--device-read-bps", "/dev/null:1m"],
            ["--device-read-bps", "x"], ["--cgroup-conf", "x"], ["--cgroup-conf", "x=1"], ["--cgroup-conf", "memory/../x=1"],
            ["--cgroup-parent", "/x"],
        ] {
            let ran = run(words.iter().chain(&["--", "true"])).exits_with(125);
            let lines = ran.stderr().lines().count();
            assert!((1..=2).contains(&lines), "{words:?}: {}", ran.stderr());
        }
    }

    fn a_root_filesystem_has_the_limits_of_its_box_to_read_and_not_to_write() needs [Limits, Root, Execveat] {
        let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let file = if unified {
            "/sys/fs/cgroup/memory.max"
        } else {
            "/sys/fs/cgroup/memory/memory.limit_in_bytes"
        };
        let root = crate::support::rootfs::Root::new();
        for more in [&[][..], &alone(), &["--cgroupns", "private"]] {
            let options = [&["-m", "64m"], more].concat();
            root.run(&options, &["cat", file]).succeeds().prints("67108864\n");
            root.run(&options, &["try", file, "/sys/fs/cgroup/new"]).succeeds().prints("EROFS\nEROFS\n");
            let own = root.run(&options, &["cat", "/proc/self/cgroup"]).succeeds().stdout();
            assert!(own.lines().all(|line| line.ends_with(":/")), "{own}");
        }
        let options = ["-m", "64m", "--cgroupns", "host"];
        root.run(&options, &["list", "/sys/fs/cgroup"]).succeeds().prints("");
    }
}
