//! `--explain`: the plan, without running it.

use std::fs;

use serde_json::Value;

use crate::support::clonebox::{Ran, run};
use crate::support::{files, tests};

/// The plan of `/bin/true` with these options.
#[track_caller]
fn plan(options: &[&str]) -> String {
    let words = ["--name", "web", "--", "/bin/true"];
    let ran: Ran = run(["--explain"].iter().chain(options).chain(&words));
    ran.succeeds().says_nothing_else().stdout()
}

/// The same for a program.
#[track_caller]
fn json(options: &[&str]) -> Value {
    let words = ["--name", "web", "--", "/bin/true"];
    let ran = run(["--explain=json"].iter().chain(options).chain(&words));
    serde_json::from_str(&ran.succeeds().says_nothing_else().stdout()).expect("JSON")
}

/// Checks that there is one step with this call, and that this is its origin.
#[track_caller]
fn has(plan: &str, call: &str, origin: &str) {
    let steps: Vec<&str> = plan.lines().filter(|line| line.contains(call)).collect();
    assert_eq!(steps.len(), 1, "{call} in:\n{plan}");
    assert!(
        steps[0].ends_with(&format!(" {origin}")),
        "{:?} is not by {origin}",
        steps[0]
    );
}

/// The flags of the clone.
fn clone_flags(plan: &str) -> Vec<&str> {
    let line = plan.lines().next().expect("a line").trim_start();
    assert!(
        line.starts_with("clone3({flags=") || line.starts_with("clone(flags="),
        "{line}"
    );
    let flags = line.split_once("flags=").expect("flags").1;
    flags
        .split(['|', ',', ')'])
        .filter(|flag| flag.starts_with("CLONE_"))
        .collect()
}

tests! {
    fn the_clone_comes_first_with_its_flags() needs [] {
        let plan = plan(&["--userns", "host"]);
        let flags = clone_flags(&plan);
        for flag in ["CLONE_VM", "CLONE_PIDFD", "CLONE_NEWNS", "CLONE_NEWUTS", "CLONE_NEWPID"] {
            assert!(flags.contains(&flag), "no {flag} in {flags:?}");
        }
        for flag in ["CLONE_NEWUSER", "CLONE_NEWNET", "CLONE_NEWIPC", "CLONE_NEWCGROUP"] {
            assert!(!flags.contains(&flag), "{flag} in {flags:?}");
        }
    }

    fn each_namespace_has_its_flag() needs [] {
        let options = ["--userns=auto", "--net=none", "--ipc=private", "--cgroupns=private"];
        let plan = plan(&options);
        let flags = clone_flags(&plan);
        for flag in ["CLONE_NEWUSER", "CLONE_NEWNET", "CLONE_NEWIPC", "CLONE_NEWCGROUP"] {
            assert!(flags.contains(&flag), "no {flag} in {flags:?}");
        }
    }

    fn a_namespace_that_is_the_hosts_has_none() needs [] {
        let plan = plan(&["--pid", "host", "--uts", "host"]);
        let flags = clone_flags(&plan);
        assert!(!flags.contains(&"CLONE_NEWPID") && !flags.contains(&"CLONE_NEWUTS"), "{flags:?}");
    }

    fn each_namespace_has_its_origin() needs [] {
        let plan = plan(&["--net", "none", "--userns", "auto"]);
        let origins: Vec<String> = plan
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with("       "))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let expected =
            ["user --userns auto", "mount default", "uts default", "pid default", "net --net none"];
        assert_eq!(origins, expected);
    }

    fn each_step_has_the_option_that_asked_for_it() needs [] {
        let options = ["--userns", "host", "--hostname", "db", "--umask", "027", "-w", "/tmp"];
        let plan = plan(&options);
        has(&plan, r#"sethostname("db", 2)"#, "--hostname db");
        has(&plan, "umask(027)", "--umask 027");
        has(&plan, r#"chdir("/tmp")"#, "--workdir /tmp");
        has(&plan, r#"execve("/bin/true", ["/bin/true"], /* "#, "COMMAND");
    }

    fn each_step_of_nobody_is_a_default() needs [] {
        let plan = plan(&["--userns", "host"]);
        has(&plan, r#"mount(NULL, "/", NULL, MS_REC|MS_PRIVATE, NULL)"#, "default");
        let proc = r#"mount("proc", "/proc", "proc", MS_NOSUID|MS_NODEV|MS_NOEXEC, NULL)"#;
        has(&plan, proc, "default");
        has(&plan, "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)", "default");
    }

    fn the_steps_are_numbered_from_one() needs [] {
        let plan = plan(&[]);
        let numbers: Vec<usize> =
            plan.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
        assert!(numbers.len() > 10, "{plan}");
        assert!(numbers.iter().copied().eq(1..=numbers.len()), "{numbers:?}");
    }

    fn the_execve_is_the_last_step_and_one_for_each_place() needs [] {
        let options = ["--explain", "-e", "PATH=/a:/b", "--", "prog"];
        let plan = run(options).succeeds().stdout();
        let lines: Vec<&str> = plan.lines().collect();
        let [.., before, first, second] = lines[..] else { panic!("{plan}") };
        assert!(!before.contains("execve("), "{before}");
        assert!(first.contains(r#"execve("/a/prog", ["prog"], "#), "{first}");
        assert!(second.contains(r#"execve("/b/prog", ["prog"], "#), "{second}");
    }

    fn a_plan_of_a_box_with_a_name_is_always_the_same() needs [] {
        assert_eq!(plan(&["--net", "none"]), plan(&["--net", "none"]));
        assert_eq!(json(&[]), json(&[]));
    }

    fn json_says_the_same_as_the_text() needs [] {
        let options = ["--userns", "auto", "-u", "5", "--nice", "3"];
        let (text, json) = (plan(&options), json(&options));
        let steps = json["steps"].as_array().expect("steps");
        let word = |value: &Value| value.as_str().expect("text").to_owned();
        let clone = word(&json["clone"]["call"]);
        assert_eq!(text.lines().next().expect("a line").trim_start(), clone);
        let lines: Vec<&str> = text.lines().skip(text.lines().count() - steps.len()).collect();
        for (line, step) in lines.iter().zip(steps) {
            let number = step["step"].to_string();
            let (call, origin) = (word(&step["call"]), word(&step["origin"]));
            let line = line.trim_start().strip_prefix(&number).expect(line).trim_start();
            assert_eq!(line.strip_prefix(&call).expect(line).trim_start(), origin);
        }
    }

    fn json_names_the_box_its_namespaces_and_what_each_step_is_for() needs [] {
        let json = json(&["--userns", "host", "--ipc", "private"]);
        assert_eq!(json["name"], "web");
        let namespaces = json["clone"]["namespaces"].as_array().expect("namespaces");
        let ipc = serde_json::json!({ "namespace": "ipc", "origin": "--ipc private" });
        assert!(namespaces.contains(&ipc), "{namespaces:?}");
        let steps = json["steps"].as_array().expect("steps");
        let action = |action: &str| steps.iter().any(|step| step["action"] == action);
        assert!(action("mount proc on /proc") && action("execute /bin/true"), "{steps:#?}");
    }

    fn nothing_is_run() needs [] {
        let directory = files::directory();
        let path = directory.path().join("file");
        let path = path.to_str().expect("UTF-8");
        run(["--explain", "--", "/bin/sh", "-c", &format!(": >{path}")]).succeeds();
        assert!(!fs::exists(path).expect("a directory"), "{path} is there");
    }

    fn nothing_is_written() needs [] {
        let directory = files::directory();
        let report = files::write(directory.path(), "report", "644", "before");
        let timings = directory.path().join("timings");
        let report_option = format!("--report={}", report.display());
        let timings_option = format!("--timings={}", timings.display());
        plan(&[&report_option, &timings_option]);
        assert_eq!(fs::read_to_string(report).expect("a file"), "before");
        assert!(!timings.exists(), "the file of timings is there");
    }

    fn a_plan_is_not_made_of_what_is_wrong() needs [] {
        run(["--explain", "--nice", "20", "--", "/bin/true"])
            .exits_with(125)
            .prints("")
            .complains("clonebox: --nice 20: a nice value is -20 to 19\n");
    }

    fn the_program_need_not_be_there() needs [] {
        run(["--explain", "--", "/dev/none"]).succeeds();
    }
}
