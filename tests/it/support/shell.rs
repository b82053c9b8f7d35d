//! The helper of `pty.rs`: it leads the session of a terminal and runs one job there, in the foreground
//! or behind, as a shell does. It never changes the terminal's settings.
//!
//! It is told what to do on standard input, a word a line, and answers with a word and a number.

#![expect(
    clippy::print_stdout,
    reason = "the helper is a program of its own, which answers on standard output"
)]

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{SigHandler, Signal, killpg, signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, setpgid, setsid, tcsetpgrp};

use super::talk;

/// `front` or `behind`, the path of the terminal, and the job's words.
pub(super) fn run(words: &[OsString]) {
    let [place, path, program, args @ ..] = words else {
        panic!("{words:?}")
    };
    setsid().expect("a session");
    let terminal = File::options().read(true).write(true).open(path);
    let terminal = terminal.expect("a terminal");
    // SAFETY: the call takes numbers. The terminal is nobody's yet.
    unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) };
    for ours in [Signal::SIGTTOU, Signal::SIGHUP] {
        // SAFETY: no handler is installed.
        unsafe { signal(ours, SigHandler::SigIgn) }.expect("a signal");
    }
    let stream = || Stdio::from(terminal.try_clone().expect("a descriptor"));
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(stream())
        .stdout(stream())
        .stderr(stream());
    let in_front = place == "front";
    let prepare = move || {
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        if in_front {
            tcsetpgrp(io::stdin(), getpid())?;
        }
        talk::default_signals();
        Ok(())
    };
    // SAFETY: only system calls are made between fork(2) and execve(2).
    let child = unsafe { command.pre_exec(prepare) }.spawn();
    let job = Pid::from_raw(child.expect("the job starts").id().cast_signed());
    println!("job {job}");
    for word in io::stdin().lock().lines() {
        match word.expect("UTF-8").as_str() {
            "wait" => {
                let answer = wait(job);
                let _ = tcsetpgrp(&terminal, nix::unistd::getpgrp());
                println!("{answer}");
            }
            "front" => {
                tcsetpgrp(&terminal, job).expect("the job is there");
                println!("job {job}");
            }
            "continue" => {
                killpg(job, Signal::SIGCONT).expect("the job is there");
                println!("job {job}");
            }
            word => panic!("{word:?}"),
        }
    }
    // Also the one that has been waited for may have left others.
    let _ = killpg(job, Signal::SIGKILL);
    let _ = waitpid(job, None);
}

fn wait(job: Pid) -> String {
    match waitpid(job, Some(WaitPidFlag::WUNTRACED)) {
        Ok(WaitStatus::Exited(_, code)) => format!("exited {code}"),
        Ok(WaitStatus::Signaled(_, signal, _)) => format!("killed {}", signal as i32),
        Ok(WaitStatus::Stopped(_, signal)) => format!("stopped {}", signal as i32),
        change => panic!("{change:?}"),
    }
}
