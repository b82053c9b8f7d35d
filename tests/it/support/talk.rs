//! A program that is talked to while it runs: by signals, and by what it says, a line at a time.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long a program may be silent that owes a line.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets every signal do what it does by default. Whoever runs the tests may ignore some: a shell does so
/// with SIGINT and SIGQUIT for what it starts in the background.
pub(super) fn default_signals() {
    for number in 1..32 {
        // SAFETY: no handler is installed. Two of them cannot be set, and need not be.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
}

/// A program that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Talk {
    child: Child,
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Talk {
    pub(crate) fn with(mut command: Command) -> Self {
        let signals = || {
            default_signals();
            Ok(())
        };
        // SAFETY: only system calls are made between fork(2) and execve(2).
        unsafe { command.pre_exec(signals) };
        command.stdin(Stdio::piped());
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self {
            child: child.expect("it starts"),
            out: Vec::new(),
            err: Vec::new(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line on standard output.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let stdout = self.child.stdout.as_mut().expect("a pipe");
        match line(stdout, &mut self.out) {
            Some(line) => line,
            None => panic!("no line; on standard error: {:?}", self.complaint()),
        }
    }

    /// Waits for the next line on standard output, which is this.
    #[track_caller]
    pub(crate) fn says(&mut self, expected: &str) {
        let line = self.line();
        assert_eq!(line, expected, "on standard error: {:?}", self.complaint());
    }

    /// Waits for the next line on standard error.
    #[track_caller]
    pub(crate) fn complains(&mut self) -> String {
        let stderr = self.child.stderr.as_mut().expect("a pipe");
        line(stderr, &mut self.err).expect("a line on standard error")
    }

    /// What there is on standard error.
    fn complaint(&mut self) -> String {
        let stderr = self.child.stderr.as_mut().expect("a pipe");
        let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::ZERO) == Ok(1) {
            let mut bytes = [0; 4096];
            let count = stderr.read(&mut bytes).unwrap_or(0);
            self.err.extend_from_slice(&bytes[..count]);
        }
        String::from_utf8_lossy(&self.err).into_owned()
    }

    /// Says a line to it.
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{line}").expect("it listens");
    }

    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: the call takes numbers and touches no memory.
        let result = unsafe { libc::kill(self.pid().cast_signed(), signal) };
        assert_eq!(result, 0, "it was not waited for");
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Waits for its end: the status, and the rest of what it has said on either stream.
    pub(crate) fn end(mut self) -> (ExitStatus, String, String) {
        drop(self.child.stdin.take());
        let mut stderr = self.child.stderr.take().expect("a pipe");
        let mut err = std::mem::take(&mut self.err);
        let reader = std::thread::spawn(move || stderr.read_to_end(&mut err).map(|_| err));
        let mut out = std::mem::take(&mut self.out);
        let stdout = self.child.stdout.as_mut().expect("a pipe");
        stdout.read_to_end(&mut out).expect("it can be read");
        let err = reader.join().expect("no panic").expect("it can be read");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let status = self.child.wait().expect("a child");
        (status, text(out), text(err))
    }
}

impl Talk {
    /// Waits for its end, whoever has its streams: the signal that has killed it.
    pub(crate) fn end_without_streams(mut self) -> Option<i32> {
        self.child.wait().expect("a child").signal()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(from: &mut (impl Read + AsFd), seen: &mut Vec<u8>) -> Option<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(end) = seen.iter().position(|&byte| byte == b'\n') {
            let line = seen.drain(..=end).take(end).collect();
            return Some(String::from_utf8(line).expect("UTF-8"));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).expect("not that long");
        let ready = poll(&mut [PollFd::new(from.as_fd(), PollFlags::POLLIN)], timeout);
        let mut bytes = [0; 4096];
        if ready != Ok(1) {
            return None;
        }
        match from.read(&mut bytes) {
            Ok(count @ 1..) => seen.extend_from_slice(&bytes[..count]),
            _ => return None,
        }
    }
}
