//! User and group ids, as root and as anybody else.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{getegid, geteuid};

use crate::support::clonebox::{Clonebox, run};
use crate::support::files::{self, Public};
use crate::support::status::Status;
use crate::support::{binary, run_probe, tests};

/// The status of a box with these options, started without one's own path to this binary.
#[track_caller]
fn status(options: &[&str]) -> Status {
    let public = Public::new();
    let words = ["--", public.path(), "__probe", "cat", "/proc/self/status"];
    Status::printed(run(options.iter().chain(&words)).succeeds().stdout())
}

/// The supplementary groups of a box with these options, whose caller has some.
#[track_caller]
fn groups(options: &[&str]) -> Vec<String> {
    let public = Public::new();
    let output = std::process::Command::new(public.path())
        .args(["__probe", "with-groups"])
        .arg(binary())
        .args(options)
        .args(["--", public.path(), "__probe", "cat", "/proc/self/status"])
        .output()
        .expect("this binary");
    let status = Status::printed(String::from_utf8(output.stdout).expect("UTF-8"));
    status
        .words("Groups")
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn runs_as(status: &Status, uid: &str, gid: &str) {
    assert_eq!(
        (status.words("Uid"), status.words("Gid")),
        (vec![uid; 4], vec![gid; 4])
    );
}

tests! {
    fn root_stays_root() needs [Root] {
        runs_as(&Status::in_a_box(&[]), "0", "0");
    }

    fn root_without_being_asked_gets_no_user_namespace() needs [Root] {
        let link = run_probe(&[], &["links", "/proc/self/ns/user"]).succeeds().stdout();
        assert_eq!(link.trim_end(), fs::read_link("/proc/self/ns/user").expect("a link").as_os_str());
    }

    fn root_runs_a_program_as_another_user_and_group() needs [Root] {
        runs_as(&status(&["--user", "1234:567"]), "1234", "567");
    }

    fn a_user_without_a_group_has_the_group_0() needs [Root] {
        runs_as(&status(&["-u", "1234"]), "1234", "0");
    }

    fn another_user_has_no_capabilities() needs [Root] {
        let status = status(&["-u", "1234"]);
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(status.set(set), 0, "{set}");
        }
    }

    fn supplementary_groups_of_the_caller_are_dropped() needs [Root] {
        assert!(groups(&[]).is_empty());
    }

    fn another_user_has_no_supplementary_groups() needs [Root] {
        assert!(groups(&["-u", "1234"]).is_empty());
    }

    fn a_caller_who_may_not_drop_its_groups_keeps_them() needs [Root, Userns] {
        // In a user namespace that was made without privileges.
        let clonebox = binary();
        let inner = clonebox.to_str().expect("UTF-8");
        let public = Public::new();
        let options = ["--userns", "auto", "--cap-add", "SYS_ADMIN", "--", inner];
        let output = std::process::Command::new(public.path())
            .args(["__probe", "with-groups"])
            .arg(&clonebox)
            .args(options)
            .args(["--", public.path(), "__probe", "pid"])
            .output()
            .expect("this binary");
        assert_eq!(output.stdout, b"1\n", "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn an_ordinary_user_is_root_in_the_box() needs [NotRoot, Box] {
        runs_as(&Status::in_a_box(&[]), "0", "0");
    }

    fn a_user_namespace_maps_its_caller_to_root_and_nobody_else() needs [Userns] {
        let words = |file: &str| {
            let text = run_probe(&["--userns", "auto"], &["cat", file]).succeeds().stdout();
            text.split_whitespace().map(str::to_owned).collect::<Vec<String>>()
        };
        assert_eq!(words("/proc/self/uid_map"), ["0", &geteuid().to_string(), "1"]);
        assert_eq!(words("/proc/self/gid_map"), ["0", &getegid().to_string(), "1"]);
    }

    fn a_user_namespace_gives_up_setgroups() needs [Userns] {
        run_probe(&["--userns", "auto"], &["cat", "/proc/self/setgroups"]).prints("deny\n");
    }

    fn a_user_namespace_maps_its_caller_to_whom_is_asked_for() needs [Userns] {
        runs_as(&Status::in_a_box(&["--userns", "auto", "-u", "1234:567"]), "1234", "567");
    }

    fn another_user_in_a_user_namespace_has_no_capabilities() needs [Userns] {
        let status = Status::in_a_box(&["--userns", "auto", "-u", "1234"]);
        assert_eq!((status.set("CapPrm"), status.set("CapEff")), (0, 0));
    }

    fn what_root_of_a_user_namespace_writes_belongs_to_its_caller() needs [Userns] {
        let directory = files::directory();
        let path = directory.path().join("file");
        let name = path.to_str().expect("UTF-8");
        run_probe(&["--userns", "auto"], &["write", name, "644"]).succeeds();
        assert_eq!(path.metadata().expect("a file").uid(), geteuid().as_raw());
    }

    fn without_the_right_to_make_namespaces_the_way_out_is_named() needs [Userns] {
        // The program of a box has no CAP_SYS_ADMIN, whoever started it.
        Clonebox::new()
            .args(["--"])
            .args([binary()])
            .args(["--userns", "host", "--", "/bin/true"])
            .run()
            .exits_with(125)
            .complains("clonebox: cannot make the box's namespaces (mount, uts, pid): ")
            .complains("Operation not permitted (EPERM)\n")
            .complains("this process has no CAP_SYS_ADMIN: run with sudo, or leave out --userns host");
    }

    fn a_user_is_a_number() needs [] {
        run(["--user", "nobody", "--", "/bin/true"])
            .exits_with(125)
            .complains("clonebox: --user nobody: expected UID or UID:GID, numbers from 0 to 4294967294\n");
    }
}
