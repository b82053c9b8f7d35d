//! A root filesystem of the box's own: what is in it, and that nothing else is.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::support::alone;
use crate::support::clonebox::{Clonebox, run};
use crate::support::files::{self, Public};
use crate::support::pty::{Change, Terminal};
use crate::support::rootfs::{Root, contents};
use crate::support::seccomp;
use crate::support::tests;

/// The lines of the mount table in a box with these options: where each is, and what it is.
#[track_caller]
fn mounts(root: &Root, options: &[&str]) -> Vec<(String, String)> {
    let table = root.run(options, &["cat", "/proc/self/mounts"]);
    let table = table.succeeds().stdout();
    table
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[1].to_owned(), words[2].to_owned())
        })
        .collect()
}

tests! {
    fn the_root_is_the_directory_and_nothing_leads_out_of_it() needs [Box] {
        let root = Root::new();
        fs::write(root.path().join("here"), "").expect("a directory of ours");
        root.run(&[], &["list", "/"]).succeeds().prints("dev\nhere\nit\nproc\nsys\n");
        root.run(&[], &["root"]).succeeds().prints("true\n/\n0\n1\n2\n");
        root.run(&["-w", "/dev"], &["root"]).succeeds().prints("true\n/dev\n0\n1\n2\n");
    }

    fn no_mount_of_the_host_is_left() needs [Box] {
        let root = Root::new();
        let targets = mounts(&root, &["--net", "none"]);
        let expected = ["/", "/proc", "/sys", "/dev", "/it"];
        for (target, kind) in &targets {
            let inside = expected.iter().any(|place| {
                target == place || (*place != "/" && target.starts_with(&format!("{place}/")))
            });
            assert!(inside, "{target} ({kind}) is mounted");
        }
        assert_eq!(targets[0].0, "/");
        assert_eq!(targets.iter().filter(|(target, _)| target == "/").count(), 1, "{targets:#?}");
    }

    fn its_mounts_are_the_same_where_open_tree_makes_no_namespaces() needs [Root, Seccomp, OpenTreeNamespace] {
        let (root, upper, data) = (Root::new(), files::directory(), files::directory());
        let (upper, data) = (upper.path().display().to_string(), format!("{}:/data:ro", data.path().display()));
        let (program, path) = (root.program(), root.text());
        for options in [
            &["--rootfs", path][..],
            &["--rootfs-overlay", path],
            &["--rootfs-overlay", path, "--upper", &upper, "--read-only"],
            &["--rootfs", "system", "--tmpfs", "/below"],
        ] {
            let run = |change: fn(&mut std::process::Command), more: &[&str]| {
                let mut command = std::process::Command::new(crate::support::binary());
                change(&mut command);
                let all = Clonebox::of(command).args(more).args(["-v", &data, "-v", &program]).args(options);
                all.args(["--", "/it", "__probe", "cat", "/proc/self/mounts"]).run().succeeds().stdout()
            };
            // An upper layer has an identifier of its own from its first use on.
            let table = |change| {
                let table = run(change, &[]);
                let mut lines: Vec<String> = table.lines().map(|line| line.replace(",uuid=on", "")).collect();
                lines.sort_unstable();
                lines
            };
            let old: fn(&mut std::process::Command) = seccomp::refuse_new_namespaces_to;
            assert_eq!(table(|_| ()), table(old), "{options:?}");
            let plans = [run(|_| (), &["--explain"]), run(old, &["--explain"])];
            let begins = plans.each_ref().map(|plan| plan.contains("OPEN_TREE_NAMESPACE"));
            let copies = plans.each_ref().map(|plan| plan.contains("|CLONE_NEWNS|"));
            assert_eq!((begins, copies), ([true, false], [false, true]), "{plans:#?}");
        }
    }

    fn what_a_box_mounts_does_not_spread_through_a_root_that_is_shared() needs [Root] {
        let (root, upper, data) = (Root::new(), files::directory(), files::directory());
        let upper = upper.path().display().to_string();
        let data = format!("{}:/data", data.path().display());
        for options in [
            &["--rootfs", root.text()][..],
            &["--rootfs-overlay", root.text()],
            &["--rootfs-overlay", root.text(), "--upper", &upper],
        ] {
            let mut command = std::process::Command::new("/bin/sh");
            let script = "cat /proc/self/mountinfo && \"$@\" && echo and then && cat /proc/self/mountinfo";
            let all_shared = || {
                // SAFETY: the call takes a number.
                Errno::result(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
                let none = None::<&str>;
                for flag in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED] {
                    mount(none, "/", none, flag | MsFlags::MS_REC, none)?;
                }
                Ok(())
            };
            // SAFETY: only system calls are made between fork(2) and execve(2).
            unsafe { command.pre_exec(all_shared) };
            command.args(["-c", script, "sh"]).arg(crate::support::binary()).args(options);
            command.args(["-v", &root.program(), "-v", &data, "--tmpfs", "/data", "--", "/it", "__probe", "exit", "0"]);
            let table = Clonebox::of(command).run().succeeds().stdout();
            let (before, after) = table.split_once("and then\n").expect("both");
            assert_eq!(before, after, "{options:?}");
        }
    }

    fn a_root_filesystem_gets_its_mount_points_and_nothing_else() needs [Box] {
        let root = Root::new();
        let before = fs::read_to_string("/proc/self/mountinfo").expect("/proc");
        root.run(&[], &["exit", "0"]).succeeds();
        let modes: Vec<String> = root.contents();
        assert_eq!(modes, ["dev 40755 ", "it 100644 ", "proc 40755 ", "sys 40755 "]);
        // Other programs may mount something meanwhile, but not there.
        let after = fs::read_to_string("/proc/self/mountinfo").expect("/proc");
        assert!(!after.contains(root.text()), "{after}");
        assert!(!before.contains(root.text()));
    }

    fn its_directories_have_their_modes_whatever_the_umask() needs [Box] {
        let root = Root::new();
        let clonebox = crate::support::binary();
        let script = "umask 077; exec \"$@\"";
        let program = root.program();
        let words = ["--rootfs", root.text(), "-v", &program, "--", "/it", "__probe"];
        let umask = |probe: &[&str]| {
            let mut command = std::process::Command::new("/bin/sh");
            command.args(["-c", script, "sh"]).arg(&clonebox).args(words).args(probe);
            Clonebox::of(command).run().succeeds()
        };
        umask(&["stat", "/proc", "/dev", "/dev/null", "/dev/shm"]);
        assert!(root.contents().contains(&"dev 40755 ".to_owned()), "{:?}", root.contents());
        umask(&["umask"]).prints("077\n");
    }

    fn the_devices_are_those_that_every_program_expects() needs [Root] {
        let root = Root::new();
        let expected = "/dev/null device 666 1:3 0\n/dev/zero device 666 1:5 0\n/dev/full device 666 1:7 0\n\
            /dev/random device 666 1:8 0\n/dev/urandom device 666 1:9 0\n/dev/tty device 666 5:0 0\n";
        let names = ["null", "zero", "full", "random", "urandom", "tty"].map(|name| format!("/dev/{name}"));
        let words: Vec<&str> = ["stat"].into_iter().chain(names.iter().map(String::as_str)).collect();
        root.run(&[], &words).succeeds().prints(expected);
        root.run(&[], &["list", "/dev"]).succeeds().prints(
            "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n",
        );
        root.run(&["--ipc", "private"], &["list", "/dev/mqueue"]).succeeds().prints("");
        root.run(&[], &["stat", "/dev/shm"]).succeeds().prints("/dev/shm directory 1777 0:0 0\n");
        root.run(&[], &["links", "/dev/ptmx", "/dev/fd", "/dev/stdin"]).succeeds()
            .prints("pts/ptmx\n/proc/self/fd\n/proc/self/fd/0\n");
    }

    fn devices_work_in_a_user_namespace() needs [Userns] {
        let root = Root::new();
        let options = alone();
        root.run(&options, &["stat", "/dev/null", "/dev/zero"]).succeeds();
        root.run(&options, &["try", "/dev/null", "/dev/full", "/dev/zero"]).succeeds().prints("made\nENOSPC\nmade\n");
        root.run(&options, &["list", "/dev/pts"]).succeeds().prints("ptmx\n");
    }

    fn the_devices_of_the_host_or_none_are_there_if_asked_for() needs [Root, Execveat] {
        let root = Root::new();
        root.run(&["--dev", "none"], &["list", "/dev"]).exits_with(101);
        fs::create_dir(root.path().join("dev")).expect("a directory of ours");
        root.run(&["--dev", "none"], &["list", "/dev"]).succeeds().prints("");
        let host: Vec<String> = contents_of("/dev");
        let inside = root.run(&["--dev", "host"], &["list", "/dev"]).succeeds().stdout();
        assert_eq!(inside.lines().collect::<Vec<_>>(), host);
    }

    fn proc_shows_the_box_and_cannot_change_the_host() needs [Box] {
        let root = Root::new();
        root.run(&[], &["pid"]).succeeds().prints("1\n");
        root.run(&[], &["links", "/proc/self"]).succeeds().prints("1\n");
        for file in ["sys/kernel/hostname", "sysrq-trigger", "irq/default_smp_affinity"] {
            let file = format!("/proc/{file}");
            if fs::metadata(&file).is_ok() {
                let answer = root.run(&[], &["try", &file]).succeeds().stdout();
                // Kernels differ in what they look at first: whose the file is, or the mount.
                assert!(["EROFS\n", "EACCES\n"].contains(&&*answer), "{file}: {answer}");
            }
        }
        for file in ["kcore", "keys", "timer_list", "latency_stats", "sched_debug", "interrupts"] {
            if fs::metadata(format!("/proc/{file}")).is_ok() {
                root.run(&[], &["cat", &format!("/proc/{file}")]).succeeds().prints("");
            }
        }
        for directory in ["acpi", "scsi", "asound"] {
            if fs::metadata(format!("/proc/{directory}")).is_ok() {
                root.run(&[], &["list", &format!("/proc/{directory}")]).succeeds().prints("");
            }
        }
    }

    fn a_root_that_comes_with_its_mounts_is_a_root_as_well() needs [Box] {
        let probe = Public::new();
        for options in [&["--pid", "private"][..], &["--pid", "host"]] {
            let words = ["--rootfs", "/", "--", probe.path(), "__probe", "try", "/sys/kernel/uevent_helper"];
            let ran = run(options.iter().chain(&words)).succeeds().stdout();
            assert!(["EROFS\n", "EACCES\n"].contains(&&*ran), "{ran}");
        }
    }

    fn without_proc_there_is_none() needs [Box, Execveat] {
        let root = Root::new();
        root.run(&["--proc", "off"], &["stat", "/proc"]).succeeds().prints("/proc ENOENT\n");
    }

    fn sys_is_read_only_and_tells_nothing_of_the_firmware() needs [Root] {
        let root = Root::new();
        root.run(&[], &["try", "/sys/kernel/uevent_helper"]).succeeds().prints("EROFS\n");
        root.run(&[], &["list", "/sys/firmware"]).succeeds().prints("");
    }

    fn what_is_written_goes_into_the_directory() needs [Box] {
        let root = Root::new();
        root.run(&[], &["try", "/kept"]).succeeds().prints("made\n");
        assert_eq!(fs::read(root.path().join("kept")).expect("it is there"), b"x");
    }

    fn a_read_only_root_has_volumes_that_are_not() needs [Box] {
        let root = Root::new();
        let volume = files::directory();
        let bind = format!("{}:/data", volume.path().display());
        root.run(&["--read-only", "-v", &bind], &["try", "/no", "/data/yes", "/dev/shm/yes"]).succeeds()
            .prints("EROFS\nmade\nmade\n");
        assert!(volume.path().join("yes").exists());
    }

    fn an_overlay_leaves_the_directory_as_it_is() needs [Root] {
        let root = Root::new();
        fs::write(root.path().join("file"), "old").expect("a directory of ours");
        let before = root.contents();
        root.run_over(&[], &["try", "/file", "/new"]).succeeds().prints("made\nmade\n");
        assert_eq!(root.contents(), before);
        root.run_over(&["--read-only"], &["try", "/new"]).succeeds().prints("EROFS\n");
        root.run_over(&[], &["stat", "/new"]).succeeds().prints("/new ENOENT\n");
    }

    fn an_upper_directory_keeps_what_was_written() needs [Root] {
        let (root, upper) = (Root::new(), files::directory());
        let options = ["--upper", upper.path().to_str().expect("UTF-8")];
        let before = root.contents();
        root.run_over(&options, &["try", "/new"]).succeeds().prints("made\n");
        root.run_over(&options, &["cat", "/new"]).succeeds().prints("x");
        assert_eq!(root.contents(), before);
        let kept = contents(&upper.path().join("upper"));
        assert!(kept.contains(&"new 100644 x".to_owned()), "{kept:#?}");
    }

    fn a_terminal_is_one_of_the_boxs_own() needs [Box, Ptmx] {
        let root = Root::new();
        let on_terminal = |words: &[&str]| {
            let mut terminal = Terminal::new();
            terminal.resize(33, 101);
            terminal.run(root.describe(&[], words));
            terminal
        };
        let mut terminal = on_terminal(&["terminal"]);
        terminal.expect("0 true /dev/pts/0\r\n");
        terminal.expect("controlling\r\n");
        terminal.expect("leads a session true\r\nin front true\r\n");
        assert_eq!(terminal.end(), Change::Exited(0));
        let mut terminal = on_terminal(&["stat", "/dev/console", "/dev/pts/0"]);
        terminal.expect("/dev/console device 620 136:0 0\r\n/dev/pts/0 device 620 136:0 0\r\n");
        assert_eq!(terminal.end(), Change::Exited(0));
        let mut terminal = on_terminal(&["size"]);
        terminal.expect("size 33 101\r\n");
        terminal.resize(20, 50);
        terminal.expect("size 20 50\r\n");
    }

    fn the_system_as_root_has_the_hosts_programs_and_what_is_mounted() needs [Box, Execveat] {
        let (directory, program) = (files::directory(), Public::new());
        files::write(directory.path(), "file", "644", "data");
        let (it, data) = (format!("{}:/it:ro", program.path()), format!("{}:/data", directory.path().display()));
        let run = |options: &[&str], words: &[&str]| {
            let always = ["--rootfs", "system", "-v", &it, "-v", &data];
            Clonebox::new().args(always).args(options).args(["--", "/it", "__probe"]).args(words).run().succeeds()
        };
        let names = run(&[], &["list", "/"]).stdout();
        let known = ["bin", "data", "dev", "etc", "it", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "sys", "usr"];
        assert!(names.lines().all(|name| known.contains(&name)), "{names}");
        run(&[], &["cat", "/data/file"]).prints("data");
        let root = run(&[], &["stat", "/"]).stdout();
        assert!(root.starts_with("/ directory 755 "), "{root}");
        run(&[], &["open", "/etc/shadow"]).prints("ENOENT\n");
        // The root is in memory, and is written to unless it is read-only; the system never is.
        run(&[], &["write", "/new", "644"]);
        assert!(!Path::new("/new").exists());
        let made = run(&["--read-only"], &["try", "/new"]).stdout();
        assert!(made.contains("EROFS"), "{made}");
        if Path::new("/etc/passwd").exists() {
            // The kernel asks for the permissions of the file first.
            let opened = run(&[], &["open-to-write", "/etc/passwd"]).stdout();
            assert!(["EROFS\n", "EACCES\n"].contains(&&*opened), "{opened}");
            // Its users are the caller's.
            let environment = run(&["-u", "root"], &["env"]).stdout();
            assert!(environment.contains("HOME=/root"), "{environment}");
        }
    }

    fn a_directory_called_system_is_one() needs [Box, Execveat] {
        let directory = files::directory();
        fs::create_dir(directory.path().join("system")).expect("ours");
        let program = format!("{}:/it:ro", Public::new().path());
        let words = ["--rootfs", "./system", "-v", &program, "--", "/it", "__probe", "open", "/usr"];
        Clonebox::new().args(words).current_dir(directory.path()).run().succeeds().prints("ENOENT\n");
    }

    fn a_root_that_is_none_is_an_error() needs [Box] {
        let missing = run(["--rootfs", "/nonexistent", "--", "/it"]).exits_with(125);
        assert!(missing.stderr().contains("cannot open the root filesystem /nonexistent: No such file"), "{}", missing.stderr());
        let file = run(["--rootfs", "/etc/passwd", "--", "/it"]).exits_with(125);
        assert!(file.stderr().contains("Not a directory"), "{}", file.stderr());
        let root = Root::new();
        run(["--rootfs", root.text(), "--", "/bin/nothing"]).exits_with(127);
        let script = root.path().join("script");
        fs::write(&script, "").expect("a directory of ours");
        run(["--rootfs", root.text(), "--", "/script"]).exits_with(126);
    }

    fn options_that_do_not_belong_together_are_refused() needs [] {
        for words in [
            &["--rootfs", "/a", "--rootfs-overlay", "/b"][..],
            &["--upper", "/a"],
            &["--rootfs", "/a", "--upper", "/b"],
            &["--read-only"],
            &["--dev", "host"],
            &["--dev", "some"],
            &["--proc", "some"],
            &["--rootfs", ""],
        ] {
            let ran = run(words.iter().chain(&["--", "true"])).exits_with(125);
            assert!(ran.stderr().lines().count() == 1 || ran.stderr().lines().count() == 2, "{}", ran.stderr());
        }
    }
}

/// The names in a directory of the host, sorted.
fn contents_of(path: &str) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    names
}
