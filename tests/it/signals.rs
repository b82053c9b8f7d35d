//! Signals: to the command, which passes them on, and what the program finds of the caller's.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::status::Status;
use crate::support::talk::Talk;
use crate::support::{Clonebox, binary, probe, tests};

/// Those that a user, a terminal or a service manager sends.
pub(crate) const FORWARDED: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGCONT,
    Signal::SIGWINCH,
    Signal::SIGTSTP,
    Signal::SIGINT,
    Signal::SIGUSR2,
];

/// A box at work on this probe.
pub(crate) fn at_work(options: &[&str], words: &[&str]) -> Talk {
    let mut talk = Talk::with(Clonebox::new().args(options).probe(words).command());
    talk.says("ready");
    talk
}

/// The status of a program that was started by a caller with masks and dispositions of its own.
fn started_by_an_odd_caller(options: &[&str]) -> Status {
    let mut command = std::process::Command::new(probe::path());
    command
        .args(["__probe", "with-signals"])
        .arg(binary())
        .args(options);
    let status = ["--", "/bin/cat", "/proc/self/status"];
    Status::printed(Clonebox::of(command).args(status).run().succeeds().stdout())
}

tests! {
    fn signals_to_clonebox_go_to_the_program() needs [Box] {
        let mut talk = at_work(&[], &["signals"]);
        for signal in FORWARDED {
            talk.signal(signal as i32);
            talk.says(signal.as_str());
        }
        assert_eq!(talk.end().0.code(), Some(0));
    }

    fn sigterm_to_clonebox_goes_to_the_program() needs [Box] {
        let mut talk = at_work(&[], &["signals"]);
        talk.signal(libc::SIGTERM);
        talk.says("SIGTERM");
    }

    fn a_second_sigint_within_a_second_kills_the_box() needs [Box] {
        second_kills(libc::SIGINT, libc::SIGINT);
    }

    fn a_sigterm_within_a_second_of_a_sigint_kills_the_box() needs [Box] {
        second_kills(libc::SIGINT, libc::SIGTERM);
    }

    fn a_second_sigterm_after_more_than_a_second_does_not_kill() needs [Box] {
        let mut talk = at_work(&[], &["signals"]);
        for _ in 0..2 {
            talk.signal(libc::SIGTERM);
            talk.says("SIGTERM");
            thread::sleep(Duration::from_millis(1100));
        }
        talk.signal(libc::SIGUSR2);
        talk.says("SIGUSR2");
        assert_eq!(talk.end().0.code(), Some(0));
    }

    fn a_pid_1_without_a_handler_is_told_of() needs [Box] {
        let mut talk = at_work(&[], &["stay"]);
        talk.signal(libc::SIGTERM);
        let notice = talk.complains();
        assert!(notice.contains("no handler for SIGTERM"), "{notice}");
        assert!(notice.contains("--init"), "{notice}");
        assert!(!talk.has_ended());
    }

    fn a_pid_1_that_waits_for_the_signal_is_not_told_of() needs [Box] {
        let mut talk = at_work(&[], &["waits-for-signals"]);
        talk.signal(libc::SIGTERM);
        talk.says("SIGTERM");
        let (status, _, complaint) = talk.end();
        assert_eq!((status.code(), &*complaint), (Some(0), ""));
    }

    fn a_program_that_is_not_pid_1_is_ended_by_a_signal() needs [Root] {
        let talk = at_work(&["--pid=host"], &["stay"]);
        talk.signal(libc::SIGTERM);
        let (status, _, complaint) = talk.end();
        assert_eq!((status.code(), &*complaint), (Some(143), ""));
    }

    fn sighup_that_the_caller_ignores_is_ignored_by_clonebox() needs [Box] {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(binary());
        let mut talk = Talk::with(Clonebox::of(command).probe(["signals"]).command());
        talk.says("ready");
        talk.signal(libc::SIGHUP);
        talk.signal(libc::SIGUSR1);
        talk.says("SIGUSR1");
        talk.signal(libc::SIGUSR2);
        talk.says("SIGUSR2");
        assert_eq!(talk.end().0.code(), Some(0));
    }

    fn no_signal_is_blocked_in_the_box_even_if_the_caller_blocks_some() needs [Box] {
        assert_eq!(started_by_an_odd_caller(&[]).set("SigBlk"), 0);
    }

    fn no_signal_is_ignored_in_the_box_even_if_the_caller_ignores_some() needs [Box] {
        assert_eq!(started_by_an_odd_caller(&[]).set("SigIgn"), 0);
    }

    fn no_signal_is_ignored_or_blocked_behind_an_init_either() needs [Box] {
        let status = started_by_an_odd_caller(&["--init"]);
        assert_eq!((status.set("SigBlk"), status.set("SigIgn")), (0, 0));
    }

    fn a_caller_that_ignores_sigchld_gets_the_exit_status() needs [Box] {
        let mut command = std::process::Command::new(probe::path());
        command.args(["__probe", "with-signals"]).arg(binary());
        Clonebox::of(command).probe(["exit", "7"]).run().exits_with(7).says_nothing_else();
    }
}

/// Two signals to a program that has handlers for both.
fn second_kills(first: i32, second: i32) {
    let mut talk = at_work(&[], &["signals"]);
    talk.signal(first);
    // In time, however slow the machine is.
    while !talk.has_ended() {
        talk.signal(second);
        thread::sleep(Duration::from_millis(50));
    }
    let (status, _, complaint) = talk.end();
    assert_eq!(status.code(), Some(137), "{complaint}");
    assert!(
        complaint.contains("killed by the second signal"),
        "{complaint}"
    );
}
