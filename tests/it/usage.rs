//! The command line: what it takes, and what it says to what it does not take.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Stdio;

use crate::support::clonebox::{Ran, run};
use crate::support::pty::{Change, Terminal};
use crate::support::{Clonebox, binary, files, probe, tests};

const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Runs a box with these words in front of a program that prints the host name.
#[track_caller]
fn host_name(words: &[&str]) -> String {
    let probe = probe::path();
    let program = [probe.as_str(), "__probe", "cat", HOST_NAME];
    run(words.iter().chain(&program)).succeeds().stdout()
}

/// Runs the command with words that make no sense.
#[track_caller]
fn refused(words: &[&str], message: &str) {
    let ran: Ran = run(words.iter().chain(&["--", "/bin/true"]))
        .exits_with(125)
        .prints("");
    assert_eq!(ran.stderr(), format!("clonebox: {message}\n"));
}

tests! {
    fn errors_stand_out_at_a_terminal_and_nowhere_else() needs [Ptmx] {
        let said = |variables: &[(&str, &str)]| {
            let mut terminal = Terminal::new();
            let mut command = Clonebox::new().env("TERM", "xterm");
            for (name, value) in variables {
                command = command.env(name, value);
            }
            terminal.run(command.args(["--tty", "x", "--", "/bin/true"]));
            assert_eq!(terminal.end(), Change::Exited(125));
            String::from_utf8(terminal.seen().to_vec()).expect("UTF-8")
        };
        let plain = "clonebox: --tty x: expected auto, new, inherit or none";
        assert_eq!(said(&[]), format!("\x1b[1m{plain}\x1b[0m\r\n"));
        assert_eq!(said(&[("NO_COLOR", "")]), format!("\x1b[1m{plain}\x1b[0m\r\n"));
        for variable in [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", "")] {
            assert_eq!(said(&[variable]), format!("{plain}\r\n"), "{variable:?}");
        }
        let ran = Clonebox::new().env("TERM", "xterm").args(["--tty", "x", "--", "/bin/true"]).run();
        assert_eq!(ran.stderr(), format!("{plain}\n"));
    }

    fn quiet_leaves_out_all_but_errors() needs [Box] {
        let weight = ["--best-effort-limits", "--cgroup-conf", "rdma.none=1"];
        let words = |quiet: &[&'static str]| {
            let program = ["--", "/bin/true"];
            let words: Vec<&str> = quiet.iter().chain(&weight).chain(&program).copied().collect();
            run(words)
        };
        // Where there is such a controller its file is not: that is an error, and stays one.
        let loud = words(&[]).stderr();
        let quiet = words(&["--quiet"]).stderr();
        if loud.contains("warning: ") {
            assert_eq!(quiet, "");
        } else {
            assert_eq!(quiet, loud);
        }
        run(["-q", "--tty", "x", "--", "/bin/true"]).exits_with(125).complains("expected auto");
    }

    fn help_fits_a_screen() needs [] {
        let text = run(["--help"]).succeeds().says_nothing_else().stdout();
        assert!(text.starts_with("Usage: clonebox [OPTIONS] [--] COMMAND [ARG...]\n"), "{text}");
        assert!(text.lines().count() <= 60, "{} lines", text.lines().count());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    fn help_has_groups_and_examples() needs [] {
        let text = run(["--help"]).succeeds().stdout();
        for line in ["Box", "Files", "Limits", "Namespaces", "Privileges", "Life", "Looking"] {
            assert!(text.lines().any(|other| other == line), "no {line} in:\n{text}");
        }
        assert!(text.contains("sudo clonebox -- /bin/sh"), "{text}");
    }

    fn help_has_a_short_form() needs [] {
        let long = run(["--help"]).succeeds().stdout();
        run(["-h"]).succeeds().prints(&long);
        run(["--init", "-h"]).succeeds().prints(&long);
    }

    fn a_subcommand_has_a_page_of_its_own() needs [] {
        let page = run(["help", "--help"]).succeeds().says_nothing_else().stdout();
        assert!(page.starts_with("Usage: clonebox help"), "{page}");
        run(["help", "help"]).succeeds().prints(&page);
        let screen = run(["--help"]).succeeds().stdout();
        run(["help"]).succeeds().prints(&screen);
        run(["help", "frobnicate"]).exits_with(125).complains("there is no subcommand frobnicate; there are ");
    }

    fn only_the_first_word_can_be_a_subcommand() needs [Box] {
        // A program of that name is found nowhere.
        for words in [&["--", "help"][..], &["run", "help"], &["-e", "A=1", "help"], &["run", "--", "help"]] {
            Clonebox::new().env("PATH", "/dev").args(words).run().exits_with(127).complains("cannot find help in PATH");
        }
        run(["run", "--hostname", "web", &probe::path(), "__probe", "cat", HOST_NAME]).succeeds().prints("web\n");
    }

    fn help_after_the_command_is_the_commands() needs [Box] {
        let text = run(["--", &probe::path(), "__probe", "args", "--help"]).succeeds().stdout();
        assert!(text.ends_with(" --help\n"), "{text}");
    }

    fn help_to_nobody_is_no_failure() needs [] {
        let (read, write) = std::io::pipe().expect("a pipe");
        drop(read);
        let status = Clonebox::new().args(["--help"]).command().stdout(write).status();
        assert_eq!(status.expect("the command").code(), Some(0));
    }

    fn help_that_cannot_be_written_is_a_failure() needs [] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let status = Clonebox::new().args(["--help"]).command().stdout(full).status();
        assert_eq!(status.expect("the command").code(), Some(125));
    }

    fn version_says_version_commit_and_target() needs [] {
        for word in ["--version", "-V"] {
            let text = run([word]).succeeds().says_nothing_else().stdout();
            let rest = text.strip_prefix("clonebox ").expect(&text);
            let (version, rest) = rest.split_once(" (").expect(&text);
            let (commit, target) = rest.strip_suffix(")\n").expect(&text).split_once(", ").expect(&text);
            assert_eq!(version, env!("CARGO_PKG_VERSION"));
            assert!(!commit.is_empty() && target.contains("-linux-"), "{text}");
        }
    }

    fn two_dashes_are_optional_before_a_word_that_is_no_option() needs [Box] {
        assert_eq!(host_name(&["--name", "web"]), "web\n");
        assert_eq!(host_name(&["--name", "web", "--"]), "web\n");
    }

    fn after_two_dashes_nothing_is_an_option() needs [Box] {
        run(["-e", "PATH=/dev", "--", "--version"])
            .exits_with(127)
            .complains("cannot find --version in PATH");
    }

    fn a_value_may_follow_an_equals_sign() needs [Box] {
        assert_eq!(host_name(&["--name=web"]), "web\n");
    }

    fn a_value_may_look_like_an_option() needs [Box] {
        // A name may not begin with a dash, a host name may.
        assert_eq!(host_name(&["--hostname", "--init"]), "--init\n");
        assert_eq!(host_name(&["--hostname", "--"]), "--\n");
    }

    fn the_last_word_may_be_a_single_dash() needs [Box] {
        run(["-e", "PATH=/dev", "-"]).exits_with(127).complains("cannot find - in PATH");
    }

    fn an_unknown_option_names_the_nearest() needs [] {
        refused(&["--hostnam", "x"], "there is no option --hostnam; did you mean --hostname?");
        refused(&["--envfile=x"], "there is no option --envfile=x; did you mean --env-file?");
        refused(&["--hlep"], "there is no option --hlep; did you mean --help?");
    }

    fn a_program_that_is_not_there_and_nearly_a_subcommand_names_it() needs [Box] {
        let hint = "hint         there is a subcommand exec: clonebox help exec\n";
        assert!(run(["exce", "web", "ls"]).exits_with(127).stderr().ends_with(hint));
        for words in [&["--", "exce", "web"][..], &["no-such-program"]] {
            assert!(!run(words).exits_with(127).stderr().contains("subcommand"));
        }
    }

    fn an_unknown_option_that_is_near_to_none_names_help() needs [] {
        refused(&["--frobnicate"], "there is no option --frobnicate: try clonebox --help");
        refused(&["-x"], "there is no option -x: try clonebox --help");
    }

    fn options_of_docker_that_are_not_needed_are_explained() needs [] {
        let terminal = "a terminal is made when standard input is one (--tty)";
        refused(&["--rm"], "there is no option --rm: nothing of a box is ever left");
        refused(&["-i"], "there is no option -i: standard input is always connected");
        refused(&["-it"], &format!("there is no option -it: {terminal}"));
        refused(&["--network=none"], "there is no option --network=none: the word here is --net");
    }

    fn an_option_without_its_value_is_named() needs [] {
        run(["--name"]).exits_with(125).complains("clonebox: --name needs a value\n");
        run(["-e"]).exits_with(125).complains("clonebox: -e needs a value\n");
    }

    fn an_option_with_a_value_too_many_is_named() needs [] {
        refused(&["--init=yes"], "--init takes no value but true or false");
    }

    fn the_last_of_several_values_counts() needs [Box] {
        assert_eq!(host_name(&["--name", "a", "--name=b"]), "b\n");
        assert_eq!(host_name(&["--init", "--name", "a", "--init"]), "a\n");
    }

    fn a_value_may_be_attached_to_a_letter() needs [Box] {
        for words in [&["-w/dev"][..], &["-w=/dev"], &["-w", "/dev"]] {
            let probe = probe::path();
            let program = [probe.as_str(), "__probe", "cwd"];
            run(words.iter().chain(&program)).succeeds().prints("/dev\n");
        }
    }

    fn a_wrong_value_is_named_with_the_right_ones() needs [] {
        refused(&["--tty", "yes"], "--tty yes: expected auto, new, inherit or none");
        refused(&["--pid=none"], "--pid none: expected private or host");
        refused(&["--cgroupns", "none"], "--cgroupns none: expected private or host");
        refused(&["--userns", "yes"], "--userns yes: expected auto, host, keep-id or nomap");
        refused(&["--explain=yaml"], "--explain yaml: expected --explain or --explain=json");
        refused(&["--nice", "x"], "--nice x: expected a whole number");
        refused(&["--umask", "8"], "--umask 8: expected an octal number, as in 022");
        refused(
            &["--timeout", "1d"],
            "--timeout 1d: expected a time, as in 10, 1.5s, 200ms, 2m or 1h",
        );
        refused(&["--timeout", "0"], "--timeout 0: a time is longer than nothing");
        refused(
            &["--ulimit", "nofile"],
            "--ulimit nofile: expected NAME=SOFT[:HARD], as in nofile=1024:4096",
        );
        refused(
            &["--ulimit", "nofile=2:1"],
            "--ulimit nofile=2:1: the soft limit is above the hard one",
        );
        refused(
            &["--time-offset", "x"],
            "--time-offset x: expected seconds for both clocks, as in 86400, or \
             monotonic=SECONDS,boottime=SECONDS",
        );
    }

    fn a_name_that_is_none_is_refused() needs [] {
        refused(
            &["--name", "a/b"],
            "--name a/b: the name \"a/b\" is not 1 to 64 letters, digits, `_`, `.` or `-`, the first a \
             letter or digit",
        );
    }

    fn an_option_is_text() needs [] {
        run([OsStr::new("--name"), OsStr::from_bytes(b"\xff\x1b"), OsStr::new("x")])
            .exits_with(125)
            .complains(r"clonebox: the option \xff\x1b is not UTF-8; ")
            .says_nothing_of("\x1b");
    }

    fn set_user_id_the_command_refuses_to_run() needs [SetId] {
        let (directory, program) = (files::directory(), files::Public::new());
        let command = std::fs::read(binary()).expect("the command");
        let copy = files::executable(directory.path(), "clonebox", command);
        let run = |user: &str| {
            let mut command = std::process::Command::new(program.path());
            command.args(["__probe", "of-user", user]).arg(&copy).args(["--", "/bin/true"]);
            Clonebox::of(command).run()
        };
        // Who runs it, whose it is, and which bits it has: of the user, of the group, or both.
        for (user, owner, mode) in [("1234", 0, 0o4755), ("1234", 4321, 0o2755), ("0", 4321, 0o6755)] {
            chown(&copy, Some(owner), Some(owner)).expect("root may");
            std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(mode)).expect("root may");
            run(user)
                .exits_with(125)
                .prints("")
                .complains("clonebox: refuses to run set-user-id or with file capabilities: use sudo, or run it as it is\n");
        }
    }

    fn with_file_capabilities_the_command_refuses_to_run() needs [SetId] {
        // struct vfs_cap_data (linux/capability.h): revision 2 and "effective", then CAP_SYS_ADMIN.
        let words = [0x0200_0001u32, 1 << 21, 0, 0, 0];
        let capabilities = words.map(u32::to_le_bytes).concat();
        let program = files::Public::new();
        let directory = files::directory();
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(directory.path(), mode(0o755)).expect("ours");
        let command = std::fs::read(binary()).expect("the command");
        let copy = files::executable(directory.path(), "clonebox", command);
        let path = std::ffi::CString::new(copy.as_os_str().as_bytes()).expect("no NUL");
        let run = || {
            let mut command = std::process::Command::new(program.path());
            command.args(["__probe", "of-user", "1234"]).arg(&copy).arg("--version");
            Clonebox::of(command).run()
        };
        run().succeeds();
        // SAFETY: the strings and the bytes live during the call.
        let set = unsafe {
            let (bytes, length) = (capabilities.as_ptr().cast(), capabilities.len());
            libc::setxattr(path.as_ptr(), c"security.capability".as_ptr(), bytes, length, 0)
        };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
        run().exits_with(125).complains("clonebox: refuses to run set-user-id or with file capabilities: ");
    }

    fn an_error_that_cannot_be_said_has_its_exit_code() needs [] {
        let full = File::options().write(true).open("/dev/full").expect("/dev/full");
        let words: [OsString; 1] = ["--frobnicate".into()];
        let mut command = Clonebox::new().args(words).command();
        let status = command.stderr(full).stdin(Stdio::null()).status();
        assert_eq!(status.expect("the command").code(), Some(125));
    }
}
