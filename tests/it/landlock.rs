//! Landlock: what no rule allows is refused by the kernel, with root or without.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use serde_json::Value;

use crate::support::clonebox::{Clonebox, Ran, run};
use crate::support::files::{self, Public};
use crate::support::rootfs::Root;
use crate::support::{binary, probe, tests};

/// A directory with a file `a` in it, and the program, which may be executed wherever it is.
struct Place {
    directory: tempfile::TempDir,
    program: Public,
}

impl Place {
    fn new() -> Self {
        let directory = files::directory();
        fs::write(directory.path().join("a"), "text").expect("a directory of ours");
        let program = Public::new();
        Self { directory, program }
    }

    fn path(&self, name: &str) -> String {
        let path = self.directory.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Runs a probe with these options besides the rule for the program.
    fn run(&self, options: &[&str], words: &[&str]) -> Ran {
        Clonebox::new()
            .args(["--ll-exec", self.program.path()])
            .args(options)
            .args(["--", self.program.path(), "__probe"])
            .args(words)
            .run()
    }
}

tests! {
    fn without_a_rule_a_file_can_be_used() needs [Box, Landlock] {
        let place = Place::new();
        let words = ["--", place.program.path(), "__probe", "open", &place.path("a")];
        run(words).succeeds().prints("fine\n");
    }

    fn what_no_rule_names_cannot_be_used() needs [Box, Landlock] {
        let place = Place::new();
        let (file, new) = (place.path("a"), place.path("new"));
        place.run(&[], &["open", &file, &place.path(""), "/etc"]).succeeds().prints("EACCES\nEACCES\nEACCES\n");
        place.run(&[], &["try", &new]).succeeds().prints("EACCES\n");
        place.run(&[], &["truncate", &file]).succeeds().prints("EACCES\n");
    }

    fn ll_ro_reads_and_lists_and_writes_nothing() needs [Box, Landlock] {
        let place = Place::new();
        let (file, all) = (place.path("a"), place.path(""));
        let options = ["--ll-ro", &all];
        place.run(&options, &["cat", &file]).succeeds().prints("text");
        place.run(&options, &["list", &all]).succeeds().prints("a\n");
        place.run(&options, &["try", &file, &place.path("new")]).succeeds().prints("EACCES\nEACCES\n");
        place.run(&options, &["truncate", &file]).succeeds().prints("EACCES\n");
        place.run(&options, &["rename", &file, &place.path("b")]).succeeds().prints("EACCES\n");
        place.run(&options, &["execute", &file]).succeeds().prints("EACCES\n");
    }

    fn ll_rw_does_everything_but_execute() needs [Box, Landlock] {
        let place = Place::new();
        let (file, all) = (place.path("a"), place.path(""));
        fs::create_dir(place.path("sub")).expect("a directory of ours");
        let program = files::executable(place.directory.path(), "program", fs::read(probe::path()).expect("this"));
        let program = program.to_str().expect("UTF-8");
        let options = ["--ll-rw", &all];
        place.run(&options, &["cat", &file]).succeeds().prints("text");
        place.run(&options, &["try", &file, &place.path("new")]).succeeds().prints("made\nmade\n");
        place.run(&options, &["truncate", &file]).succeeds().prints("fine\n");
        place.run(&options, &["rename", &file, &place.path("sub/b")]).succeeds().prints("fine\n");
        let words = ["execute", program, "__probe", "exit", "0"];
        place.run(&options, &words).succeeds().prints("EACCES\n");
        place.run(&["--ll-rw", &all, "--ll-exec", program], &words).succeeds().prints("fine\n");
    }

    fn a_rule_may_name_a_file_alone() needs [Box, Landlock] {
        let place = Place::new();
        let file = place.path("a");
        place.run(&["--ll-ro", &file], &["cat", &file]).succeeds().prints("text");
        place.run(&["--ll-ro", &file], &["open", &place.path("")]).succeeds().prints("EACCES\n");
        place.run(&["--ll-rw", &file], &["truncate", &file]).succeeds().prints("fine\n");
    }

    fn a_path_may_be_relative_to_the_callers_directory() needs [Box, Landlock] {
        let place = Place::new();
        let clonebox = Clonebox::new().current_dir(place.directory.path());
        let words = ["-w", "/", "--ll-ro", ".", "--ll-exec", place.program.path(), "--", place.program.path(), "__probe"];
        clonebox.args(words).args(["cat", &place.path("a")]).run().succeeds().prints("text");
    }

    fn the_null_device_and_its_like_need_no_rule() needs [Box, Landlock] {
        let place = Place::new();
        let words = ["try", "/dev/null", "/dev/zero"];
        place.run(&[], &words).succeeds().prints("made\nmade\n");
        place.run(&[], &["open", "/dev/urandom", "/dev"]).succeeds().prints("fine\nEACCES\n");
    }

    fn rules_hold_for_another_user_and_without_no_new_privs() needs [Root, Landlock] {
        let place = Place::new();
        let all = place.path("");
        fs::set_permissions(&all, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
        for options in [&["-u", "1234:1234"][..], &["--allow-new-privs"]] {
            let options = [&["--ll-ro", &all], options].concat();
            place.run(&options, &["open", &place.path("a"), "/etc/passwd"]).succeeds().prints("fine\nEACCES\n");
        }
    }

    fn rules_hold_behind_an_init() needs [Box, Landlock] {
        let place = Place::new();
        let options = ["--init", "--ll-ro", &place.path("")];
        place.run(&options, &["open", &place.path("a"), "/etc"]).succeeds().prints("fine\nEACCES\n");
    }

    fn in_a_root_filesystem_rules_name_what_the_box_sees() needs [Box, Landlock, Execveat] {
        let root = Root::new();
        fs::write(root.path().join("a"), "text").expect("a directory of ours");
        let place = Place::new();
        let volume = format!("{}:/data", place.path(""));
        let options = ["-v", &volume, "--ll-exec", "/it", "--ll-ro", "/data"];
        root.run(&options, &["open", "/data/a", "/a", "/", "/dev/null"])
            .succeeds()
            .prints("fine\nEACCES\nEACCES\nfine\n");
        let options = ["--ll-exec", "/it", "--ll-ro", "a"];
        root.run(&options, &["open", "/a"])
            .exits_with(125)
            .complains("--ll-ro a: a path in a root filesystem of the box's own begins with /\n");
    }

    fn a_command_that_no_rule_lets_run_says_which_rule_would() needs [Box, Landlock] {
        let place = Place::new();
        let program = place.program.path();
        let directory = std::path::Path::new(program).parent().expect("a path").display();
        run(["--ll-ro", "/", "--", program])
            .exits_with(126)
            .complains(&format!("clonebox: cannot execute {program}: Permission denied (EACCES)\n"))
            .complains(&format!("no Landlock rule lets {program} be executed: add --ll-exec {directory}\n"));
        let root = Root::new();
        root.run(&["--ll-ro", "/"], &["exit", "0"])
            .exits_with(126)
            .complains("hint         Landlock lets no file be executed: add --ll-exec");
        // Without a rule for files nothing of that is the reason.
        let file = files::write(place.directory.path(), "script", "644", "#!/bin/sh\n");
        run([file.to_str().expect("UTF-8")]).exits_with(126).says_nothing_of("Landlock");
        place.run(&["--ll-ro", "/nonexistent"], &[]).exits_with(125)
            .complains("cannot open /nonexistent for a Landlock rule: No such file or directory (ENOENT)\n")
            .complains("--ll-ro /nonexistent\n");
    }

    fn tcp_ports_are_those_allowed() needs [Box, Landlock] {
        let place = Place::new();
        let words = |word: &str, port: &TcpListener| [String::from(word), port.local_addr().expect("bound").port().to_string()];
        let [one, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("an address"));
        let probe = |options: &[&str], words: [String; 2]| {
            Clonebox::new().args(options).args(["--", place.program.path(), "__probe"]).args(words).run().succeeds()
        };
        let allowed = words("connect", &one);
        let options = ["--ll-connect", &allowed[1]];
        probe(&options, allowed.clone()).prints("fine\n");
        probe(&options, words("connect", &other)).prints("EACCES\n");
        probe(&[], words("connect", &other)).prints("fine\n");
        // Of what has no rule nothing is said: any port, any file.
        probe(&options, ["bind", "0"].map(str::to_owned)).prints("fine\n");
        probe(&options, ["open", "/etc"].map(str::to_owned)).prints("fine\n");
        probe(&["--ll-bind", "1"], ["bind", "0"].map(str::to_owned)).prints("EACCES\n");
        probe(&["--ll-bind", "0"], ["bind", "0"].map(str::to_owned)).prints("fine\n");
    }

    fn nobody_outside_is_reached_by_a_signal_or_an_abstract_socket() needs [Box, Landlock] {
        let place = Place::new();
        let name = format!("clonebox-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let _listener = UnixListener::bind_addr(&address).expect("nobody has the name");
        let own = std::process::id().to_string();
        let outside = |options: &[&str], words: &[&str]| {
            let options = [&["--pid", "host"], options].concat();
            Clonebox::new().args(options).args(["--", place.program.path(), "__probe"]).args(words).run().succeeds()
        };
        for (words, refused) in [(["abstract", &name], "EPERM\n"), (["signal", &own], "EPERM\n")] {
            outside(&[], &words).prints("fine\n");
            outside(&["--ll-bind", "1"], &words).prints(refused);
        }
    }

    fn the_report_has_what_the_kernel_enforces() needs [Box, Landlock] {
        let place = Place::new();
        let path = place.path("report");
        place.run(&["--report", &path, "--ll-connect", "1"], &["exit", "0"]).succeeds().says_nothing_else();
        let report: Value = serde_json::from_slice(&fs::read(&path).expect("a report")).expect("JSON");
        assert!(report["landlock"]["abi"].as_u64() >= Some(6), "{report}");
        let access: Vec<&str> = report["landlock"]["access"]
            .as_array().expect("a list")
            .iter().filter_map(Value::as_str).collect();
        for name in ["LANDLOCK_ACCESS_FS_TRUNCATE", "LANDLOCK_ACCESS_NET_CONNECT_TCP", "LANDLOCK_SCOPE_SIGNAL"] {
            assert!(access.contains(&name), "{report}");
        }
        assert!(!access.contains(&"LANDLOCK_ACCESS_NET_BIND_TCP"), "{report}");
    }

    fn without_landlock_a_box_starts_with_a_warning_and_not_if_strict() needs [Box, Seccomp] {
        let clonebox = |options: &[&str]| {
            let mut command = std::process::Command::new(probe::path());
            command.args(["__probe", "without-landlock"]).arg(binary()).args(options);
            Clonebox::of(command).args(["--", "/bin/true"]).run()
        };
        let missing = "--ll-ro /etc: the kernel has no Landlock, or a filter forbids it: nothing of this is enforced\n";
        clonebox(&["--ll-ro", "/etc"]).succeeds().complains(&format!("clonebox: warning: {missing}"));
        clonebox(&["--ll-ro", "/etc", "--ll-strict"]).exits_with(125).complains(&format!("clonebox: {missing}"));
        clonebox(&[]).succeeds().says_nothing_else();
    }

    fn what_this_kernel_cannot_enforce_is_told_and_the_rest_holds() needs [Box] {
        let place = Place::new();
        let ran = place.run(&[], &["open", &place.path("a")]).succeeds();
        // SAFETY: with this flag, LANDLOCK_CREATE_RULESET_VERSION, the call takes no memory.
        match unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, 1) } {
            ..=0 => ran.prints("fine\n").complains("the kernel has no Landlock, or a filter forbids it"),
            abi @ 1..=5 => ran.prints("EACCES\n").complains(&format!("the kernel has Landlock {abi}, which does not ")),
            _ => ran.prints("EACCES\n").says_nothing_else(),
        };
    }

    fn bad_rules_are_refused() needs [] {
        for (options, reason) in [
            (&["--ll-connect", "http"][..], "--ll-connect http: expected a port, 0 to 65535\n"),
            (&["--ll-bind", "65536"], "--ll-bind 65536: expected a port, 0 to 65535\n"),
            (&["--ll-ro", ""], "--ll-ro : the path is empty\n"),
            (&["--ll-strict"], "--ll-strict: there is nothing for Landlock to enforce\n"),
        ] {
            let words = [options, &["--", "/bin/true"]].concat();
            run(words).exits_with(125).complains(&format!("clonebox: {reason}"));
        }
    }
}
