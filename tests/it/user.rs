//! User and group ids, as root and as anybody else.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use nix::unistd::{getegid, geteuid};

use crate::support::clonebox::{Clonebox, run};
use crate::support::files::{self, Public};
use crate::support::rootfs::Root;
use crate::support::status::Status;
use crate::support::{alone, binary, run_probe, tests};

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

    fn an_ordinary_user_is_root_in_the_box_and_alone() needs [NotRoot, Box] {
        runs_as(&Status::in_a_box(&[]), "0", "0");
        let map = run_probe(&[], &["cat", "/proc/self/uid_map"]).succeeds().stdout();
        let words: Vec<&str> = map.split_whitespace().collect();
        assert_eq!(words, ["0", &geteuid().to_string(), "1"]);
    }

    fn a_user_namespace_with_one_id_maps_its_caller_to_root_and_nobody_else() needs [Userns] {
        let words = |file: &str| {
            let text = run_probe(&alone(), &["cat", file]).succeeds().stdout();
            text.split_whitespace().map(str::to_owned).collect::<Vec<String>>()
        };
        assert_eq!(words("/proc/self/uid_map"), ["0", &geteuid().to_string(), "1"]);
        assert_eq!(words("/proc/self/gid_map"), ["0", &getegid().to_string(), "1"]);
    }

    fn a_user_namespace_with_one_id_gives_up_setgroups() needs [Userns] {
        run_probe(&alone(), &["cat", "/proc/self/setgroups"]).prints("deny\n");
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
        run_probe(&alone(), &["write", name, "644"]).succeeds();
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

    fn a_user_by_name_has_the_groups_and_the_home_of_the_roots_own_files() needs [Root] {
        let root = with_users();
        for user in ["web", "33"] {
            let status = root.run(&["-u", user], &["cat", "/proc/self/status"]).succeeds().stdout();
            let status = Status::printed(status);
            runs_as(&status, "33", "44");
            assert_eq!(status.words("Groups"), ["7", "9"]);
            let environment = root.run(&["-u", user], &["env"]).succeeds().stdout();
            assert!(environment.lines().any(|line| line == "HOME=/srv/web"), "{environment}");
        }
        let environment = root.run(&["-u", "web", "-e", "HOME=/own"], &["env"]).succeeds().stdout();
        assert!(environment.lines().any(|line| line == "HOME=/own"), "{environment}");
    }

    fn a_group_by_name_is_the_only_one() needs [Root] {
        let root = with_users();
        for (user, uid, gid) in [("web:staff", "33", "9"), ("33:12", "33", "12"), ("77:staff", "77", "9"), ("77", "77", "0")] {
            let status = Status::printed(root.run(&["-u", user], &["cat", "/proc/self/status"]).succeeds().stdout());
            runs_as(&status, uid, gid);
            assert_eq!(status.words("Groups"), Vec::<&str>::new(), "{user}");
        }
    }

    fn a_user_by_name_works_in_a_user_namespace() needs [Userns] {
        let root = with_users();
        let options = [format!("--uidmap=33:{}:1", geteuid()), format!("--gidmap=44:{}:1", getegid())];
        let status = root.run(&[&options[0], &options[1], "-u", "web"], &["cat", "/proc/self/status"]).succeeds();
        runs_as(&Status::printed(status.stdout()), "33", "44");
    }

    fn a_user_who_is_not_there_is_an_error() needs [] {
        let root = with_users();
        for (user, complaint) in [
            ("nobdy", "there is no user \"nobdy\" in /etc/passwd"),
            ("web:wheel", "there is no group \"wheel\" in /etc/group"),
            ("broken", "line 3 of /etc/passwd is malformed"),
            ("huge", "line 4 of /etc/passwd is malformed"),
            ("4294967295", "expected USER or USER:GROUP"),
            ("-1", "expected USER or USER:GROUP"),
            ("web:", "expected USER or USER:GROUP"),
        ] {
            let option = format!("--user={user}");
            let ran = run(["--rootfs", root.text(), &option, "--", "/it"]).exits_with(125);
            assert!(ran.stderr().contains(complaint), "{user}: {}", ran.stderr());
        }
    }

    // CVE-2019-14271 and its kin: what is looked up is in the root, or nowhere.
    fn a_user_is_not_looked_up_outside_of_the_root() needs [] {
        let root = Root::new();
        fs::create_dir(root.path().join("etc")).expect("a directory of ours");
        let passwd = root.path().join("etc/passwd");
        for target in ["/etc/passwd.of.nobody", "../../../../../../../etc/passwd", "/proc/self/cwd/etc/passwd"] {
            symlink(target, &passwd).expect("a directory of ours");
            let ran = run(["--rootfs", root.text(), "-u", "root", "--", "/it"]).exits_with(125);
            assert!(ran.stderr().contains("--user root: "), "{}", ran.stderr());
            fs::remove_file(&passwd).expect("a link of ours");
        }
        // Nobody waits for a pipe, and nobody reads a device.
        nix::unistd::mkfifo(&passwd, nix::sys::stat::Mode::from_bits_truncate(0o644)).expect("a directory of ours");
        let ran = run(["--rootfs", root.text(), "-u", "root", "--", "/it"]).exits_with(125);
        assert!(ran.stderr().contains("it is no file"), "{}", ran.stderr());
    }

    fn a_user_by_name_without_a_root_filesystem_is_the_callers() needs [Root] {
        let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        let Some(line) = passwd.lines().find(|line| line.split(':').nth(2).is_some_and(|uid| uid != "0")) else {
            return;
        };
        let fields: Vec<&str> = line.split(':').collect();
        runs_as(&status(&["-u", fields[0]]), fields[2], fields[3]);
    }
}

/// A root filesystem with a few users, some of whom are none.
fn with_users() -> Root {
    let root = Root::new();
    fs::create_dir(root.path().join("etc")).expect("a directory of ours");
    let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:,,:/srv/web:/bin/false\nbroken:x:5\n\
        huge:x:4294967296:0::/:\n";
    let group = "adm:x:7:web\nstaff:x:9:root,web\nother:x:11:webber\n";
    fs::write(root.path().join("etc/passwd"), passwd).expect("a directory of ours");
    fs::write(root.path().join("etc/group"), group).expect("a directory of ours");
    root
}
