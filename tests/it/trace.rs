//! `--seccomp-trace`: what the filter would refuse is made, and told.

use std::fs;

use clonebox::{Command, Pool};
use serde_json::Value;

use crate::support::clonebox::{Ran, run};
use crate::support::processes::eventually;
use crate::support::rootfs::Root;
use crate::support::state::State;
use crate::support::{binary, files, probe, run_probe, tests};

const NOTHING: &str = "clonebox: the seccomp filter would have refused nothing\n";

/// The calls that a box has told of, a line each.
fn told(ran: &Ran) -> Vec<String> {
    let stderr = ran.stderr();
    let mut lines = stderr.lines().map(str::to_owned);
    assert_eq!(
        lines.next().as_deref(),
        Some("clonebox: the seccomp filter would have refused:"),
        "{stderr}"
    );
    lines.collect()
}

fn unshare_once() -> [String; 1] {
    let machine = std::env::consts::ARCH;
    [format!("  unshare  EPERM         {machine}, once")]
}

#[track_caller]
fn refused(options: &[&str], message: &str) {
    let ran = run([options, &["--seccomp-trace", "--", "/bin/true"]].concat())
        .exits_with(125)
        .prints("");
    assert_eq!(ran.stderr(), format!("clonebox: {message}\n"));
}

tests! {
    fn what_the_filter_would_refuse_is_made_and_told() needs [Userns, Seccomp] {
        run_probe(&["--userns", "auto", "--seccomp", "default"], &["nest"]).succeeds().prints("EPERM\n");
        let ran = run_probe(&["--userns", "auto", "--seccomp-trace"], &["nest"]).succeeds().prints("fine\n");
        assert_eq!(told(&ran), unshare_once());
    }

    fn a_program_of_a_root_filesystem_is_traced_with_an_init_and_without() needs [Box, Seccomp] {
        let root = Root::new();
        for options in [&["--seccomp-trace"][..], &["--seccomp-trace", "--init"]] {
            let ran = root.run(options, &["nest"]).succeeds();
            assert_eq!(told(&ran), unshare_once(), "{options:?}");
        }
    }

    fn a_program_that_is_refused_nothing_is_told_of_as_such() needs [Box, Seccomp] {
        assert_eq!(run_probe(&["--seccomp-trace"], &["pid"]).succeeds().stderr(), NOTHING);
    }

    fn what_would_kill_is_told_and_kills_nobody() needs [Box, Seccomp] {
        let directory = files::directory();
        let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["unshare"], "action": "SCMP_ACT_KILL_PROCESS"}]}"#;
        let path = files::write(directory.path(), "profile", "644", profile);
        let options = ["--seccomp", path.to_str().expect("UTF-8"), "--seccomp-trace"];
        let ran = run_probe(&options, &["nest"]).succeeds();
        assert_eq!(told(&ran), [format!("  unshare  kill          {}, once", std::env::consts::ARCH)]);
    }

    fn the_report_has_number_arguments_and_count() needs [Box, Seccomp] {
        let directory = files::directory();
        let path = directory.path().join("report");
        let report = format!("--report={}", path.display());
        run_probe(&[&report, "--seccomp-trace"], &["nest"]).succeeds();
        let report: Value = serde_json::from_slice(&fs::read(path).expect("a report")).expect("JSON");
        let call = &report["seccomp_refused"][0];
        assert_eq!(call["name"], "unshare", "{report}");
        assert_eq!(call["number"], libc::SYS_unshare, "{report}");
        assert_eq!(call["args"][0], libc::CLONE_NEWUSER, "{report}");
        assert_eq!(call["answer"], "EPERM", "{report}");
        assert_eq!(call["times"], 1, "{report}");
    }

    fn a_box_that_is_not_traced_reports_nothing_of_it() needs [Box, Seccomp] {
        let directory = files::directory();
        let path = directory.path().join("report");
        run_probe(&[&format!("--report={}", path.display())], &["pid"]).succeeds();
        let report: Value = serde_json::from_slice(&fs::read(path).expect("a report")).expect("JSON");
        assert!(report.get("seccomp_refused").is_none(), "{report}");
    }

    fn whoever_waits_by_the_library_answers() needs [Box, Seccomp] {
        let mut command = Command::new(probe::path());
        command.args(["__probe", "nest"]).stdout(clonebox::Stdio::null()).seccomp_trace(true);
        let mut child = command.spawn().expect("a box");
        assert!(child.wait().expect("an end").success());
        let refused = child.refused().expect("a trace");
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert_eq!((refused[0].errno(), refused[0].times), (Some(libc::EPERM), 1));
        let mut child = command.spawn().expect("a box");
        while child.try_wait().expect("a child").is_none() {
            std::thread::yield_now();
        }
        assert_eq!(child.refused().map(|refused| refused.len()), Some(1));
        assert_eq!(command.stdout(clonebox::Stdio::piped()).output().expect("a box").stdout, b"fine\n");
    }

    fn a_trace_inside_of_a_trace_is_told_why_it_is_none() needs [Userns, Seccomp] {
        let clonebox = binary();
        let clonebox = clonebox.to_str().expect("UTF-8");
        let outer = ["--pid", "host", "--userns", "auto", "--seccomp-trace", "--", clonebox];
        let ran = run([&outer[..], &["--pid", "host", "--seccomp-trace", "--", "/bin/true"]].concat()).exits_with(125);
        let stderr = ran.stderr();
        assert!(stderr.contains("cannot install the seccomp filter: Device or resource busy (EBUSY)"), "{stderr}");
        assert!(stderr.contains("hint         a filter above this process has a listener"), "{stderr}");
        assert!(stderr.contains("\n  clone"), "{stderr}");
    }

    fn a_box_of_a_pool_is_traced() needs [Box, Seccomp, Execveat] {
        let mut command = Command::new(probe::path());
        command.args(["__probe", "nest"]).stdout(clonebox::Stdio::piped()).seccomp_trace(true);
        let template = command.prepare().expect("a template");
        let pool = Pool::new(&template, 1).expect("a pool");
        for _ in 0..2 {
            let mut child = pool.spawn().expect("a box");
            assert!(child.wait().expect("an end").success());
            let refused = child.refused().expect("a trace");
            assert_eq!(refused.iter().map(|call| &*call.name).collect::<Vec<_>>(), ["unshare"]);
        }
    }

    fn a_time_limit_ends_a_box_that_is_traced() needs [Box, Seccomp] {
        let ran = run_probe(&["--seccomp-trace", "--timeout", "100ms"], &["stay"]).exits_with(124);
        assert_eq!(ran.stderr(), NOTHING);
    }

    fn a_box_in_the_background_is_traced() needs [Box, Seccomp] {
        let directory = files::directory();
        let path = directory.path().join("report");
        let state = State::new();
        let options = ["--detach", "--report", path.to_str().expect("UTF-8"), "--seccomp-trace"];
        state.clonebox().args(options).probe(["nest"]).run().succeeds();
        assert!(eventually(|| fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))));
        let report: Value = serde_json::from_slice(&fs::read(path).expect("a report")).expect("JSON");
        assert_eq!(report["seccomp_refused"][0]["name"], "unshare", "{report}");
        let ran = run(["--detach=bare", "--seccomp-trace", "--", "/bin/true"]).exits_with(125);
        let told = "with --detach=bare nobody is there to answer; --detach keeps a process that is";
        assert_eq!(ran.stderr(), format!("clonebox: --seccomp-trace: {told}\n"));
    }

    fn what_cannot_be_traced_is_told() needs [Box] {
        refused(&["--seccomp", "off"], "--seccomp-trace: there is no filter to trace");
        refused(
            &["--allow-new-privs"],
            "--seccomp-trace: without no_new_privs the filter comes before steps that nobody could answer for",
        );
        let directory = files::directory();
        let write = |name: &str, bytes: &[u8]| {
            let path = files::write(directory.path(), name, "644", bytes);
            path.to_str().expect("UTF-8").to_owned()
        };
        // BPF_RET|BPF_A, after a load of SECCOMP_RET_ALLOW.
        let mut computed = vec![0, 0, 0, 0];
        computed.extend(libc::SECCOMP_RET_ALLOW.to_ne_bytes());
        computed.extend([0x16, 0, 0, 0, 0, 0, 0, 0]);
        refused(
            &["--seccomp", &write("computed.bpf", &computed)],
            "--seccomp-trace: the program computes its answer (BPF_RET|BPF_A), which cannot be made a question",
        );
        let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["sendmsg"], "action": "SCMP_ACT_ERRNO"}]}"#;
        let path = write("profile", profile.as_bytes());
        refused(
            &["--seccomp", &path],
            "--seccomp-trace: the filter forbids sendmsg(2), by which the launcher gets its listener",
        );
    }
}
