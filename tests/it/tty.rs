//! Terminals: the box's own, and the caller's.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::termios::{InputFlags, SpecialCharacterIndices};

use crate::support::pty::{Change, Terminal};
use crate::support::{Clonebox, probe, processes, tests};

/// What a shell says that has no job control.
const COMPLAINTS: [&str; 5] = [
    "can't access tty",
    "job control turned off",
    "no job control",
    "Cannot set tty",
    "ioctl",
];
/// The prompt of the shells.
const PROMPT: &str = "go> ";

fn clonebox(options: &[&str]) -> Clonebox {
    Clonebox::new().args(options)
}

/// A shell in a box, with a prompt that is known, and this binary as $IT.
fn shell(options: &[&str], shell: &[&str]) -> Clonebox {
    let it = format!("IT={}", probe::path());
    let prompt = format!("PS1={PROMPT}");
    clonebox(options)
        .args(["-e", &it, "-e", &prompt, "--"])
        .args(shell)
}

/// The command by sudo(8).
fn sudo(command: Clonebox) -> Command {
    let command = command.command();
    let mut sudo = Command::new("sudo");
    sudo.arg("-n")
        .arg(command.get_program())
        .args(command.get_args());
    sudo
}

#[track_caller]
fn does_not_complain(terminal: &Terminal) {
    COMPLAINTS
        .iter()
        .for_each(|complaint| terminal.has_not_seen(complaint));
}

/// The guard that waits beside a process.
#[track_caller]
fn guard(pid: i32) -> u32 {
    let of_job = |guard: &u32| {
        let stat = fs::read_to_string(format!("/proc/{guard}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        after_name.split(' ').nth(1) == Some(&pid.to_string())
    };
    let guards = || processes::marked("guard").into_iter().filter(of_job);
    // A process gets its command line a little after it is known to run.
    assert!(
        processes::eventually(|| guards().count() == 1),
        "there is a guard"
    );
    guards().next().expect("it waits")
}

/// A box on a terminal whose settings are not the kernel's, in raw mode and at work.
fn at_work(options: &[&str], words: &[&str]) -> (Terminal, nix::sys::termios::Termios) {
    let mut terminal = Terminal::new();
    let mut settings = terminal.settings();
    settings.input_flags.remove(InputFlags::IXON);
    settings.control_chars[SpecialCharacterIndices::VERASE as usize] = 8;
    terminal.set(&settings);
    terminal.run(clonebox(options).probe(words));
    terminal.expect("ready");
    assert!(
        processes::eventually(|| terminal.is_raw()),
        "the terminal is raw"
    );
    (terminal, settings)
}

/// Something ends a box; its terminal is as it was, and no guard is left.
#[track_caller]
fn restores(options: &[&str], words: &[&str], end: impl FnOnce(&mut Terminal), expected: Change) {
    let (mut terminal, before) = at_work(options, words);
    let guard = guard(terminal.pid());
    end(&mut terminal);
    assert_eq!(
        terminal.wait(),
        expected,
        "{}",
        String::from_utf8_lossy(terminal.seen())
    );
    if matches!(expected, Change::Killed(_)) {
        assert!(
            processes::eventually(|| terminal.settings() == before),
            "the guard restores"
        );
    }
    assert_eq!(terminal.settings(), before);
    let left = || processes::marked("guard").contains(&guard);
    assert!(processes::eventually(|| !left()), "the guard ends");
}

fn has_job_control(mut terminal: Terminal) {
    terminal.expect(PROMPT);
    terminal.send("exit 5\n");
    assert_eq!(terminal.end(), Change::Exited(5));
    does_not_complain(&terminal);
}

tests! {
    fn a_shell_on_a_new_terminal_has_job_control() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run(shell(&[], &["/bin/sh", "-i"]));
        has_job_control(terminal);
    }

    fn a_bash_on_a_new_terminal_has_job_control() needs [Box, Ptmx, Bash] {
        let mut terminal = Terminal::new();
        terminal.run(shell(&[], &["/bin/bash", "--norc", "-i"]));
        has_job_control(terminal);
    }

    fn a_new_terminal_is_a_pseudoterminal_of_the_boxes_own() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let outside = terminal.path().to_owned();
        terminal.run(clonebox(&[]).probe(["terminal"]));
        assert_eq!(terminal.end(), Change::Exited(0));
        let seen = String::from_utf8_lossy(terminal.seen()).replace("\r\n", "\n");
        let lines: Vec<&str> = seen.lines().collect();
        let [one, two, three, rest @ ..] = &lines[..] else { panic!("{seen}") };
        let (_, path) = one.split_once("true ").expect("a terminal");
        assert!(path.starts_with("/dev/pts/"), "{seen}");
        assert_ne!(path, outside);
        assert_eq!([*two, *three], [format!("1 true {path}"), format!("2 true {path}")]);
        assert_eq!(rest, ["controlling", "leads a session true", "in front true"]);
    }

    fn ctrl_c_interrupts_a_program_in_the_box_and_its_shell_lives_on() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run(shell(&[], &["/bin/sh", "-i"]));
        terminal.expect(PROMPT);
        terminal.send("\"$IT\" __probe stay\n");
        terminal.expect("ready\r\n");
        terminal.send("\x03");
        terminal.expect(PROMPT);
        terminal.send("echo $((40 + 2))lives\n");
        terminal.expect("42lives");
        terminal.send("exit 0\n");
        assert_eq!(terminal.end(), Change::Exited(0));
    }

    fn ctrl_c_that_pid_1_ignores_is_told_of_and_the_second_kills_the_box() needs [Box, Ptmx] {
        let (mut terminal, before) = at_work(&[], &["stay"]);
        terminal.send("\x03");
        terminal.expect("no handler for SIGINT");
        // In time, however slow the machine is.
        while terminal.is_running() {
            terminal.send("\x03");
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(terminal.wait(), Change::Exited(137));
        assert_eq!(terminal.settings(), before);
    }

    fn ctrl_c_that_pid_1_handles_is_its_own_business() needs [Box, Ptmx] {
        let (mut terminal, _) = at_work(&[], &["signals"]);
        for _ in 0..3 {
            terminal.send("\x03");
            terminal.expect("SIGINT\r\n");
        }
        terminal.has_not_seen("clonebox:");
    }

    fn ctrl_c_that_another_process_gets_does_not_count_against_pid_1() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let script = "\"$IT\" __probe signals; true";
        terminal.run(shell(&[], &["/bin/sh", "-c", script]));
        terminal.expect("ready\r\n");
        for _ in 0..3 {
            terminal.send("\x03");
            terminal.expect("SIGINT\r\n");
        }
        terminal.has_not_seen("clonebox:");
    }

    fn ctrl_z_stops_a_job_in_the_box_and_fg_continues_it() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run(shell(&[], &["/bin/sh", "-i"]));
        terminal.expect(PROMPT);
        terminal.send("\"$IT\" __probe signals SIGTSTP\n");
        terminal.expect("ready\r\n");
        terminal.send("\x1a");
        terminal.expect("topped");
        terminal.expect(PROMPT);
        terminal.send("fg\n");
        terminal.expect("SIGCONT\r\n");
        terminal.send("\x03");
        terminal.expect("SIGINT\r\n");
    }

    fn a_new_terminal_has_the_size_of_the_callers_from_the_first() needs [Box, Ptmx] {
        for _ in 0..10 {
            let mut terminal = Terminal::new();
            terminal.resize(33, 101);
            terminal.run(clonebox(&[]).probe(["size"]));
            terminal.expect("size 33 101\r\n");
            terminal.has_not_seen("size 0 0");
        }
    }

    fn a_new_terminal_has_the_settings_of_the_callers() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let mut settings = terminal.settings();
        settings.input_flags.remove(InputFlags::IXON);
        settings.control_chars[SpecialCharacterIndices::VERASE as usize] = 8;
        terminal.set(&settings);
        terminal.run(clonebox(&[]).probe(["settings"]));
        terminal.expect(&format!("{settings:?}\r\n"));
    }

    fn a_resize_arrives_in_the_box_while_it_runs() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run(clonebox(&[]).probe(["size"]));
        terminal.expect("size 24 80\r\n");
        terminal.resize(50, 132);
        terminal.expect("size 50 132\r\n");
        terminal.resize(10, 20);
        terminal.expect("size 10 20\r\n");
    }

    fn all_that_a_box_prints_at_its_end_arrives() needs [Box, Ptmx] {
        for round in 0..20 {
            let mut terminal = Terminal::new();
            if round % 5 == 4 {
                terminal.slow_down();
            }
            terminal.run(clonebox(&[]).probe(["flood", "1048576"]));
            assert_eq!(terminal.end(), Change::Exited(0));
            assert_eq!(terminal.seen().len(), 1 << 20, "round {round}");
        }
    }

    fn all_that_a_box_with_an_init_prints_at_its_end_arrives() needs [Box, Ptmx] {
        for round in 0..5 {
            let mut terminal = Terminal::new();
            terminal.run(clonebox(&["--init"]).probe(["flood", "1048576"]));
            assert_eq!(terminal.end(), Change::Exited(0));
            assert_eq!(terminal.seen().len(), 1 << 20, "round {round}");
        }
    }

    fn bytes_to_a_file_are_untouched_when_only_standard_input_is_a_terminal() needs [Box, Ptmx] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("output");
        let mut terminal = Terminal::new();
        let streams = ["-", path.to_str().expect("UTF-8"), "-"];
        terminal.run_with_streams(streams, clonebox(&[]).probe(["bytes"]));
        assert_eq!(terminal.end(), Change::Exited(0));
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(fs::read(path).expect("a file"), all.repeat(16));
    }

    fn the_end_of_piped_input_arrives_at_a_new_terminal() needs [Box, Ptmx] {
        let ran = clonebox(&["--tty=new", "--timeout=60"]).input("one\ntwo\n").probe(["hungry"]).run().succeeds();
        assert!(ran.stdout().contains("<two\\n>\r\nend\r\n"), "{ran:?}");
    }

    fn the_end_of_piped_input_in_the_middle_of_a_line_arrives_at_a_new_terminal() needs [Box, Ptmx] {
        let ran = clonebox(&["--tty=new", "--timeout=60"]).input("one\ntwo").probe(["hungry"]).run().succeeds();
        assert!(ran.stdout().contains("<two>\r\nend\r\n"), "{ran:?}");
    }

    fn a_new_terminal_without_input_ends_at_once() needs [Box, Ptmx] {
        let ran = clonebox(&["--tty=new", "--timeout=60"]).probe(["hungry"]).run().succeeds();
        assert!(ran.stdout().contains("ready\r\nend\r\n"), "{ran:?}");
    }

    fn the_terminal_is_restored_after_a_normal_exit() needs [Box, Ptmx] {
        restores(&[], &["hungry"], |terminal| terminal.send("\x04"), Change::Exited(0));
    }

    fn the_terminal_is_restored_after_a_fault_in_the_box() needs [Box, Ptmx] {
        restores(&[], &["fault-later"], |terminal| terminal.send("\n"), Change::Exited(139));
    }

    fn the_terminal_is_restored_after_sigterm_to_clonebox() needs [Box, Ptmx] {
        let end = |terminal: &mut Terminal| {
            // Two within a second, however slow the machine is.
            while terminal.is_running() {
                terminal.signal(libc::SIGTERM);
                thread::sleep(Duration::from_millis(50));
            }
        };
        restores(&[], &["signals"], end, Change::Exited(137));
    }

    fn the_terminal_is_restored_after_sighup_to_clonebox() needs [Box, Ptmx] {
        let end = |terminal: &mut Terminal| terminal.signal(libc::SIGHUP);
        restores(&["--init"], &["stay"], end, Change::Exited(129));
    }

    fn the_terminal_is_restored_after_sigint_to_clonebox() needs [Box, Ptmx] {
        let end = |terminal: &mut Terminal| terminal.signal(libc::SIGINT);
        restores(&["--init"], &["stay"], end, Change::Exited(130));
    }

    fn the_terminal_is_restored_after_sigkill_to_clonebox() needs [Box, Ptmx] {
        let end = |terminal: &mut Terminal| terminal.signal(libc::SIGKILL);
        restores(&[], &["stay"], end, Change::Killed(9));
    }

    fn the_terminal_is_restored_after_sigkill_to_the_whole_job() needs [Box, Ptmx] {
        let end = |terminal: &mut Terminal| terminal.signal_all(libc::SIGKILL);
        restores(&[], &["stay"], end, Change::Killed(9));
    }

    fn the_terminal_is_restored_after_a_timeout() needs [Box, Ptmx] {
        restores(&["--timeout=2"], &["stay"], |_| {}, Change::Exited(124));
    }

    fn the_terminal_is_as_it_was_when_the_box_does_not_start() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let before = terminal.settings();
        terminal.run(clonebox(&[]).args(["--", "/dev/null/none"]));
        assert_eq!(terminal.end(), Change::Exited(127));
        assert_eq!(terminal.settings(), before);
    }

    fn a_box_in_the_background_leaves_the_terminal_alone() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let before = terminal.settings();
        terminal.run_behind(clonebox(&[]).probe(["hungry"]));
        terminal.expect("ready");
        terminal.send("not for the box\n");
        terminal.signal(libc::SIGCONT);
        // An answer to a later signal says that the earlier ones have been handled.
        terminal.signal(libc::SIGWINCH);
        thread::sleep(Duration::from_millis(600));
        assert_eq!(terminal.settings(), before);
        terminal.has_not_seen("<not");
        assert!(terminal.is_running(), "no signal of the terminal has stopped it");
    }

    fn a_box_that_comes_to_the_foreground_gets_the_input() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run_behind(clonebox(&[]).probe(["hungry"]));
        terminal.expect("ready");
        terminal.bring_to_front();
        assert!(processes::eventually(|| terminal.is_raw()), "the terminal is raw");
        terminal.send("for the box\r");
        terminal.expect("<for the box\\n>");
    }

    fn a_box_that_comes_to_the_foreground_without_a_signal_gets_the_input() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let before = terminal.settings();
        terminal.run_behind(clonebox(&[]).probe(["hungry"]));
        terminal.expect("ready");
        terminal.give_foreground();
        assert!(processes::eventually(|| terminal.is_raw()), "the terminal is raw");
        terminal.send("for the box\r");
        terminal.expect("<for the box\\n>");
        terminal.send("\x04");
        assert_eq!(terminal.wait(), Change::Exited(0));
        assert_eq!(terminal.settings(), before);
    }

    fn output_waits_for_the_foreground_where_the_terminal_wants_that() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let mut settings = terminal.settings();
        settings.local_flags.insert(nix::sys::termios::LocalFlags::TOSTOP);
        terminal.set(&settings);
        terminal.run_behind(clonebox(&[]).probe(["hungry"]));
        thread::sleep(Duration::from_millis(600));
        terminal.has_not_seen("ready");
        terminal.give_foreground();
        terminal.expect("ready");
    }

    fn a_stopped_clonebox_makes_the_terminal_raw_again_when_it_goes_on() needs [Box, Ptmx] {
        let (mut terminal, before) = at_work(&[], &["hungry"]);
        terminal.signal(libc::SIGSTOP);
        assert_eq!(terminal.wait(), Change::Stopped(libc::SIGSTOP));
        // As a shell does that has come back.
        terminal.set(&before);
        terminal.bring_to_front();
        assert!(processes::eventually(|| terminal.is_raw()), "the terminal is raw");
        terminal.send("on\r");
        terminal.expect("<on\\n>");
        terminal.send("\x04");
        assert_eq!(terminal.wait(), Change::Exited(0));
        assert_eq!(terminal.settings(), before);
    }

    fn a_box_ends_with_the_terminal_it_is_on() needs [Box, Ptmx] {
        let marker = processes::marker("hang-up");
        let mut terminal = Terminal::new();
        terminal.run(clonebox(&[]).probe(["stay", &marker]));
        terminal.expect("ready");
        assert_eq!(terminal.marked(&marker).len(), 2, "clonebox and the box");
        terminal.hang_up();
        assert!(processes::eventually(|| terminal.marked(&marker).is_empty()), "the box ends");
    }

    fn sigtstp_does_not_stop_a_clonebox_with_a_new_terminal_but_goes_to_the_box() needs [Box, Ptmx] {
        let (mut terminal, _) = at_work(&[], &["signals"]);
        terminal.signal(libc::SIGTSTP);
        terminal.expect("SIGTSTP");
    }

    fn a_notice_on_the_terminal_begins_at_the_beginning_of_a_line() needs [Box, Ptmx] {
        let (mut terminal, _) = at_work(&[], &["stay"]);
        terminal.signal(libc::SIGTERM);
        terminal.expect("--init\r\n");
        assert!(processes::eventually(|| terminal.is_raw()), "the terminal is raw again");
    }

    fn an_inherited_terminal_gives_a_shell_job_control() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run(shell(&["--tty=inherit"], &["/bin/sh", "-i"]));
        terminal.expect(PROMPT);
        terminal.send("exit\n");
        assert_eq!(terminal.end(), Change::Exited(0));
        does_not_complain(&terminal);
    }

    fn an_inherited_terminal_gives_a_bash_job_control() needs [Box, Ptmx, Bash] {
        let mut terminal = Terminal::new();
        terminal.run(shell(&["--tty=inherit"], &["/bin/bash", "--norc", "-i"]));
        terminal.expect(PROMPT);
        terminal.send("exit\n");
        assert_eq!(terminal.end(), Change::Exited(0));
        does_not_complain(&terminal);
    }

    fn an_inherited_terminal_is_the_callers_own() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let path = terminal.path().to_owned();
        terminal.run(clonebox(&["--tty=inherit"]).probe(["terminal"]));
        terminal.expect(&format!("0 true {path}"));
        terminal.expect("controlling\r\nleads a session false\r\nin front true\r\n");
    }

    fn ctrl_c_interrupts_a_program_on_an_inherited_terminal() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run(clonebox(&["--tty=inherit"]).probe(["signals"]));
        terminal.expect("ready");
        terminal.send("\x03");
        terminal.expect("SIGINT");
    }

    fn the_foreground_of_an_inherited_terminal_is_given_back() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let script = "\"$BOX\" --tty=inherit -- \"$IT\" __probe front; \"$IT\" __probe front";
        terminal.run_script(script);
        terminal.expect("true\r\ntrue\r\n");
    }

    fn the_foreground_is_given_back_when_a_shell_is_killed_whose_job_has_it() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let script = "\"$BOX\" --timeout=2 --tty=inherit -- /bin/sh -ic '\"$IT\" __probe stay'; \"$IT\" __probe front";
        terminal.run_script(script);
        terminal.expect("ready\r\n");
        terminal.expect("true\r\n");
    }

    fn the_foreground_is_given_back_when_the_box_does_not_start() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run_script("\"$BOX\" --tty=inherit -- /dev/null/none; \"$IT\" __probe front");
        terminal.expect("true\r\n");
    }

    fn an_inherited_terminal_has_its_settings_back_at_the_end() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let before = terminal.settings();
        terminal.run(clonebox(&["--tty=inherit"]).probe(["raw"]));
        assert_eq!(terminal.end(), Change::Exited(0));
        assert_eq!(terminal.settings(), before);
    }

    fn an_inherited_terminal_has_its_settings_back_after_a_timeout() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let before = terminal.settings();
        terminal.run(clonebox(&["--tty=inherit", "--timeout=1"]).probe(["raw", "stay"]));
        assert_eq!(terminal.end(), Change::Exited(124));
        assert_eq!(terminal.settings(), before);
    }

    fn ctrl_z_on_an_inherited_terminal_stops_clonebox_too_and_fg_continues_both() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let before = terminal.settings();
        terminal.run(clonebox(&["--tty=inherit", "--pid=host"]).probe(["signals", "SIGTSTP"]));
        terminal.expect("ready");
        terminal.send("\x1a");
        assert_eq!(terminal.wait(), Change::Stopped(libc::SIGTSTP));
        terminal.bring_to_front();
        terminal.expect("SIGCONT");
        terminal.send("\x03");
        terminal.expect("SIGINT");
        terminal.signal(libc::SIGUSR2);
        assert_eq!(terminal.wait(), Change::Exited(0));
        assert_eq!(terminal.settings(), before);
    }

    fn a_stopped_box_goes_on_in_the_background() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run(clonebox(&["--tty=inherit", "--pid=host"]).probe(["signals", "SIGTSTP"]));
        terminal.expect("ready");
        terminal.send("\x1a");
        assert_eq!(terminal.wait(), Change::Stopped(libc::SIGTSTP));
        terminal.go_on();
        terminal.expect("SIGCONT");
        terminal.give_foreground();
        let job = terminal.pid();
        assert!(processes::eventually(|| terminal.foreground() != job), "the box has it again");
        terminal.send("\x03");
        terminal.expect("SIGINT");
    }

    fn a_stopped_clonebox_gives_an_inherited_terminal_to_its_box_when_it_goes_on() needs [Box, Ptmx] {
        for options in [&["--tty=inherit"][..], &["--tty=inherit", "--init"]] {
            let mut terminal = Terminal::new();
            terminal.run(clonebox(options).probe(["hungry"]));
            terminal.expect("ready");
            terminal.signal(libc::SIGSTOP);
            assert_eq!(terminal.wait(), Change::Stopped(libc::SIGSTOP));
            terminal.bring_to_front();
            let job = terminal.pid();
            assert!(processes::eventually(|| terminal.foreground() != job), "the box has it again");
            terminal.send("on\n");
            terminal.expect("<on\\n>");
        }
    }

    fn a_box_on_an_inherited_terminal_waits_for_the_foreground() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run_behind(clonebox(&["--tty=inherit"]).probe(["hungry"]));
        assert_eq!(terminal.wait(), Change::Stopped(libc::SIGTTIN));
        terminal.bring_to_front();
        terminal.expect("ready");
        terminal.send("for the box\n");
        terminal.expect("<for the box\\n>");
    }

    fn a_job_in_the_background_stops_when_its_box_reads_an_inherited_terminal() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run_behind(clonebox(&["--tty=inherit", "--pid=host"]).probe(["hungry"]));
        terminal.expect("ready");
        assert!(matches!(terminal.wait(), Change::Stopped(_)));
        terminal.bring_to_front();
        terminal.send("for the box\n");
        terminal.expect("<for the box\\n>");
    }

    fn without_a_terminal_a_box_has_a_session_and_no_controlling_terminal() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.run_with_streams(["/dev/null", "-", "-"], clonebox(&[]).probe(["terminal"]));
        terminal.expect("0 false /dev/null");
        terminal.expect("ENXIO\r\nleads a session true");
    }

    fn without_a_terminal_bytes_pass_as_they_are() needs [Box] {
        let all: Vec<u8> = (0..=255).collect();
        let bytes = all.repeat(4096);
        let ran = Clonebox::new().input(bytes.clone()).probe(["copy"]).run().succeeds();
        assert!(ran.stdout_bytes() == bytes, "{} bytes", ran.stdout_bytes().len());
    }

    fn without_a_terminal_the_streams_of_the_box_are_the_callers_very_files() needs [Box] {
        let (read, write) = std::io::pipe().expect("a pipe");
        let id = |fd: std::os::fd::OwnedFd| {
            let file = fs::File::from(fd).metadata().expect("a file");
            format!("{} {}\n", file.dev(), file.ino())
        };
        let ids = [id(read.try_clone().expect("a descriptor").into()), id(write.try_clone().expect("a descriptor").into())];
        let mut command = Clonebox::new().probe(["streams"]).command();
        let status = command.stdin(read.try_clone().expect("a descriptor")).stdout(write).status();
        assert!(status.expect("it runs").success());
        drop(command);
        let said = std::io::read_to_string(read).expect("UTF-8");
        assert!(said.starts_with(&ids.concat()), "{ids:?} {said}");
    }

    fn tty_none_leaves_the_streams_and_takes_the_terminal() needs [Box, Ptmx] {
        let mut terminal = Terminal::new();
        let path = terminal.path().to_owned();
        terminal.run(clonebox(&["--tty=none"]).probe(["terminal"]));
        terminal.expect(&format!("0 true {path}"));
        terminal.expect("ENXIO\r\nleads a session true");
    }

    fn sudo_gives_a_shell_in_a_box_job_control() needs [Sudo, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.start("front", sudo(shell(&[], &["/bin/sh", "-i"])));
        terminal.expect(PROMPT);
        terminal.send("\"$IT\" __probe signals SIGTSTP\r");
        terminal.expect("ready\r\n");
        terminal.send("\x1a");
        terminal.expect("topped");
        terminal.expect(PROMPT);
        terminal.send("fg\r");
        terminal.expect("SIGCONT\r\n");
        terminal.send("\x03");
        terminal.expect("SIGINT\r\n");
        does_not_complain(&terminal);
    }

    fn sudo_passes_the_exit_code_on_and_leaves_the_terminal_as_it_was() needs [Sudo, Ptmx] {
        let mut terminal = Terminal::new();
        let before = terminal.settings();
        terminal.start("front", sudo(shell(&[], &["/bin/sh", "-i"])));
        terminal.expect(PROMPT);
        terminal.send("exit 5\r");
        assert_eq!(terminal.end(), Change::Exited(5));
        assert_eq!(terminal.settings(), before);
    }

    fn sudo_lets_a_resize_arrive() needs [Sudo, Ptmx] {
        let mut terminal = Terminal::new();
        terminal.start("front", sudo(clonebox(&[]).probe(["size"])));
        terminal.expect("size 24 80\r\n");
        terminal.resize(50, 132);
        terminal.expect("size 50 132\r\n");
    }

    fn sudo_loses_no_output_at_the_end() needs [Sudo, Ptmx] {
        for round in 0..5 {
            let mut terminal = Terminal::new();
            terminal.start("front", sudo(clonebox(&[]).probe(["flood", "1048576"])));
            assert_eq!(terminal.end(), Change::Exited(0));
            assert_eq!(terminal.seen().len(), 1 << 20, "round {round}");
        }
    }

    fn sudo_and_an_inherited_terminal_give_a_shell_job_control() needs [Sudo, Ptmx] {
        let mut terminal = Terminal::new();
        let before = terminal.settings();
        terminal.start("front", sudo(shell(&["--tty=inherit"], &["/bin/sh", "-i"])));
        terminal.expect(PROMPT);
        terminal.send("exit\r");
        assert_eq!(terminal.end(), Change::Exited(0));
        does_not_complain(&terminal);
        assert_eq!(terminal.settings(), before);
    }
}
