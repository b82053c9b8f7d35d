//! The library, from within a program that has many threads: this one.

use std::error::Error as _;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::thread;

use clonebox::{
    Child, Command, Error, ErrorKind, Mount, Namespace, Origin, Outcome, Plan, Rlimit, Stdio,
    Template, UserNamespace,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::support::need::example;
use crate::support::processes::eventually;
use crate::support::{files, probe, tests};

/// A box around this binary, which answers a probe.
fn answer(words: &[&str]) -> Command {
    let mut command = Command::new(probe::path());
    command.arg("__probe").args(words);
    command
}

/// What a box prints.
#[track_caller]
fn printed(command: &Command) -> String {
    let output = command.output().expect("a box");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A box that stays, until this is dropped.
struct Staying(Child);

impl Staying {
    /// It has said that it runs.
    fn new(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a box");
        let mut word = [0; 6];
        child
            .stdout
            .as_mut()
            .expect("a pipe")
            .read_exact(&mut word)
            .expect("a word");
        Self(child)
    }

    fn plain() -> Self {
        Self::new(&mut answer(&["stay"]))
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kills a box by its descriptor alone.
fn kill(pidfd: &OwnedFd) {
    let info = std::ptr::null::<libc::siginfo_t>();
    let number = pidfd.as_raw_fd();
    // SAFETY: without a siginfo_t the call touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, number, libc::SIGKILL, info, 0) };
}

/// Whether the box has ended, as its descriptor says.
fn has_ended(child: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(child.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).expect("a descriptor") == 1
}

tests! {
    fn a_thousand_boxes_run_in_an_event_loop() needs [Box, Examples] {
        let output = std::process::Command::new(example("many")).output().expect("the example");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, "1000 of 1000 boxes have ended as they were told\n", "{output:?}");
    }

    fn the_tutorials_program_is_a_container() needs [Box, Examples] {
        let script = "hostname=$(cat /proc/sys/kernel/hostname); echo $hostname $$; exit 5";
        let output = std::process::Command::new(example("tutorial")).args(["/bin/sh", "-c", script]).output();
        let output = output.expect("the example");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "container 1\n", "{output:?}");
        assert_eq!(output.status.code(), Some(5), "{output:?}");
        let source = include_str!("../../examples/tutorial.rs");
        let lines = source.lines().filter(|line| !line.is_empty() && !line.starts_with("//")).count();
        assert!(lines < 25, "{lines} lines");
    }

    fn output_collects_what_the_box_prints() needs [Box] {
        let output = answer(&["pid"]).output().expect("a box");
        assert_eq!((output.stdout, output.stderr), (b"1\n".to_vec(), vec![]));
        let output = answer(&["say", "error"]).output().expect("a box");
        assert_eq!((output.stdout, output.stderr), (vec![], b"error\n".to_vec()));
    }

    fn output_gives_the_box_an_empty_standard_input() needs [Box] {
        assert_eq!(printed(&answer(&["copy"])), "");
    }

    fn status_is_the_exit_status() needs [Box] {
        assert_eq!(answer(&["exit", "42"]).status().expect("a box").code(), Some(42));
    }

    fn status_of_a_program_ended_by_a_signal_has_the_signal() needs [Box] {
        let mut command = answer(&["raise", &libc::SIGUSR1.to_string()]);
        let status = command.pid(Namespace::Host).status().expect("a box");
        assert_eq!((status.code(), status.signal()), (None, Some(libc::SIGUSR1)));
    }

    fn pipes_go_to_and_from_the_box() needs [Box] {
        let mut command = answer(&["copy"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a box");
        let mut stdin = child.stdin.take().expect("a pipe");
        let writer = thread::spawn(move || stdin.write_all(&[7; 1 << 20]));
        let output = child.wait_with_output().expect("its end");
        writer.join().expect("no panic").expect("a reader");
        assert!(output.stdout == [7; 1 << 20], "{} bytes came back", output.stdout.len());
    }

    fn a_stream_that_is_not_piped_has_no_handle() needs [Box] {
        let mut command = answer(&["exit", "0"]);
        let mut child = command.stdin(Stdio::null()).spawn().expect("a box");
        assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
        child.wait().expect("its end");
    }

    fn a_stream_may_be_a_file() needs [Box] {
        let mut file = tempfile::tempfile().expect("a file");
        let copy: File = file.try_clone().expect("a descriptor");
        answer(&["pid"]).stdout(copy).status().expect("a box");
        let mut text = String::new();
        file.rewind().expect("a file");
        file.read_to_string(&mut text).expect("text");
        assert_eq!(text, "1\n");
    }

    fn wait_closes_standard_input() needs [Box] {
        let mut command = answer(&["copy"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a box");
        let pidfd = child.as_fd().try_clone_to_owned().expect("a descriptor");
        let waiter = thread::spawn(move || child.wait().expect("its end"));
        if !eventually(|| waiter.is_finished()) {
            kill(&pidfd);
        }
        assert!(waiter.join().expect("no panic").success(), "the box has read on");
    }

    fn wait_says_the_same_again() needs [Box] {
        let mut child = answer(&["exit", "3"]).spawn().expect("a box");
        let first = child.wait().expect("its end");
        assert_eq!(child.wait().expect("the same"), first);
        assert_eq!(child.try_wait().expect("the same"), Some(first));
    }

    fn try_wait_says_whether_the_box_has_ended() needs [Box] {
        let mut staying = Staying::plain();
        assert_eq!(staying.0.try_wait().expect("a box"), None);
        staying.0.kill().expect("a box");
        let mut status = None;
        assert!(eventually(|| {
            status = staying.0.try_wait().expect("a box");
            status.is_some()
        }));
        assert_eq!(status.and_then(|status| status.signal()), Some(libc::SIGKILL));
    }

    fn kill_of_a_box_that_has_ended_is_no_error() needs [Box] {
        let mut child = answer(&["exit", "0"]).spawn().expect("a box");
        child.wait().expect("its end");
        child.kill().expect("nothing to do");
    }

    fn signal_sends_a_signal() needs [Box] {
        let mut staying = Staying::new(answer(&["stay"]).pid(Namespace::Host));
        staying.0.signal(libc::SIGTERM).expect("a box");
        assert_eq!(staying.0.wait().expect("its end").signal(), Some(libc::SIGTERM));
    }

    fn a_number_that_is_no_signal_is_refused() needs [Box] {
        let staying = Staying::plain();
        let error = staying.0.signal(12345).expect_err("no signal");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    fn a_signal_to_a_box_that_was_waited_for_is_refused() needs [Box] {
        let mut child = answer(&["exit", "0"]).spawn().expect("a box");
        child.wait().expect("its end");
        let error = child.signal(libc::SIGTERM).expect_err("nobody is there");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    fn the_id_is_that_of_the_boxes_first_process() needs [Box] {
        let staying = Staying::plain();
        let path = format!("/proc/{}/cmdline", staying.0.id());
        let line = fs::read(path).expect("a process");
        assert!(line.ends_with(b"\0__probe\0stay\0"), "{}", line.escape_ascii());
    }

    fn the_descriptor_of_a_box_is_ready_when_it_has_ended() needs [Box] {
        let mut staying = Staying::plain();
        assert!(!has_ended(&staying.0), "it runs");
        staying.0.kill().expect("a box");
        assert!(eventually(|| has_ended(&staying.0)), "it was killed");
    }

    fn a_handle_that_is_dropped_leaves_the_box_running() needs [Box] {
        let mut command = answer(&["copy"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a box");
        let stdin = child.stdin.take();
        let mut stdout = child.stdout.take().expect("a pipe");
        let pidfd = child.as_fd().try_clone_to_owned().expect("a descriptor");
        drop(child);
        stdin.expect("a pipe").write_all(b"still here").expect("a reader");
        let mut text = String::new();
        stdout.read_to_string(&mut text).expect("text");
        assert_eq!(text, "still here");
        let end = nix::sys::wait::WaitPidFlag::WEXITED;
        nix::sys::wait::waitid(nix::sys::wait::Id::PIDFd(pidfd.as_fd()), end).expect("its end");
    }

    fn the_usage_is_known_when_the_box_was_waited_for() needs [Box] {
        let mut child = answer(&["work"]).stdout(Stdio::null()).spawn().expect("a box");
        assert!(child.usage().is_none());
        child.wait().expect("its end");
        let usage = child.usage().expect("its usage");
        assert!(usage.max_rss_bytes >= 64 << 20 && usage.user.as_millis() >= 50, "{usage:?}");
    }

    fn timings_are_there_if_they_were_asked_for() needs [Box] {
        let mut command = answer(&["exit", "0"]);
        let mut child = command.spawn().expect("a box");
        assert!(child.timings().is_none());
        child.wait().expect("its end");
        let mut child = command.timings(true).spawn().expect("a box");
        let timings = child.timings().expect("timings");
        child.wait().expect("its end");
        let steps = command.prepare().expect("a plan").plan().steps().len();
        assert_eq!(timings.len(), steps + 1, "{timings:#?}");
    }

    fn the_name_is_the_boxes() needs [Box] {
        let mut child = answer(&["exit", "0"]).name("web").spawn().expect("a box");
        assert_eq!(child.name(), "web");
        child.wait().expect("its end");
    }

    fn the_environment_is_the_callers_with_changes() needs [Box] {
        let mut command = answer(&["env"]);
        command.env("T_A", "1").env("T_B", "2").env_remove("T_A");
        let text = printed(&command);
        assert!(text.contains("T_B=2\n") && !text.contains("T_A="), "{text}");
    }

    fn env_clear_forgets_what_was_set_before() needs [Box] {
        let mut command = answer(&["env"]);
        command.env("T_A", "1").env_clear().env("T_B", "2");
        assert_eq!(printed(&command), "T_B=2\n");
    }

    fn arg0_is_the_first_argument() needs [Box] {
        let text = printed(answer(&["args"]).arg0("other"));
        assert_eq!(text, "0 other\n");
    }

    fn current_dir_is_the_working_directory() needs [Box] {
        assert_eq!(printed(answer(&["cwd"]).current_dir("/")), "/\n");
    }

    fn settings_of_the_process_are_the_boxes_and_not_the_programs() needs [Box] {
        let own = fs::read_to_string("/proc/self/limits").expect("/proc");
        let limit: Rlimit = "nofile=64:128".parse().expect("a limit");
        let mut command = answer(&["cat", "/proc/self/limits"]);
        let text = printed(command.rlimit(limit).umask(0o777).nice(19));
        assert_ne!(text, own);
        assert_eq!(fs::read_to_string("/proc/self/limits").expect("/proc"), own);
    }

    fn a_descriptor_that_is_passed_has_its_number() needs [Box] {
        let file = tempfile::tempfile().expect("a file");
        let number = file.as_raw_fd();
        let text = printed(answer(&["fds"]).pass_fd(number));
        assert_eq!(text, format!("0\n1\n2\n{number}\n"));
    }

    fn a_descriptor_that_is_not_open_is_named_with_its_step() needs [] {
        let error = answer(&["fds"]).pass_fd(977).spawn().expect_err("no box");
        assert_eq!((error.kind(), error.errno()), (ErrorKind::Setup, Some(libc::EBADF)));
        assert!(error.to_string().starts_with("cannot pass descriptor 977: "), "{error}");
        assert_eq!(error.step().expect("a step").origin, Origin::Call("Command::pass_fd"));
        assert_eq!(error.hint(), Some("the caller has no such descriptor open"));
    }

    fn descriptors_of_the_program_are_not_the_boxes() needs [Box] {
        let file = tempfile::tempfile().expect("a file");
        // A number that no other test expects anything of: children of theirs may inherit it.
        // SAFETY: the call takes numbers; the copy, without FD_CLOEXEC, is closed below.
        let leak = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, 500) };
        let text = printed(&answer(&["fds"]));
        // SAFETY: the descriptor is this test's own.
        unsafe { libc::close(leak) };
        assert_eq!(text, "0\n1\n2\n");
    }

    fn the_system_is_a_root_with_what_is_mounted_in_it() needs [Box, Execveat] {
        let program = files::Public::new();
        let describe = |words: &[&str]| {
            let mut command = Command::new("/it");
            let mount = Mount::bind(program.path(), "/it").read_only();
            command.arg("__probe").args(words).rootfs_system().mount(mount);
            command
        };
        let names = printed(&describe(&["list", "/"]));
        assert!(names.lines().any(|name| name == "it") && !names.lines().any(|name| name == "home"), "{names}");
        // From one compilation as well.
        let template = describe(&["exit", "0"]).prepare().expect("a plan");
        for _ in 0..3 {
            let mut child = template.spawn().expect("a box");
            assert!(child.wait().expect("its end").success());
        }
    }

    fn a_command_can_be_used_again() needs [Box] {
        let mut command = answer(&["pid"]);
        assert_eq!(printed(&command), "1\n");
        assert_eq!(printed(command.hostname("web")), "1\n");
    }

    fn a_template_launches_any_number_of_boxes() needs [Box] {
        let template: Template = answer(&["exit", "5"]).prepare().expect("a plan");
        let mut children: Vec<Child> =
            (0..8).map(|_| template.spawn().expect("a box")).collect();
        for child in &mut children {
            assert_eq!(child.wait().expect("its end").code(), Some(5));
        }
    }

    fn explain_shows_the_plan_and_runs_nothing() needs [] {
        let directory = files::directory();
        let path = directory.path().join("file");
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!(": >{}", path.display()));
        let plan = command.hostname("web").explain().expect("a plan");
        assert!(plan.contains("Command::hostname\n") && plan.contains("execve("), "{plan}");
        assert!(!path.exists(), "it was run");
    }

    fn many_threads_launch_at_once_and_each_gets_its_own_box() needs [Box] {
        thread::scope(|scope| {
            for worker in 0..8 {
                scope.spawn(move || {
                    for number in 0..8 {
                        let name = format!("box-{worker}-{number}");
                        let mut command = answer(&["cat", "/proc/sys/kernel/hostname"]);
                        assert_eq!(printed(command.hostname(&name)), format!("{name}\n"));
                    }
                });
            }
        });
    }

    fn many_threads_launch_one_template_at_once() needs [Box] {
        let template = answer(&["exit", "5"]).prepare().expect("a plan");
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..8 {
                        let mut child = template.spawn().expect("a box");
                        assert_eq!(child.wait().expect("its end").code(), Some(5));
                    }
                });
            }
        });
    }

    fn many_threads_launch_boxes_with_other_ids_at_once() needs [Root, Userns] {
        let template = |score: Option<i32>| {
            let mut command = answer(&["exit", "5"]);
            command.userns(UserNamespace::Auto);
            // With a score whoever makes the clone stands still, and another thread opens the gate.
            if let Some(score) = score {
                command.oom_score_adj(score);
            }
            command.prepare().expect("a plan")
        };
        let templates = [template(None), template(Some(500))];
        thread::scope(|scope| {
            for worker in 0..8 {
                let template = &templates[worker % 2];
                scope.spawn(|| {
                    for _ in 0..8 {
                        let mut child = template.spawn().expect("a box");
                        assert_eq!(child.wait().expect("its end").code(), Some(5));
                    }
                });
            }
        });
    }

    fn many_threads_fail_at_once_and_each_gets_its_own_error() needs [Box] {
        thread::scope(|scope| {
            for worker in 0..8 {
                scope.spawn(move || {
                    let path = format!("/dev/none-{worker}");
                    for _ in 0..8 {
                        let error = Command::new(&path).spawn().expect_err("no box");
                        assert!(error.to_string().contains(&path), "{error}");
                    }
                });
            }
        });
    }

    fn a_box_may_be_waited_for_by_another_thread() needs [Box] {
        let mut child = answer(&["exit", "6"]).spawn().expect("a box");
        let waiter = thread::spawn(move || child.wait().expect("its end").code());
        assert_eq!(waiter.join().expect("no panic"), Some(6));
    }

    fn the_types_can_be_shared_between_threads() needs [] {
        fn shared<T: Send + Sync>() {}
        shared::<Child>();
        shared::<Command>();
        shared::<Error>();
        shared::<Outcome>();
        shared::<Plan>();
        shared::<Stdio>();
        shared::<Template>();
    }

    fn nothing_is_printed() needs [Box] {
        let mut command = std::process::Command::new(probe::path());
        let output = command.args(["__probe", "silence"]).output().expect("this binary");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        assert_eq!((output.stdout, text), (vec![], String::new()));
    }

    fn the_error_of_a_missing_program_has_its_parts() needs [Box] {
        let error = Command::new("/dev/none").spawn().expect_err("no box");
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Exec, 127));
        assert_eq!(error.errno(), Some(libc::ENOENT));
        let step = error.step().expect("a step");
        assert_eq!((step.number, &step.origin), (Some(step.count), &Origin::Call("Command::new")));
        assert!(step.call.starts_with(r#"execve("/dev/none", "#), "{}", step.call);
        let source = error.source().expect("a source").downcast_ref::<io::Error>();
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(libc::ENOENT));
        assert!(error.hint().is_none() && !error.to_string().contains('\n'), "{error:?}");
    }

    fn the_error_of_a_program_that_is_none_has_its_parts() needs [Box] {
        let error = Command::new("/dev").spawn().expect_err("no box");
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Exec, 126));
        assert_eq!(error.errno(), Some(libc::EACCES));
        assert_eq!(error.hint(), Some("/dev is a directory"));
        assert!(error.detail().ends_with("  hint         /dev is a directory"), "{}", error.detail());
    }

    fn the_error_of_a_step_has_its_parts() needs [Box] {
        let error = answer(&["pid"]).current_dir("/dev/none").spawn().expect_err("no box");
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Setup, 125));
        assert_eq!(error.errno(), Some(libc::ENOENT));
        let step = error.step().expect("a step");
        assert_eq!(step.call, r#"chdir("/dev/none")"#);
        assert_eq!(step.origin, Origin::Call("Command::current_dir"));
        let plan = answer(&["pid"]).current_dir("/dev/none").prepare().expect("a plan");
        let named = plan.plan().steps().nth(step.number.expect("a number") - 1).expect("a step");
        assert_eq!(named.call(), step.call, "the number is that of the plan");
    }

    fn the_error_of_a_wrong_description_has_all_that_is_wrong() needs [] {
        let error = answer(&["pid"]).hostname("").nice(20).spawn().expect_err("no box");
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Spec, 125));
        assert!(error.errno().is_none() && error.step().is_none() && error.source().is_none());
        let lines =
            "Command::hostname: a host name is not empty\nCommand::nice: a nice value is -20 to 19";
        assert_eq!(error.to_string(), lines);
        assert_eq!(error.detail(), "");
    }

    fn an_error_becomes_one_of_std() needs [Box] {
        let error = Command::new("/dev/none").spawn().expect_err("no box");
        let text = error.to_string();
        let error = io::Error::from(error);
        assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::NotFound, text));
    }
}
