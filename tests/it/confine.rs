//! The smaller walls: what is covered in /proc and /sys, docker's words for that, user namespaces inside.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::support::clonebox::{run, run_probe};
use crate::support::rootfs::Root;
use crate::support::state::State;
use crate::support::status::Status;
use crate::support::{Clonebox, alone, files, probe, tests};

tests! {
    fn what_is_covered_can_be_left_as_it_is() needs [Root] {
        let root = Root::new();
        let writable = |options: &[&str]| {
            let table = root.run(options, &["cat", "/proc/self/mounts"]).succeeds().stdout();
            let mut places: Vec<&str> = table.lines().filter_map(|line| line.split(' ').nth(1)).collect();
            places.retain(|place| place.starts_with("/proc/"));
            places.join(" ").to_owned()
        };
        let covered = writable(&[]);
        assert!(covered.contains("/proc/sys") && covered.contains("/proc/timer_list"), "{covered}");
        for word in ["systempaths=unconfined", "unmask=ALL", "unmask=/proc"] {
            assert_eq!(writable(&["--security-opt", word]), "", "{word}");
        }
        let less = writable(&["--security-opt", "unmask=/proc/timer_list:/proc/sys"]);
        assert!(!less.contains("/proc/sys ") && !less.contains("/proc/timer_list"), "{less}");
        assert!(less.contains("/proc/bus"), "{less}");
    }

    fn more_can_be_covered() needs [Box] {
        let root = Root::new();
        let host = fs::read_to_string("/proc/version").expect("/proc");
        root.run(&[], &["cat", "/proc/version"]).succeeds().prints(&host);
        let options = ["--security-opt", "mask=/proc/version:/proc/tty", "--security-opt", "mask=/sys/class/net"];
        root.run(&options, &["cat", "/proc/version"]).succeeds().prints("");
        root.run(&options, &["list", "/proc/tty"]).succeeds().prints("");
        root.run(&options, &["list", "/sys/class/net"]).succeeds().prints("");
        root.run(&["--security-opt", "mask=/proc/nothing"], &["exit", "0"])
            .exits_with(125)
            .complains("cannot cover /proc/nothing: No such file or directory (ENOENT)\n")
            .complains("--security-opt mask=/proc/nothing\n");
    }

    fn dockers_words_have_their_meaning_or_are_refused() needs [Box] {
        let privs = |word: &str| Status::in_a_box(&["--security-opt", word]).words("NoNewPrivs").join(" ");
        let own = Status::own().words("NoNewPrivs").join(" ");
        for word in ["no-new-privileges", "no-new-privileges=true", "no-new-privileges:true"] {
            assert_eq!(privs(word), "1", "{word}");
        }
        assert_eq!(privs("no-new-privileges=false"), own);
        for word in ["apparmor=unconfined", "label=disable", "label:disable"] {
            run(["--security-opt", word, "--", "/bin/true"]).succeeds();
        }
    }

    fn words_without_a_meaning_here_are_refused() needs [] {
        for (word, reason) in [
            ("apparmor=docker-default", "clonebox sets no AppArmor profile; the box has the caller's\n"),
            ("label=type:svirt_t", "clonebox sets no SELinux label; the box has the caller's\n"),
            ("systempaths=confined", "expected unconfined\n"),
            ("no-new-privileges=yes", "expected true or false\n"),
            ("proc-opts=hidepid=2", "expected no-new-privileges[=false], "),
            ("mask=proc", "\"proc\" is no absolute path\n"),
            ("mask=/etc", "\"/etc\" is not below /proc or /sys: cover other paths with a mount\n"),
            ("mask=/proc/../etc", "\"/proc/../etc\" is not below /proc or /sys: "),
            ("unmask=ALL", "this is about a root filesystem of the box's own, and there is none\n"),
        ] {
            run(["--security-opt", word, "--", "/bin/true"])
                .exits_with(125)
                .complains(&format!("clonebox: --security-opt {word}: {reason}"));
        }
        run(["--allow-new-privs", "--security-opt", "no-new-privileges", "--", "/bin/true"])
            .exits_with(125)
            .complains("--security-opt no-new-privileges: this is not what --allow-new-privs says\n");
    }

    fn user_namespaces_can_be_made_inside_unless_that_is_turned_off() needs [Userns] {
        run_probe(&["--userns", "auto", "--seccomp", "off"], &["nest"]).succeeds().prints("fine\n");
        run_probe(&["--userns", "auto", "--disable-userns", "--seccomp", "off"], &["nest"]).succeeds().prints("ENOSPC\n");
        let file = "/proc/sys/user/max_user_namespaces";
        run_probe(&["--userns", "auto", "--disable-userns"], &["cat", file]).succeeds().prints("0\n");
        run_probe(&["--userns", "auto", "--disable-userns"], &["try", file]).succeeds().prints("EACCES\n");
        let host = fs::read_to_string(file).expect("/proc");
        assert_ne!(host.trim(), "0", "the host's is as it was");
    }

    fn they_can_be_turned_off_in_a_root_filesystem() needs [Userns, Execveat] {
        let root = Root::new();
        let [uids, gids] = alone();
        root.run(&[uids, gids, "--seccomp", "off"], &["nest"]).succeeds().prints("fine\n");
        root.run(&[uids, gids, "--disable-userns", "--seccomp", "off"], &["nest"]).succeeds().prints("ENOSPC\n");
    }

    fn they_are_not_turned_off_where_that_would_not_hold() needs [Userns] {
        run(["--userns=host", "--disable-userns", "--", "/bin/true"])
            .exits_with(125)
            .complains("--disable-userns: the kernel forbids user namespaces in a user namespace of the box's own");
        run(["--userns=auto", "--disable-userns", "--cap-add=SYS_RESOURCE", "--", "/bin/true"])
            .exits_with(125)
            .complains("--disable-userns: with CAP_SYS_RESOURCE the box could allow them again: drop it\n");
    }

    fn what_is_executed_is_dumpable_again() needs [Box] {
        let program = probe::path();
        run_probe(&[], &["without-dumpable", &program, "__probe", "dumpable"]).succeeds().prints("1\n");
    }

    fn a_program_that_its_user_cannot_read_is_not_dumpable_and_not_looked_into() needs [Root] {
        let directory = files::directory();
        let bytes = fs::read(probe::path()).expect("this binary");
        let copy = files::executable(directory.path(), "it", bytes);
        let program = copy.to_str().expect("UTF-8");
        for (mode, is_dumpable, looked) in [(0o755, true, "fine"), (0o111, false, "EACCES")] {
            fs::set_permissions(&copy, Permissions::from_mode(mode)).expect("ours");
            let dumpable = |options: &[&str]| {
                let ran = Clonebox::new().args(options).args(["--", program, "__probe", "dumpable"]).run();
                ran.succeeds().stdout() == "1\n"
            };
            assert_eq!(dumpable(&["-u", "1234:1234"]), is_dumpable, "{mode:o}");
            assert_eq!(dumpable(&["--cap-drop", "DAC_OVERRIDE"]), is_dumpable, "{mode:o}");
            assert!(dumpable(&[]), "root passes over permissions");
            let state = State::new();
            let user = ["-u", "1234:1234", "--pid", "host"];
            let web = [&["-d", "--name", "web"], &user[..], &["--", program, "__probe", "stay"]].concat();
            state.run(&web).succeeds();
            let pid = state.pid("web").to_string();
            let said = run_probe(&user, &["trace", &pid, "/"]).succeeds().stdout();
            state.run(&["rm", "-f", "web"]).succeeds();
            assert_eq!(said.lines().nth(1), Some(looked), "{mode:o}: {said}");
        }
    }
}
