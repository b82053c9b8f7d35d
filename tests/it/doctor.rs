//! `clonebox doctor`: what it says is what happens when a box is started.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use serde_json::Value;

use crate::support::clonebox::run;
use crate::support::{Clonebox, alone, binary, files, probe, seccomp, tests};

/// Who asks: words that come before those of the command, and what is done to it before.
struct Caller<'a> {
    prefix: &'a [&'a str],
    change: fn(&mut Command),
}

/// The caller as it is.
const PLAIN: Caller<'static> = Caller {
    prefix: &[],
    change: |_| {},
};

impl Caller<'_> {
    fn command(&self) -> Command {
        let clonebox = binary();
        let clonebox = clonebox.to_str().expect("UTF-8");
        let mut words = self.prefix.iter().copied().chain([clonebox]);
        let mut command = Command::new(words.next().expect("a word at least"));
        command.args(words);
        (self.change)(&mut command);
        command
    }

    /// What doctor says, and what it exits with.
    #[track_caller]
    fn diagnosis(&self) -> (Value, i32) {
        let output = self
            .command()
            .args(["doctor", "--json"])
            .output()
            .expect("it starts");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let value = serde_json::from_str(&text);
        let value: Value =
            value.unwrap_or_else(|error| panic!("{error}: {text} {:?}", output.stderr));
        for finding in findings(&value) {
            let has_fix = finding["fix"].as_str().is_some_and(|fix| !fix.is_empty());
            assert_eq!(finding["health"] != "ok", has_fix, "{finding:#}");
        }
        (value, output.status.code().expect("it exits"))
    }

    /// Whether a box of these options starts.
    fn starts(&self, options: &[String]) -> bool {
        let mut command = self.command();
        command.args(options).stdin(Stdio::null());
        command.output().expect("it starts").status.success()
    }
}

/// The options that make the kind of box that doctor calls so, and the program.
fn box_of(name: &str, root: &Path) -> Vec<String> {
    let root = root.display();
    let probe = probe::path();
    let words = |options: &[&str], program: &str| {
        let program = ["--", program, "__probe", "exit", "0"];
        options
            .iter()
            .chain(&program)
            .map(ToString::to_string)
            .collect()
    };
    let plain = |option: &str| words(&[option], &probe);
    let inside = |option: &str| words(&[option, &format!("--volume={probe}:/it:ro")], "/it");
    match name {
        "plain box" => words(&[], &probe),
        "user namespace" => plain("--userns=auto"),
        "init" => plain("--init"),
        "terminal" => plain("--tty=new"),
        "network namespace" => plain("--net=none"),
        "pasta network" => plain("--net=pasta"),
        "ipc namespace" => plain("--ipc=private"),
        "cgroup namespace" => plain("--cgroupns=private"),
        "root filesystem" => inside(&format!("--rootfs={root}")),
        "overlay" => inside(&format!("--rootfs-overlay={root}")),
        "memory limit" => plain("--memory=64m"),
        "processor limit" => plain("--cpus=1"),
        "process limit" => plain("--pids-limit=64"),
        // A program that lasts: one that has ended is not asked for its namespace.
        "time namespace" => ["--time-offset=1", "--", "sleep", "0.2"]
            .map(str::to_owned)
            .into(),
        name => panic!("how is a box made that doctor calls {name:?}?"),
    }
}

fn findings(diagnosis: &Value) -> &[Value] {
    diagnosis["findings"].as_array().expect("a list")
}

#[track_caller]
fn finding<'a>(diagnosis: &'a Value, name: &str) -> &'a Value {
    let mut all = findings(diagnosis).iter();
    all.find(|finding| finding["name"] == name)
        .unwrap_or_else(|| panic!("nothing is called {name:?}: {diagnosis:#}"))
}

/// Starts a box of every kind and compares.
#[track_caller]
fn what_it_says_is_what_happens(caller: &Caller<'_>) -> Value {
    let directory = files::directory();
    let root = directory.path().join("root");
    for name in ["proc", "sys", "dev"] {
        fs::create_dir_all(root.join(name)).expect("a directory");
    }
    let (diagnosis, status) = caller.diagnosis();
    let boxes = findings(&diagnosis)
        .iter()
        .filter(|finding| finding["topic"] == "boxes");
    let mut tried = 0;
    for finding in boxes {
        let name = finding["name"].as_str().expect("a name");
        let starts = caller.starts(&box_of(name, &root));
        assert_eq!(finding["health"] == "ok", starts, "{name}: {finding:#}");
        tried += 1;
    }
    assert!(tried >= 13, "{diagnosis:#}");
    let plain = caller.starts(&box_of("plain box", &root));
    assert_eq!(diagnosis["can_start"], plain);
    assert_eq!(status, if plain { 0 } else { 1 });
    diagnosis
}

tests! {
    fn what_doctor_says_is_what_happens() needs [] {
        what_it_says_is_what_happens(&PLAIN);
    }

    fn what_doctor_says_in_a_box_is_what_happens_there() needs [Box] {
        let outer = binary();
        let outer = outer.to_str().expect("UTF-8");
        let diagnosis = what_it_says_is_what_happens(&Caller { prefix: &[outer, "--"], ..PLAIN });
        assert_eq!(finding(&diagnosis, "set-user-id")["health"], "limited");
    }

    fn without_clone3_boxes_start_and_doctor_says_by_what() needs [Box, Seccomp] {
        let change = |command: &mut Command| seccomp::refuse_to(command, libc::SYS_clone3, Errno::ENOSYS);
        let caller = Caller { change, ..PLAIN };
        let diagnosis = what_it_says_is_what_happens(&caller);
        let clone3 = finding(&diagnosis, "clone3");
        assert_eq!(clone3["health"], "limited", "{clone3}");
        assert!(clone3["fix"].as_str().expect("a way out").contains("filter"), "{clone3}");
        assert_eq!(finding(&diagnosis, "seccomp filter")["health"], "limited");
        let plan = caller.command().args(["--explain", "--", "true"]).output().expect("it starts");
        assert!(String::from_utf8_lossy(&plan.stdout).trim_start().starts_with("clone("), "{plan:?}");
    }

    fn what_a_filter_takes_is_told_call_by_call() needs [Seccomp] {
        let without = |change| finding_in(&Caller { change, ..PLAIN });
        fn finding_in(caller: &Caller<'_>) -> Value {
            caller.diagnosis().0
        }
        let openat2 = without(|command| seccomp::refuse_to(command, libc::SYS_openat2, Errno::ENOSYS));
        assert_eq!(finding(&openat2, "openat2")["health"], "limited");
        let setattr = without(|command| seccomp::refuse_to(command, libc::SYS_mount_setattr, Errno::EPERM));
        assert_eq!(finding(&setattr, "mount_setattr")["health"], "limited");
        let landlock = without(|command| seccomp::refuse_to(command, libc::SYS_landlock_create_ruleset, Errno::ENOSYS));
        assert_eq!(finding(&landlock, "landlock")["health"], "missing");
        let pidfd = without(|command| seccomp::refuse_to(command, libc::SYS_pidfd_open, Errno::ENOSYS));
        assert_eq!(finding(&pidfd, "pidfd_open")["health"], "missing");
        assert_eq!(pidfd["can_start"], false);
    }

    fn doctor_says_whether_a_root_filesystem_costs_a_copy_of_all_mounts() needs [Root, Seccomp, OpenTreeNamespace] {
        let detail = |change| {
            let caller = Caller { change, ..PLAIN };
            finding(&what_it_says_is_what_happens(&caller), "OPEN_TREE_NAMESPACE")["detail"].clone()
        };
        assert_eq!(detail(|_| {}), "works");
        let missing = detail(seccomp::refuse_new_namespaces_to);
        assert!(missing.as_str().expect("text").contains("copies all mounts"), "{missing}");
    }

    fn a_call_that_every_namespace_needs_is_missed_by_all_boxes() needs [Seccomp] {
        // Nothing but clone3(2) and clone(2) makes a box: without either there is none.
        let change = |command: &mut Command| seccomp::refuse_to(command, libc::SYS_mount, Errno::EPERM);
        let caller = Caller { change, ..PLAIN };
        let diagnosis = what_it_says_is_what_happens(&caller);
        assert_eq!(diagnosis["can_start"], false);
        let repeated = finding(&diagnosis, "ipc namespace");
        assert_eq!(repeated["detail"], "as the plain box");
    }

    fn what_turns_user_namespaces_off_is_named() needs [Userns] {
        let outer = binary();
        let outer = outer.to_str().expect("UTF-8");
        let off = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"";
        let [uids, gids] = alone();
        let prefix = [outer, uids, gids, "--cap-add=ALL", "--", "/bin/sh", "-c", off, "-"];
        let diagnosis = what_it_says_is_what_happens(&Caller { prefix: &prefix, ..PLAIN });
        let tried = finding(&diagnosis, "user namespace");
        assert_eq!(tried["health"], "missing", "{tried}");
        let fix = tried["fix"].as_str().expect("a way out");
        assert!(fix.contains("user.max_user_namespaces"), "{fix}");
        let limit = finding(&diagnosis, "user.max_user_namespaces");
        assert_eq!((&limit["health"], &limit["detail"]), (&"missing".into(), &"0".into()));
    }

    fn both_forms_say_the_same() needs [] {
        let (diagnosis, status) = PLAIN.diagnosis();
        let page = run(["doctor"]).exits_with(status).says_nothing_else().stdout();
        for finding in findings(&diagnosis) {
            let [health, name] = ["health", "name"].map(|key| finding[key].as_str().expect("text"));
            assert!(page.contains(&format!("  {health:<8} {name} ")), "{name} in {page}");
            assert!(!finding["detail"].as_str().expect("text").is_empty(), "{finding}");
        }
    }

    fn whatever_is_in_the_way_there_is_a_way_out_in_both_forms() needs [Seccomp] {
        let call = |number| move |command: &mut Command| seccomp::refuse_to(command, number, Errno::EPERM);
        let root = files::directory();
        let changes: [&dyn Fn(&mut Command); 6] = [
            &call(libc::SYS_mount),
            &call(libc::SYS_seccomp),
            &call(libc::SYS_landlock_create_ruleset),
            &call(libc::SYS_unshare),
            &call(libc::SYS_setns),
            &|command| { command.env("TMPDIR", root.path().join("none")).env("PATH", ""); },
        ];
        for change in changes {
            let run = |words: &[&str]| {
                let mut command = PLAIN.command();
                change(&mut command);
                command.args(words).output().expect("it starts").stdout
            };
            let diagnosis: Value = serde_json::from_slice(&run(&["doctor", "--json"])).expect("JSON");
            let page = String::from_utf8(run(&["doctor"])).expect("UTF-8");
            let bad = findings(&diagnosis).iter().filter(|finding| finding["health"] != "ok");
            let mut count = 0;
            for finding in bad {
                // Ids and names of cgroups are others each time.
                let fix = finding["fix"].as_str().unwrap_or_default();
                assert!(!fix.is_empty() && page.contains(fix), "{finding:#}\n{page}");
                count += 1;
            }
            assert!(count > 0, "{page}");
        }
    }

    fn it_leaves_nothing() needs [] {
        let directory = files::directory();
        Clonebox::new().env("TMPDIR", directory.path()).args(["doctor"]).run();
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
        let missing = directory.path().join("none");
        let ran = Clonebox::new().env("TMPDIR", &missing).args(["doctor"]).run();
        assert!(ran.stdout().contains("not tried: no directory can be made in "), "{}", ran.stdout());
    }

    fn it_takes_no_operand() needs [] {
        run(["doctor", "web"]).exits_with(125).complains("clonebox: doctor takes options only\n");
    }
}
