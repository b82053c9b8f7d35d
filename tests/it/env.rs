//! The environment: the caller's, changes to it, files of it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::support::{Clonebox, binary, files, run_probe, tests};

/// The variables of a box with these options whose names begin with `T_`.
#[track_caller]
fn variables(clonebox: Clonebox, options: &[&str]) -> Vec<String> {
    let printed = clonebox
        .args(options)
        .probe(["env"])
        .run()
        .succeeds()
        .stdout();
    let mut lines: Vec<String> = printed.lines().map(str::to_owned).collect();
    lines.retain(|line| line.starts_with("T_"));
    lines.sort();
    lines
}

/// The same for a caller who has T_CALLER.
#[track_caller]
fn with(options: &[&str]) -> Vec<String> {
    variables(Clonebox::new().env("T_CALLER", "theirs"), options)
}

/// The same for the options and a file of variables.
#[track_caller]
fn with_file(bytes: impl AsRef<[u8]>, options: &[&str]) -> Vec<String> {
    let directory = files::directory();
    let path = files::write(directory.path(), "env", "644", bytes);
    with(&[&["--env-file", path.to_str().expect("UTF-8")], options].concat())
}

/// What is wrong with a file of variables.
#[track_caller]
fn refused(bytes: impl AsRef<[u8]>, reason: &str) {
    let directory = files::directory();
    let path = files::write(directory.path(), "env", "644", bytes);
    let path = path.to_str().expect("UTF-8");
    run_probe(&["--env-file", path], &["env"])
        .exits_with(125)
        .prints("")
        .complains(&format!("clonebox: --env-file {path}: {reason}\n"));
}

tests! {
    fn the_callers_environment_is_inherited() needs [Box] {
        assert_eq!(with(&[]), ["T_CALLER=theirs"]);
    }

    fn a_value_of_the_caller_may_be_any_bytes() needs [Box] {
        let clonebox = Clonebox::new().env("T_BYTES", OsStr::from_bytes(b"\xff\n="));
        assert_eq!(variables(clonebox, &[]), [r"T_BYTES=\xff\n="]);
    }

    fn an_option_sets_a_variable() needs [Box] {
        assert_eq!(with(&["-e", "T_A=x=y z"]), ["T_A=x=y z", "T_CALLER=theirs"]);
    }

    fn an_option_may_set_an_empty_value() needs [Box] {
        assert_eq!(with(&["--env", "T_A="]), ["T_A=", "T_CALLER=theirs"]);
    }

    fn an_option_changes_a_variable_of_the_caller() needs [Box] {
        assert_eq!(with(&["-e", "T_CALLER=ours"]), ["T_CALLER=ours"]);
    }

    fn the_last_option_on_a_variable_counts() needs [Box] {
        assert_eq!(with(&["-e", "T_CALLER=a", "-e", "T_CALLER=b"]), ["T_CALLER=b"]);
    }

    fn an_option_without_a_value_leaves_out_what_the_caller_does_not_have() needs [Box] {
        assert_eq!(with(&["-e", "T_NOBODYS"]), ["T_CALLER=theirs"]);
    }

    fn env_clear_leaves_out_the_callers_environment() needs [Box] {
        run_probe(&["--env-clear"], &["env"]).succeeds().prints("");
    }

    fn env_clear_keeps_what_options_set_before_and_after() needs [Box] {
        let options = ["-e", "T_A=1", "--env-clear", "-e", "T_B=2"];
        assert_eq!(with(&options), ["T_A=1", "T_B=2"]);
    }

    fn env_clear_and_a_name_pass_that_variable_on() needs [Box] {
        assert_eq!(with(&["--env-clear", "-e", "T_CALLER"]), ["T_CALLER=theirs"]);
    }

    fn a_file_is_taken_to_the_letter() needs [Box] {
        let lines = "# note\n\nT_A=\"1\" $HOME\r\n  T_B=x=y\nT_C=\nT_CALLER\nT_NOBODYS\n";
        let expected = [r#"T_A=\"1\" $HOME"#, "T_B=x=y", "T_C=", "T_CALLER=theirs"];
        assert_eq!(with_file(lines, &["--env-clear"]), expected);
    }

    fn a_file_may_have_any_bytes() needs [Box] {
        assert_eq!(with_file(b"T_A=\xff", &["--env-clear"]), [r"T_A=\xff"]);
    }

    fn an_option_wins_over_a_file() needs [Box] {
        assert_eq!(with_file("T_CALLER=file", &["-e", "T_CALLER=ours"]), ["T_CALLER=ours"]);
    }

    fn a_file_wins_over_the_caller() needs [Box] {
        assert_eq!(with_file("T_CALLER=file", &[]), ["T_CALLER=file"]);
    }

    fn the_last_of_several_files_counts() needs [Box] {
        let directory = files::directory();
        let path = files::write(directory.path(), "second", "644", "T_CALLER=second");
        let options = ["--env-file", path.to_str().expect("UTF-8")];
        assert_eq!(with_file("T_CALLER=first", &options), ["T_CALLER=second"]);
    }

    fn a_line_of_a_file_without_a_name_is_named_by_its_number() needs [] {
        refused("A=1\n\n=x\n", "line 3: the name before the = is missing");
    }

    fn a_line_of_a_file_with_a_space_in_its_name_is_named_by_its_number() needs [] {
        refused("export A=1", "line 1: a name has no white space (write NAME=value)");
    }

    fn a_line_of_a_file_with_a_nul_byte_is_named_by_its_number() needs [] {
        refused("A=1\nB=\0", "line 2: a NUL byte cannot be in an environment");
    }

    fn a_file_that_is_not_there_is_named() needs [] {
        run_probe(&["--env-file", "/dev/null/none"], &["env"])
            .exits_with(125)
            .complains("clonebox: --env-file /dev/null/none: Not a directory");
    }

    fn a_variable_without_a_name_is_refused() needs [] {
        run_probe(&["-e", "=x"], &["env"])
            .exits_with(125)
            .complains("clonebox: --env =x: a variable has a name\n");
    }

    fn a_box_on_the_callers_root_inherits_what_names_files() needs [Box] {
        let clonebox = Clonebox::new().env("BASH_ENV", "/there").env("SSH_AUTH_SOCK", "/there");
        let printed = clonebox.probe(["env"]).run().succeeds().stdout();
        for line in ["BASH_ENV=/there\n", "SSH_AUTH_SOCK=/there\n"] {
            assert!(printed.contains(line), "{printed}");
        }
    }

    fn what_names_files_of_the_host_is_not_inherited_by_a_root_filesystem() needs [Box, Execveat] {
        const NAMES: [&str; 8] = [
            "LD_AUDIT", "LD_PRELOAD", "GLIBC_TUNABLES", "BASH_ENV", "ENV", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR", "SUDO_UID",
        ];
        let root = crate::support::rootfs::Root::new();
        let run = |options: &[&str]| {
            let mut clonebox = root.describe(options, &["env"]).env("T_CALLER", "theirs").env("T_LD_PRELOAD", "x");
            for name in NAMES {
                clonebox = clonebox.env(name, "/there");
            }
            clonebox.run().succeeds().stdout()
        };
        let printed = run(&[]);
        for name in NAMES {
            let there = printed.lines().any(|line| line.starts_with(&format!("{name}=")));
            assert!(!there, "{name} in {printed}");
        }
        assert!(printed.contains("T_CALLER=theirs\n") && printed.contains("T_LD_PRELOAD=x\n"), "{printed}");
        let printed = run(&["-e", "SSH_AUTH_SOCK", "-e", "ENV=/mine"]);
        assert!(printed.contains("SSH_AUTH_SOCK=/there\n") && printed.contains("ENV=/mine\n"), "{printed}");
    }

    fn what_sudo_says_of_its_caller_is_not_inherited_by_a_user_namespace() needs [Userns] {
        let printed = |options: &[&str]| {
            let clonebox = Clonebox::new().env("SUDO_UID", "1000").args(options);
            clonebox.probe(["env"]).run().succeeds().stdout()
        };
        assert!(!printed(&["--userns", "auto"]).contains("SUDO_UID="));
        assert!(printed(&["--userns", "auto", "-e", "SUDO_UID"]).contains("SUDO_UID=1000\n"));
    }

    fn sudo_itself_is_not_told_of_to_a_user_namespace_or_a_root_filesystem() needs [Sudo, Userns, Execveat] {
        let printed = |options: &[&str]| {
            let mut sudo = Command::new("sudo");
            sudo.arg("-n").arg(binary()).args(options).args(["--", "/usr/bin/env"]);
            Clonebox::of(sudo).run().succeeds().stdout()
        };
        let of_sudo = |text: &str| text.lines().filter(|line| line.starts_with("SUDO_")).count();
        let (with, uid) = (printed(&[]), nix::unistd::getuid());
        assert!(with.contains(&format!("SUDO_UID={uid}\n")) && of_sudo(&with) >= 4, "{with}");
        for options in [&["--userns", "auto"][..], &["--rootfs", "system"], &["--rootfs", "system", "--userns", "auto"]] {
            let without = printed(options);
            assert!(of_sudo(&without) == 0 && without.contains("PATH="), "{options:?}: {without}");
        }
        let asked_for = printed(&["--userns", "auto", "-e", "SUDO_UID"]);
        assert!(asked_for.contains(&format!("SUDO_UID={uid}\n")) && of_sudo(&asked_for) == 1, "{asked_for}");
    }
}
