//! Errors: the first line for people, then the step, who asked for it, and a way out that has been
//! checked. The messages of single options are with their options.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clonebox::{Command, ErrorKind, MAX_ARG_STRLEN};

use crate::support::clonebox::{Ran, run};
use crate::support::{Clonebox, files, run_probe, tests};

/// Runs this file as a program.
fn execute(path: &Path) -> Ran {
    run([OsStr::new("--"), path.as_os_str()])
}

/// A program for this machine that asks for a loader: elf(5).
fn program_with_loader(loader: &str) -> Vec<u8> {
    const EHDR: u64 = 64;
    const PHDR: u64 = 56;
    let machine: u16 = if cfg!(target_arch = "aarch64") {
        183
    } else {
        62
    };
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let length = loader.len() as u64 + 1;
    // ET_EXEC, the machine, EV_CURRENT; entry, program headers, section headers; flags, sizes, counts.
    [2, machine]
        .iter()
        .for_each(|half| file.extend(half.to_ne_bytes()));
    file.extend(1u32.to_ne_bytes());
    [0x10_0000, EHDR, 0]
        .iter()
        .for_each(|word| file.extend(word.to_ne_bytes()));
    file.extend(0u32.to_ne_bytes());
    [64u16, 56, 1, 0, 0, 0]
        .iter()
        .for_each(|half| file.extend(half.to_ne_bytes()));
    // PT_INTERP, readable; offset, addresses, lengths, alignment.
    [3u32, 4]
        .iter()
        .for_each(|word| file.extend(word.to_ne_bytes()));
    let at = EHDR + PHDR;
    [at, at, at, length, length, 1]
        .iter()
        .for_each(|word| file.extend(word.to_ne_bytes()));
    file.extend(loader.bytes().chain([0]));
    file
}

/// A file of variables that together are too much for execve(2), each by itself not.
fn large_environment() -> String {
    let value = "x".repeat(MAX_ARG_STRLEN / 2);
    (0..128)
        .map(|number| format!("T_{number}={value}\n"))
        .collect()
}

tests! {
    fn a_missing_program_is_named() needs [Box] {
        run(["--", "/dev/none"])
            .exits_with(127)
            .prints("")
            .complains("clonebox: cannot execute /dev/none: No such file or directory (ENOENT)\n");
    }

    fn an_error_shows_the_step_the_call_and_who_asked_for_it() needs [Box] {
        let ran = run(["--name", "web", "--", "/dev/none", "x"]);
        let text = ran.stderr();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        let (step, call) = lines[1].trim_start().split_once(" e").expect("two columns");
        let (number, count) = step.trim_end().strip_prefix("step ").expect(step).split_once('/').expect(step);
        assert_eq!(number, count, "the program is the last step");
        assert!(call.starts_with(r#"xecve("/dev/none", ["/dev/none", "x"], /* "#), "{call}");
        assert_eq!(lines[2], "  asked by     COMMAND");
    }

    fn a_program_that_is_not_in_path_is_named_and_path_shown() needs [Box] {
        run(["-e", "PATH=/dev:/dev/null", "--", "none"])
            .exits_with(127)
            .complains("clonebox: cannot find none in PATH: No")
            .complains("  hint         PATH is /dev:/dev/null\n");
    }

    fn a_program_that_is_not_in_a_path_of_one_directory_is_not_in_path_either() needs [Box] {
        run(["-e", "PATH=/dev", "--", "none"])
            .exits_with(127)
            .complains("clonebox: cannot find none in PATH: No such file or directory (ENOENT)\n")
            .complains("  hint         PATH is /dev\n");
    }

    fn a_program_that_is_not_found_without_a_path_is_told_so() needs [Box] {
        run(["--env-clear", "--", "no-such-program"])
            .exits_with(127)
            .complains("clonebox: cannot find no-such-program in PATH: ")
            .complains("PATH is not set; the usual directories were searched\n");
    }

    fn a_missing_interpreter_of_a_script_is_named() needs [Box] {
        let directory = files::directory();
        let script = files::executable(directory.path(), "script", "#! /dev/none -x\n");
        let shown = script.display();
        execute(&script)
            .exits_with(127)
            .complains(&format!("clonebox: cannot execute {shown}: No such file"))
            .complains(&format!("  hint         {shown} exists; its interpreter /dev/none does not\n"));
    }

    fn a_missing_interpreter_of_a_script_in_path_is_named() needs [Box] {
        let directory = files::directory();
        let script = files::executable(directory.path(), "script", "#!/dev/none\n");
        let path = format!("PATH={}:/dev", directory.path().display());
        let exists = format!("{} exists; its interpreter /dev/none does not\n", script.display());
        run(["-e", &path, "--", "script"]).exits_with(127).complains(&exists);
    }

    fn a_missing_loader_of_a_program_is_named() needs [Box] {
        let directory = files::directory();
        let program = program_with_loader("/dev/none.so.2");
        let program = files::executable(directory.path(), "program", program);
        let shown = program.display();
        execute(&program)
            .exits_with(127)
            .complains(&format!("clonebox: cannot execute {shown}: No such file"))
            .complains(&format!("{shown} exists; its interpreter /dev/none.so.2 does not\n"));
    }

    fn a_directory_is_no_program() needs [Box] {
        let directory = files::directory();
        let shown = directory.path().display();
        execute(directory.path())
            .exits_with(126)
            .complains(&format!("clonebox: cannot execute {shown}: Permission denied (EACCES)\n"))
            .complains(&format!("  hint         {shown} is a directory\n"));
    }

    fn a_file_that_nobody_may_execute_is_named_with_its_mode() needs [Box] {
        let directory = files::directory();
        let file = files::write(directory.path(), "file", "640", "#!/bin/sh\n");
        let shown = file.display();
        execute(&file)
            .exits_with(126)
            .complains(&format!("clonebox: cannot execute {shown}: Permission denied (EACCES)\n"))
            .complains(&format!("  hint         nobody may execute {shown} (mode 640): chmod +x\n"));
    }

    fn no_way_out_is_named_that_would_not_help() needs [Box] {
        run(["--", "/dev/none"]).exits_with(127).says_nothing_of("hint");
        run_probe(&["-w", "/dev/none"], &["cwd"]).exits_with(125).says_nothing_of("hint");
    }

    fn an_empty_command_is_refused() needs [] {
        run(["--", ""]).exits_with(125).complains("clonebox: COMMAND: the command is empty\n");
    }

    fn no_command_is_refused_with_an_example() needs [] {
        let message = "clonebox: no command: try `clonebox -- /bin/sh`, or `clonebox --help`\n";
        run(["--init", "--"]).exits_with(125).complains(message);
        run([""; 0]).exits_with(125).complains(message);
    }

    fn a_weight_far_out_of_range_is_refused() needs [] {
        let mut spec = clonebox::Spec::new("/bin/true");
        let origin = clonebox::Origin::text("test");
        spec.limits.io_weight = Some(clonebox::Setting::new(u32::MAX, origin));
        let error = Command::from(spec).prepare().expect_err("no box");
        assert_eq!(error.to_string(), "test: a weight is 1 to 10000");
    }

    fn a_nul_byte_in_an_argument_is_refused() needs [] {
        let error = Command::new("/bin/true").args(["a", "b\0c"]).spawn().expect_err("no box");
        assert_eq!(error.kind(), ErrorKind::Spec);
        assert_eq!(error.to_string(), "Command::new: argument 2 contains a NUL byte");
        let error = Command::new("/bin\0/true").spawn().expect_err("no box");
        assert_eq!(error.to_string(), "Command::new: the command contains a NUL byte");
    }

    fn a_nul_byte_in_the_first_argument_is_refused() needs [] {
        let error = Command::new("/bin/true").arg0("a\0b").spawn().expect_err("no box");
        assert_eq!(error.kind(), ErrorKind::Spec);
        assert!(error.to_string().ends_with(" contains a NUL byte"), "{error}");
    }

    fn a_nul_byte_in_a_variable_is_refused() needs [] {
        let error = Command::new("/bin/true").env("A", "b\0").spawn().expect_err("no box");
        assert_eq!(error.to_string(), "Command::env: the value of A contains a NUL byte");
    }

    fn an_argument_of_128_kib_is_refused_with_its_length() needs [] {
        let argument = "x".repeat(MAX_ARG_STRLEN);
        let error = Command::new("/bin/true").arg(argument).spawn().expect_err("no box");
        assert_eq!(error.kind(), ErrorKind::Spec);
        let expected = "Command::new: argument 1 has 131072 bytes; the kernel takes at most 131071";
        assert_eq!(error.to_string(), expected);
    }

    fn an_argument_of_one_byte_less_than_128_kib_arrives() needs [Box] {
        let argument = "x".repeat(MAX_ARG_STRLEN - 1);
        let ran = Clonebox::new().probe(["args"]).args([&argument]).run().succeeds();
        assert!(ran.stdout().ends_with(&format!(" {argument}\n")));
    }

    fn a_variable_of_128_kib_is_refused_with_its_length() needs [] {
        let directory = files::directory();
        let line = format!("T_LONG={}\n", "x".repeat(MAX_ARG_STRLEN));
        let path = files::write(directory.path(), "env", "644", line);
        let path = path.to_str().expect("UTF-8");
        run(["--env-file", path, "--", "/bin/true"])
            .exits_with(125)
            .complains(&format!("clonebox: --env-file {path}: the value of T_LONG has 131072 bytes; "))
            .complains("the kernel takes at most 131071\n");
    }

    fn a_name_and_a_value_of_128_kib_together_are_refused() needs [] {
        let value = "x".repeat(MAX_ARG_STRLEN - "NAME=".len());
        let error = Command::new("/bin/true").env("NAME", value).spawn().expect_err("no box");
        assert_eq!(error.kind(), ErrorKind::Spec, "{error}");
    }

    fn an_environment_that_is_too_large_is_told_its_size() needs [Box] {
        let directory = files::directory();
        let path = files::write(directory.path(), "env", "644", large_environment());
        run(["--env-file", path.to_str().expect("UTF-8"), "--", "/bin/true"])
            .exits_with(126)
            .complains("clonebox: cannot execute /bin/true: Argument list too long (E2BIG)\n")
            .complains(" of environment; together the kernel takes at most ");
    }

    fn a_volume_that_is_not_there_is_not_made() needs [Box] {
        run_probe(&["--volume", "/dev/none:/tmp"], &["cwd"])
            .exits_with(125)
            .complains("clonebox: cannot make a mount of /dev/none: No such file or directory (ENOENT)\n")
            .complains("  asked by     --volume /dev/none:/tmp\n")
            .complains("  hint         nothing is made on the host: make it first\n");
    }

    fn a_missing_working_directory_is_named() needs [Box] {
        run_probe(&["--workdir", "/dev/none"], &["cwd"])
            .exits_with(125)
            .complains("clonebox: cannot enter the working directory /dev/none: ")
            .complains(": No such file or directory (ENOENT)\n")
            .complains(r#"   chdir("/dev/none")"#)
            .complains("  asked by     --workdir /dev/none\n");
    }

    fn the_first_missing_part_of_a_working_directory_is_named() needs [Box] {
        run_probe(&["--workdir", "/dev/none/a/b"], &["cwd"])
            .exits_with(125)
            .complains("  hint         /dev/none does not exist either\n");
    }

    fn a_working_directory_that_is_a_file_is_none() needs [Box] {
        run_probe(&["-w", "/dev/null"], &["cwd"])
            .exits_with(125)
            .complains("cannot enter the working directory /dev/null: Not a directory (ENOTDIR)\n");
    }

    fn a_relative_working_directory_is_refused() needs [] {
        run(["-w", "here", "--", "/bin/true"])
            .exits_with(125)
            .complains("clonebox: --workdir here: the working directory \"here\" does not begin with /\n");
    }

    fn a_host_name_of_65_bytes_is_refused_with_its_length() needs [] {
        let name = "x".repeat(65);
        run(["--hostname", &name, "--", "/bin/true"])
            .exits_with(125)
            .complains(&format!("clonebox: --hostname {name}: the host name has 65 bytes; "))
            .complains("the kernel takes at most 64\n");
    }

    fn an_empty_host_name_is_refused() needs [] {
        run(["--hostname=", "--", "/bin/true"])
            .exits_with(125)
            .complains(": a host name is not empty\n");
    }

    fn a_host_name_without_a_namespace_for_it_is_refused() needs [] {
        run(["--hostname", "web", "--uts", "host", "--", "/bin/true"])
            .exits_with(125)
            .complains("--hostname web: the box has no host name of its own (--uts host)\n");
    }

    fn a_descriptor_that_is_not_open_is_named() needs [Box] {
        run_probe(&["--fd", "977"], &["fds"])
            .exits_with(125)
            .complains("clonebox: --fd 977: the caller has no such descriptor open\n");
    }

    fn all_that_is_wrong_is_said_at_once() needs [] {
        let options = ["--nice", "20", "--oom-score-adj", "1001", "--umask", "1000", "--fd", "2"];
        let ran = run(options.into_iter().chain(["--", "/bin/true"])).exits_with(125);
        let text = ran.stderr();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.lines().all(|line| line.starts_with("clonebox: --")), "{text}");
        ran.complains("clonebox: --nice 20: a nice value is -20 to 19\n")
            .complains("clonebox: --oom-score-adj 1001: an oom score adjustment is -1000 to 1000\n")
            .complains("clonebox: --umask 1000: a umask is 000 to 777, octal\n")
            .complains("clonebox: --fd 2: descriptors from 3 on can be passed; 0, 1 and 2 always are\n");
    }

    fn a_path_in_an_error_cannot_drive_a_terminal() needs [Box] {
        run([OsStr::new("--"), OsStr::from_bytes(b"/dev/\x1b[2J\xff")])
            .exits_with(127)
            .complains(r"clonebox: cannot execute /dev/\x1b[2J\xff: ")
            .says_nothing_of("\x1b");
    }

    fn a_value_in_an_error_cannot_drive_a_terminal() needs [Box] {
        let evil = "/dev/\x1b[2J\r";
        let bare = format!("={evil}");
        let named = format!("{evil}=x");
        for options in [
            &["--workdir", evil][..],
            &["--workdir", "\x1b"],
            &["--env-file", evil],
            &["--env", &bare],
            &["--name", evil],
            &["--name", "a", "--name", evil],
            &["--hostname", evil, "--uts", "host"],
            &["--cap-add", evil],
            &["--ulimit", &named],
            &["--user", evil],
            &["--tty", evil],
            &["--report", "/dev/null/\x1b"],
            &["--tmpfs", "/t:x=\x1b"],
            &["--volume", "/\x1b:/dev"],
            &["--device-read-bps", "/dev/\x1b:1"],
            &["--cgroup-conf", "memory.none=\x1b"],
            &["--\x1b[2J"],
            &["--init=\x1b"],
        ] {
            run_probe(options, &["cwd"]).exits_with(125).says_nothing_of("\x1b").says_nothing_of("\r");
        }
    }

    fn a_name_in_a_file_of_variables_cannot_drive_a_terminal() needs [] {
        let directory = files::directory();
        let line = format!("\x1b[2J={}\n", "x".repeat(MAX_ARG_STRLEN));
        let path = files::write(directory.path(), "env", "644", line);
        run([OsString::from("--env-file"), path.into(), "/bin/true".into()])
            .exits_with(125)
            .complains("the kernel takes at most")
            .says_nothing_of("\x1b");
    }

    fn a_path_in_a_way_out_cannot_drive_a_terminal() needs [Box] {
        let directory = files::directory();
        let file = directory.path().join("\x1b[2J");
        fs::write(&file, "").expect("a file");
        execute(&file).exits_with(126).complains("hint").says_nothing_of("\x1b");
        run(["-e", "PATH=/\x1b:/dev", "--", "none"])
            .exits_with(127)
            .complains("hint")
            .says_nothing_of("\x1b");
    }

    fn the_plan_cannot_drive_a_terminal() needs [] {
        let evil = "\x1b[2J";
        let options = ["--explain", "--hostname", evil, "-w", "/\x1b", "-e", "A=\x1b"];
        let ran = run(options.into_iter().chain(["--", evil, evil])).succeeds();
        assert!(!ran.stdout().contains('\x1b'), "{:?}", ran.stdout());
    }
}
