//! What one launch of a template, or of a pool, has in the place of what the template says.

use std::fs::File;
use std::io::Write;
use std::thread;

use clonebox::{Child, Command, ErrorKind, Namespace, Pool, Stdio, Template};

use crate::support::{files, tests};

/// A box with a shell, whose script is the argument of a launch.
fn shell() -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

#[track_caller]
fn prepare(command: &Command) -> Template {
    command.prepare().expect("a template")
}

#[track_caller]
fn printed(child: Child) -> String {
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A file with this text, for reading.
fn file(directory: &tempfile::TempDir, text: &str) -> File {
    let path = directory.path().join("in");
    std::fs::write(&path, text).expect("a directory of ours");
    File::open(path).expect("it is there")
}

/// A pipe that has no reader in this process any more: what a box has written.
fn read(reader: std::io::PipeReader) -> String {
    std::io::read_to_string(reader).expect("UTF-8")
}

tests! {
    fn each_launch_has_a_host_name_and_a_working_directory_of_its_own() needs [Box] {
        let template = prepare(shell().hostname("theirs").current_dir("/dev"));
        let script = "cat /proc/sys/kernel/hostname; pwd";
        thread::scope(|scope| {
            for name in ["one", "a-longer-name", "x"] {
                let template = &template;
                scope.spawn(move || for directory in ["/", "/tmp", "/proc/self"] {
                    let mut launch = template.launch();
                    let child = launch.arg(script).hostname(name).current_dir(directory).spawn();
                    let printed = printed(child.expect("a box"));
                    let directory = directory.replace("self", "1");
                    assert_eq!(printed, format!("{name}\n{directory}\n"));
                });
            }
        });
        let child = template.launch().arg(script).spawn().expect("a box");
        assert_eq!(printed(child), "theirs\n/dev\n", "the template is as before");
    }

    fn a_launch_has_a_working_directory_where_its_template_has_none() needs [Box] {
        let template = prepare(&shell());
        let launch = |directory| template.launch().arg("pwd").current_dir(directory).spawn();
        for directory in ["/dev", "/tmp", "/dev"] {
            assert_eq!(printed(launch(directory).expect("a box")), format!("{directory}\n"));
        }
        let own = std::env::current_dir().expect("there is one");
        let child = template.launch().arg("pwd").spawn().expect("a box");
        assert_eq!(printed(child), format!("{}\n", own.display()));
    }

    fn each_launch_has_streams_of_its_own() needs [Box] {
        let directory = files::directory();
        let template = prepare(&shell());
        for (number, text) in ["first", "", "third"].into_iter().enumerate() {
            let (reader, writer) = std::io::pipe().expect("a pipe");
            let mut launch = template.launch();
            launch.arg("cat; echo $0 >&2").stdin(file(&directory, text));
            launch.stdout(writer).stderr(Stdio::piped());
            let child = launch.spawn().expect("a box");
            drop(launch);
            assert!(child.stdout.is_none(), "{number}: it is the caller's pipe");
            let output = child.wait_with_output().expect("its end");
            assert_eq!((read(reader).as_str(), &output.stderr[..]), (text, &b"/bin/sh\n"[..]));
        }
        let mut child = template.launch().arg("cat").stdin(Stdio::piped()).spawn().expect("a box");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(b"asked").expect("it is read");
        drop(input);
        assert_eq!(printed(child), "asked");
    }

    fn an_error_of_a_launch_speaks_of_that_launch() needs [Box] {
        let template = prepare(shell().current_dir("/dev"));
        let error = template.launch().arg("x").current_dir("/nowhere/at/all").spawn();
        let error = error.expect_err("there is no such directory");
        let message = "cannot enter the working directory /nowhere/at/all: No such file or directory (ENOENT)";
        assert_eq!(error.to_string(), message);
        let step = error.step().expect("it names the step");
        assert_eq!(step.call, r#"chdir("/nowhere/at/all")"#);
        assert_eq!(step.origin.to_string(), "Launch::current_dir");
    }

    fn what_is_wrong_with_a_launch_is_told_at_once() needs [Box] {
        let template = prepare(shell().uts(Namespace::Host));
        let long = "x".repeat(65);
        let error = template.launch().hostname(&long).current_dir("here").arg("a\0b").spawn();
        let error = error.expect_err("it is wrong");
        assert_eq!(error.kind(), ErrorKind::Spec);
        let message = error.to_string();
        for part in ["no host name of its own", "65 bytes", "\"here\" does not begin with /", "NUL"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    fn a_box_of_a_pool_gets_streams_and_a_working_directory() needs [Box, Execveat] {
        let directory = files::directory();
        let pool = Pool::new(&prepare(&shell()), 2).expect("a pool");
        for (place, text) in [("/dev", "one"), ("/tmp", "two"), ("/", "three")] {
            let (reader, writer) = std::io::pipe().expect("a pipe");
            let mut launch = pool.launch();
            launch.arg("pwd; cat; set -- /proc/self/fd/*; echo $# >&2").current_dir(place);
            launch.stdin(file(&directory, text)).stdout(writer).stderr(Stdio::piped());
            let child = launch.spawn().expect("a box");
            drop(launch);
            assert!(child.stdout.is_none());
            let output = child.wait_with_output().expect("its end");
            assert_eq!(read(reader), format!("{place}\n{text}"));
            let open = String::from_utf8(output.stderr).expect("UTF-8");
            // 0, 1, 2, and the directory that the shell reads.
            assert_eq!(open.trim(), "4");
        }
        let child = pool.launch().arg("echo as before").spawn().expect("a box");
        assert_eq!(printed(child), "as before\n");
    }

    fn a_box_of_a_pool_says_what_it_cannot_have() needs [Box, Execveat] {
        let pool = Pool::new(&prepare(&shell()), 1).expect("a pool");
        let error = pool.launch().arg("x").current_dir("/nowhere").spawn();
        let error = error.expect_err("there is no such directory");
        let message = "cannot enter the working directory /nowhere: No such file or directory (ENOENT)";
        assert_eq!(error.to_string(), message);
        assert_eq!(error.step().expect("a call").origin.to_string(), "Launch::current_dir");
        let error = pool.launch().hostname("late").spawn().expect_err("it has one");
        assert_eq!(error.to_string(), "Launch::hostname: a box of a pool has its host name already");
        pool.launch().arg("true").spawn().expect("a box").wait().expect("its end");
    }

    fn a_box_of_a_pool_that_can_open_no_file_says_what_it_cannot_have() needs [Box, Execveat] {
        let mut command = shell();
        // Its streams, and the socket on which it is told.
        command.rlimit("nofile=4".parse().expect("a limit"));
        let pool = Pool::new(&prepare(&command), 2).expect("a pool");
        let error = pool.launch().arg("true").stdin(Stdio::piped()).spawn().expect_err("a descriptor");
        let message = "cannot hand a box that stands its words and streams: Too many open files (EMFILE)";
        assert_eq!(error.to_string(), message);
        let child = pool.launch().arg("echo as before").spawn().expect("a box");
        assert_eq!(printed(child), "as before\n");
    }
}
