//! What a program inherits besides its environment: directory, masks, limits, descriptors, streams.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use crate::support::clonebox::{Ran, run};
use crate::support::processes::eventually;
use crate::support::{Clonebox, binary, files, probe, run_probe, tests};

/// A limit of a box with these options: soft and hard, as proc_pid_limits(5) shows them.
#[track_caller]
fn limit(options: &[&str], name: &str) -> (String, String) {
    let limits = run_probe(options, &["cat", "/proc/self/limits"])
        .succeeds()
        .stdout();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .expect("the limit");
    let mut words = line.split_whitespace().map(str::to_owned);
    (
        words.next().expect("the soft one"),
        words.next().expect("the hard one"),
    )
}

/// Runs a probe in a box from a shell that has made `redirections`.
fn redirected(redirections: &str, options: &[&str], words: &[&str]) -> Ran {
    let script = format!("exec \"$0\" \"$@\" {redirections}");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).arg(binary()).args(options);
    Clonebox::of(command).probe(words).run()
}

/// The probe `copy` in a box, between these.
fn copied(stdin: impl Into<Stdio>, stdout: impl Into<Stdio>) {
    let status = Clonebox::new()
        .probe(["copy"])
        .command()
        .stdin(stdin)
        .stdout(stdout)
        .status();
    assert!(status.expect("the command").success());
}

tests! {
    fn the_working_directory_is_the_callers() needs [Box] {
        let directory = files::directory();
        let path = directory.path().canonicalize().expect("a path");
        let printed = Clonebox::new().current_dir(&path).probe(["cwd"]).run().succeeds().stdout();
        assert_eq!(printed.trim_end(), path.as_os_str());
    }

    fn workdir_is_the_working_directory() needs [Box] {
        let directory = files::directory();
        let path = directory.path().canonicalize().expect("a path");
        let path = path.to_str().expect("UTF-8");
        run_probe(&["-w", path], &["cwd"]).succeeds().prints(&format!("{path}\n"));
    }

    fn umask_is_the_file_mode_creation_mask() needs [Box] {
        run_probe(&["--umask", "027"], &["umask"]).succeeds().prints("027\n");
        run_probe(&["--umask", "0"], &["umask"]).succeeds().prints("000\n");
    }

    fn the_umask_is_the_callers_otherwise() needs [Box] {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "umask 035; exec \"$0\" \"$@\""]).arg(binary());
        Clonebox::of(command).probe(["umask"]).run().succeeds().prints("035\n");
    }

    fn ulimit_sets_both_limits() needs [Box] {
        let limit = limit(&["--ulimit", "nofile=64"], "Max open files");
        assert_eq!(limit, ("64".to_owned(), "64".to_owned()));
    }

    fn ulimit_sets_a_soft_limit_below_the_hard_one() needs [Box] {
        let limit = limit(&["--ulimit", "nofile=64:128"], "Max open files");
        assert_eq!(limit, ("64".to_owned(), "128".to_owned()));
    }

    fn several_limits_are_set() needs [Box] {
        let options = ["--ulimit", "nofile=64:128", "--ulimit", "core=0"];
        assert_eq!(limit(&options, "Max open files").1, "128");
        assert_eq!(limit(&options, "Max core file size").1, "0");
    }

    fn a_hard_limit_is_not_raised_without_the_capability() needs [Userns] {
        let clonebox = binary();
        let inner = clonebox.to_str().expect("UTF-8");
        run(["--seccomp", "off", "--ulimit", "nofile=64:128", "--", inner, "--ulimit", "nofile=256", "--", "/bin/true"])
            .exits_with(125)
            .complains("clonebox: cannot set the limit RLIMIT_NOFILE: Operation not permitted (EPERM)\n")
            .complains("  asked by     --ulimit nofile=256\n")
            .complains("this process has no CAP_SYS_RESOURCE: a hard limit can be lowered, not raised");
    }

    fn nice_is_the_nice_value() needs [Box] {
        run_probe(&["--nice", "19"], &["nice"]).succeeds().prints("19\n");
    }

    fn the_nice_value_is_not_lowered_without_the_capability() needs [Userns] {
        let clonebox = binary();
        let inner = clonebox.to_str().expect("UTF-8");
        run(["--seccomp", "off", "--nice", "19", "--ulimit", "nice=0", "--", inner, "--nice", "3", "--", "/bin/true"])
            .exits_with(125)
            .complains("clonebox: cannot set the nice value: Permission denied (EACCES)\n")
            .complains("this process has no CAP_SYS_NICE: the nice value can be raised, not lowered");
    }

    fn the_nice_value_is_not_lowered_in_a_user_namespace() needs [Root, Userns] {
        let clonebox = binary();
        let inner = clonebox.to_str().expect("UTF-8");
        // The box around it has the capability.
        let words = ["--cap-add=ALL", "--nice", "19", "--ulimit", "nice=0", "--", inner, "--userns=auto", "--nice", "3", "--", "/bin/true"];
        run(words)
            .exits_with(125)
            .complains("clonebox: cannot set the nice value: Permission denied (EACCES)\n")
            .complains("the box is in a user namespace: the nice value can be raised, not lowered");
    }

    fn oom_score_adj_is_the_boxes() needs [Box] {
        run_probe(&["--oom-score-adj", "1000"], &["cat", "/proc/self/oom_score_adj"])
            .succeeds()
            .prints("1000\n");
    }

    fn oom_score_adj_is_not_the_commands() needs [Box] {
        let own = fs::read_to_string("/proc/self/oom_score_adj").expect("/proc");
        let mut running = Clonebox::new().args(["--oom-score-adj", "1000"]).probe(["stay"]).start();
        running.ready();
        let path = format!("/proc/{}/oom_score_adj", running.pid());
        assert_eq!(fs::read_to_string(path).expect("it runs"), own);
    }

    fn a_box_has_the_standard_streams_and_no_other_descriptor() needs [Box] {
        run_probe(&[], &["fds"]).succeeds().prints("0\n1\n2\n");
    }

    fn descriptors_of_the_caller_are_closed() needs [Box] {
        redirected("3</dev/null 9</dev/null", &[], &["fds"]).succeeds().prints("0\n1\n2\n");
    }

    fn fd_passes_a_descriptor_on() needs [Box] {
        let (redirections, options) = ("3</dev/null 5</dev/null 9</dev/null", ["--fd", "5"]);
        redirected(redirections, &options, &["fds"]).succeeds().prints("0\n1\n2\n5\n");
    }

    fn several_descriptors_are_passed_on() needs [Box] {
        let (redirections, options) = ("3</dev/null 4</dev/null 9</dev/null", ["--fd", "9", "--fd=3"]);
        redirected(redirections, &options, &["fds"]).succeeds().prints("0\n1\n2\n3\n9\n");
    }

    fn a_descriptor_of_the_command_itself_is_not_passed_on() needs [] {
        // It opens some for itself, with the lowest numbers that the caller has left free.
        let closed = "3<&- 4<&- 5<&- 6<&-";
        for number in ["3", "4", "5", "6"] {
            redirected(closed, &["--fd", number], &["fds"])
                .exits_with(125)
                .complains(": the caller has no such descriptor open\n");
        }
    }

    fn a_descriptor_that_is_passed_on_is_the_same_file() needs [Box] {
        let directory = files::directory();
        let path = directory.path().join("file");
        let redirection = format!("7>'{}'", path.display());
        redirected(&redirection, &["--fd", "7"], &["links", "/proc/self/fd/7"])
            .succeeds()
            .prints(&format!("{}\n", path.display()));
    }

    fn streams_that_the_caller_has_closed_are_not_taken_by_descriptors_of_the_launch() needs [Box] {
        let links = ["links", "/proc/self/fd/0", "/proc/self/fd/2"];
        redirected("<&- 2>&-", &[], &links).succeeds().prints("/dev/null\n/dev/null\n");
    }

    fn standard_input_from_a_pipe_arrives_to_the_byte() needs [Box] {
        let bytes: Vec<u8> = (0..1 << 20).map(|index: u32| (index % 251) as u8).collect();
        let ran = Clonebox::new().probe(["copy"]).input(bytes.clone()).run().succeeds();
        assert!(ran.stdout_bytes() == bytes, "{} bytes came back", ran.stdout_bytes().len());
    }

    fn standard_input_from_a_file_is_that_file() needs [Box] {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"beginning rest").expect("room");
        file.seek(SeekFrom::Start(10)).expect("a file");
        let mut output = tempfile::tempfile().expect("a file");
        copied(file.try_clone().expect("a descriptor"), output.try_clone().expect("a descriptor"));
        let mut printed = String::new();
        output.seek(SeekFrom::Start(0)).expect("a file");
        output.read_to_string(&mut printed).expect("text");
        assert_eq!(printed, "rest");
        assert_eq!(file.stream_position().expect("a file"), 14, "the offset is shared");
    }

    fn standard_input_from_dev_null_is_empty() needs [Box] {
        run_probe(&[], &["copy"]).succeeds().prints("").says_nothing_else();
    }

    fn the_command_is_not_in_the_way_of_the_streams() needs [Box] {
        let directory = files::directory();
        let output = directory.path().join("output");
        let (read, write) = std::io::pipe().expect("a pipe");
        let pipe = fs::metadata(format!("/proc/self/fd/{}", read.as_raw_fd()));
        drop(write);
        let words = ["links", "/proc/self/fd/0", "/proc/self/fd/1"];
        let status = Clonebox::new()
            .probe(words)
            .command()
            .stdin(read)
            .stdout(File::create(&output).expect("a file"))
            .status();
        assert!(status.expect("the command").success());
        let pipe = format!("pipe:[{}]", pipe.expect("/proc").ino());
        let expected = format!("{pipe}\n{}\n", output.display());
        assert_eq!(fs::read_to_string(&output).expect("text"), expected);
    }

    fn standard_output_and_error_are_two() needs [Box] {
        let ran = run(["--", &probe::path(), "__probe", "say", "error"]).succeeds().prints("");
        assert_eq!(ran.stderr(), "error\n");
    }

    fn a_clonebox_that_stays_has_little_of_its_file_in_memory() needs [Box] {
        let mut running = Clonebox::new().probe(["stay"]).start();
        running.ready();
        let status = format!("/proc/{}/status", running.pid());
        let of_files = || -> u64 {
            let status = fs::read_to_string(&status).expect("it runs");
            let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).expect("Linux 4.5");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        assert!(eventually(|| of_files() < 2048), "{} KiB", of_files());
    }
}
