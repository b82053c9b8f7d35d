// SPDX-License-Identifier: MIT OR Apache-2.0
//! pasta(1) for a box: started while the child waits at the gate, and tied to the box's life.
//!
//! ```text
//! launcher ── spawn ──▶ tie (a program of ours: src/init/tie.rs) ── fork ──▶ tie ── fork ──▶ pasta
//!    │   ends at once ◀────┘                        a session of its own ─────┘               │
//!    ◀───────────────────────────────── its process id, or why not, and an end of file ───────┘
//! ```
//!
//! Nobody but the second tie is sure to be there when the box ends: the launcher may have been killed, and pasta
//! forgets a parent-death signal as it changes namespaces. The pipe is what tells whether pasta is there: a number
//! when the network is connected, the end of the file when pasta has ended.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, poll};
use nix::unistd::pipe2;

use super::gate::Trouble;
use super::init;
use super::outcome::{Cause, FailedCall, Failure};
use super::userns::Process;
use crate::errno;
use crate::plan::Pasta;
use crate::poll::timeout;

/// Bytes of what it says that are passed on. Our own limit.
const MOST_WORDS: usize = 4096;

/// Starts it for a process that waits, and waits until the network is connected: its end of the pipe.
pub(super) fn connect(
    plan: &Pasta,
    process: &Process,
    pid: u32,
    pidfd: BorrowedFd<'_>,
    deadline: Option<Instant>,
) -> Result<OwnedFd, Trouble> {
    let cannot = |action| move |errno| Trouble::Failed(Failure::Parent(action, errno));
    let network = process
        .namespace("net")
        .map_err(cannot("open the box's network namespace"))?;
    let user = if plan.joins_userns {
        let user = process.namespace("user");
        Stdio::from(user.map_err(cannot("open the box's user namespace"))?)
    } else {
        Stdio::null()
    };
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(cannot("make a pipe for pasta"))?;
    // What nobody reads must not hold it up.
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(cannot("make a pipe for pasta"))?;
    let program = init::sealed().map_err(cannot("make the init ready"))?;
    let mut tie = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    tie.arg0("tie")
        .arg(pid.to_string())
        .arg(&plan.program)
        .arg("pasta")
        .args(&plan.args)
        .env_clear()
        .stdin(Stdio::from(network))
        .stdout(user)
        .stderr(Stdio::from(write));
    let fail = |words: String| Trouble::Failed(failed(plan, words));
    let started = tie.spawn().map_err(|error| fail(format!("{error}")));
    // The writing end is open in what was spawned only.
    drop(tie);
    // Whoever ignores SIGCHLD learns nothing of its end; its own child goes on.
    let ended = started?.wait();
    if ended.is_ok_and(|status| !status.success()) {
        return Err(fail("its keeper cannot be started".to_owned()));
    }
    await_word(plan, File::from(read), pidfd, deadline)
}

fn failed(plan: &Pasta, words: String) -> Failure {
    Failure::Call(Box::new(FailedCall {
        action: "connect the network of the box".to_owned(),
        call: format!("pasta {}", plan.args.join(" ")),
        cause: Cause::Words(format!("pasta: {words}")),
        origin: plan.origin.clone(),
        maps: None,
    }))
}

/// Reads until there is its process id, in a line of its own, or no more.
fn await_word(
    plan: &Pasta,
    mut pipe: File,
    pidfd: BorrowedFd<'_>,
    deadline: Option<Instant>,
) -> Result<OwnedFd, Trouble> {
    let mut said = Vec::new();
    loop {
        let mut both = [pipe.as_fd(), pidfd].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut both, timeout(deadline)) {
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(Trouble::Failed(Failure::Parent("wait for pasta", errno))),
            // The time is up.
            Ok(0) => return Err(Trouble::Other),
            Ok(_) => {}
        }
        let [told, gone] = both.map(|fd| fd.revents().is_some_and(|found| !found.is_empty()));
        if told {
            let mut piece = [0; 512];
            let length = pipe
                .read(&mut piece)
                .map_err(|error| Failure::Parent("wait for pasta", errno::of(&error)))
                .map_err(Trouble::Failed)?;
            said.extend_from_slice(piece.get(..length).unwrap_or_default());
            if is_ready(&said) {
                return Ok(pipe.into());
            }
            if length == 0 || said.len() > MOST_WORDS {
                return Err(Trouble::Failed(failed(plan, words(&said))));
            }
        } else if gone {
            return Err(Trouble::Other);
        }
    }
}

/// Whether a whole line is a number.
fn is_ready(said: &[u8]) -> bool {
    let mut lines = said.split_inclusive(|&byte| byte == b'\n');
    lines.any(|line| {
        let number = line.strip_suffix(b"\n").unwrap_or_default();
        !number.is_empty() && number.iter().all(u8::is_ascii_digit)
    })
}

/// What it has said of what is wrong, in one line. Of the log of a host that keeps none it is not.
fn words(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines = said.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("Failed to send "));
    let lines: Vec<String> = lines.map(harmless).collect();
    if lines.is_empty() {
        "it has ended without a word".to_owned()
    } else {
        lines.join("; ")
    }
}

/// A text that drives no terminal.
fn harmless(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_a_whole_line_is_a_number() {
        assert!(is_ready(b"4711\n"));
        assert!(is_ready(b"a word\n4711\n"));
        for not_yet in ["", "4711", "\n", "a 4711\n", "word\n47"] {
            assert!(!is_ready(not_yet.as_bytes()), "{not_yet:?}");
        }
    }

    #[test]
    fn what_it_says_is_one_line_that_drives_no_terminal() {
        assert_eq!(
            words(b"\nFailed to send 9 bytes to syslog\none\x1b\ntwo\n"),
            "one\\u{1b}; two"
        );
        assert_eq!(words(b""), "it has ended without a word");
    }
}
