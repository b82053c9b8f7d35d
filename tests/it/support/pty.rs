//! A terminal to run the command on: a pseudoterminal whose session a helper leads, as a shell would,
//! and a job that it runs there. See `shell.rs`, which is the helper.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{PtyMaster, Winsize, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcsetattr};
use nix::unistd::tcgetpgrp;

use super::clonebox::{Clonebox, binary};
use super::{probe, processes};

/// How long a terminal may be silent that owes an answer.
const PATIENCE: Duration = Duration::from_secs(60);

nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, Winsize);

/// What a job has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Exited(i32),
    Killed(i32),
    Stopped(i32),
}

/// A terminal and its job. Both end when this is dropped.
#[derive(Debug)]
pub(crate) struct Terminal {
    ptmx: Option<PtyMaster>,
    pts: File,
    path: String,
    shell: Option<Child>,
    job: i32,
    ended: bool,
    /// What the job has printed, and how much of it was expected.
    seen: Vec<u8>,
    expected: usize,
    answers: Vec<u8>,
    slow: bool,
}

impl Terminal {
    /// A terminal with the kernel's settings and 24 lines of 80 characters.
    pub(crate) fn new() -> Self {
        // Closed by execve(2) from the first: other tests start programs at the same time.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let ptmx = posix_openpt(flags).expect("a pseudoterminal");
        unlockpt(&ptmx).expect("a pseudoterminal");
        let path = ptsname_r(&ptmx).expect("its name");
        let pts = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(&path);
        let terminal = Self {
            ptmx: Some(ptmx),
            pts: pts.expect("a terminal"),
            path,
            shell: None,
            job: 0,
            ended: false,
            seen: Vec::new(),
            expected: 0,
            answers: Vec::new(),
            slow: false,
        };
        terminal.resize(24, 80);
        terminal
    }

    /// Runs the command as a job in the foreground.
    pub(crate) fn run(&mut self, command: Clonebox) {
        self.start("front", command.command());
    }

    /// Runs the command as a job in the background.
    pub(crate) fn run_behind(&mut self, command: Clonebox) {
        self.start("behind", command.command());
    }

    /// Runs the command with other standard streams; `-` is the terminal.
    pub(crate) fn run_with_streams(&mut self, streams: [&str; 3], command: Clonebox) {
        let command = command.command();
        let mut redirected = Command::new(probe::path());
        redirected.args(["__probe", "with-streams"]).args(streams);
        redirected
            .arg(command.get_program())
            .args(command.get_args());
        self.start("front", redirected);
    }

    /// Runs a script of the shell, for which this binary is $IT and the command is $BOX.
    pub(crate) fn run_script(&mut self, script: &str) {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script])
            .env("IT", probe::path())
            .env("BOX", binary());
        self.start("front", command);
    }

    /// Runs any program.
    pub(crate) fn start(&mut self, place: &str, command: Command) {
        let mut shell = Command::new(probe::path());
        shell.args(["__probe", "shell", place, &self.path]);
        shell.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            shell.env(name, value.unwrap_or_default());
        }
        let shell = shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the helper starts");
        let answers = shell.stdout.as_ref().expect("a pipe");
        fcntl(answers, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a descriptor");
        self.shell = Some(shell);
        self.ended = false;
        self.job = self.answer("job");
    }

    /// The path of the terminal.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Whether the job's first process is neither stopped nor gone.
    pub(crate) fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.job)).unwrap_or_default();
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with(['R', 'S', 'D']))
    }

    /// The job's process id.
    pub(crate) fn pid(&self) -> i32 {
        self.job
    }

    /// The processes of the job that have this word on their command line.
    pub(crate) fn marked(&self, marker: &str) -> Vec<u32> {
        let helper = self.shell.as_ref().map(Child::id);
        let mut pids = processes::marked(marker);
        pids.retain(|&pid| Some(pid) != helper);
        pids
    }

    fn ptmx(&mut self) -> &mut PtyMaster {
        self.ptmx.as_mut().expect("it has not hung up")
    }

    /// Types.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.ptmx()
            .write_all(bytes.as_ref())
            .expect("there is room");
    }

    /// Waits until the job prints this, after what it was expected to print before.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rest = &self.seen[self.expected..];
            if let Some(at) = find(rest, text.as_bytes()) {
                self.expected += at + text.len();
                return;
            }
            assert!(
                self.wait_for_bytes(deadline),
                "no {text:?} in:\n{}",
                self.shown()
            );
        }
    }

    /// What the job has printed so far.
    pub(crate) fn seen(&self) -> &[u8] {
        &self.seen
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Asserts that the job has not printed this.
    #[track_caller]
    pub(crate) fn has_not_seen(&self, text: &str) {
        assert!(
            find(&self.seen, text.as_bytes()).is_none(),
            "{text:?} in:\n{}",
            self.shown()
        );
    }

    /// Reads with pauses from now on, as a terminal far away.
    pub(crate) fn slow_down(&mut self) {
        self.slow = true;
    }

    /// Reads what has been printed, or what the helper says: whether there was anything before the deadline.
    fn wait_for_bytes(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).expect("not that long");
        let answers = self.shell.as_ref().and_then(|shell| shell.stdout.as_ref());
        let fds = [
            self.ptmx.as_ref().map(AsFd::as_fd),
            answers.map(AsFd::as_fd),
        ];
        let mut fds: Vec<PollFd<'_>> = fds
            .into_iter()
            .flatten()
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        if poll(&mut fds, timeout) == Ok(0) {
            return false;
        }
        drop(fds);
        if self.slow {
            std::thread::sleep(Duration::from_micros(500));
        }
        let seen = read(self.ptmx.as_mut(), &mut self.seen, 4096);
        let answers = self.shell.as_mut().and_then(|shell| shell.stdout.as_mut());
        let answered = read(answers, &mut self.answers, 4096);
        seen || answered
    }

    /// Tells the helper something and waits for its answer.
    #[track_caller]
    fn ask(&mut self, word: &str) {
        let shell = self.shell.as_mut().expect("a job is running");
        let stdin = shell.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{word}").expect("the helper listens");
    }

    /// The number that the helper says after a word.
    #[track_caller]
    fn answer(&mut self, word: &str) -> i32 {
        let (found, number) = self.any_answer();
        assert_eq!(found, word, "{number}\n{}", self.shown());
        number
    }

    #[track_caller]
    fn any_answer(&mut self) -> (String, i32) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.answers.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.answers.drain(..=end).collect();
                let line = String::from_utf8(line).expect("UTF-8");
                let (word, number) = line.trim().split_once(' ').expect("two words");
                return (word.to_owned(), number.parse().expect("a number"));
            }
            assert!(
                self.wait_for_bytes(deadline),
                "the helper is silent; the job has printed:\n{}",
                self.shown()
            );
        }
    }

    /// Waits until the job has ended or stopped. The foreground is the helper's again.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> Change {
        self.ask("wait");
        let change = match self.any_answer() {
            (word, code) if word == "exited" => Change::Exited(code),
            (word, signal) if word == "killed" => Change::Killed(signal),
            (word, signal) if word == "stopped" => Change::Stopped(signal),
            answer => panic!("{answer:?}"),
        };
        self.ended = !matches!(change, Change::Stopped(_));
        change
    }

    /// Waits for the end, and for the rest of what was printed.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Change {
        let change = self.wait();
        while self.wait_for_bytes(Instant::now() + Duration::from_millis(50)) {}
        change
    }

    /// Brings the job to the foreground, as `fg` does with one that was stopped.
    pub(crate) fn bring_to_front(&mut self) {
        self.give_foreground();
        self.go_on();
    }

    /// Gives the job the foreground, as `fg` does with one that is running.
    pub(crate) fn give_foreground(&mut self) {
        self.ask("front");
        self.answer("job");
    }

    /// Continues the job where it is, as `bg` does.
    pub(crate) fn go_on(&mut self) {
        self.ask("continue");
        self.answer("job");
    }

    /// Sends a signal to the job's first process.
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: the call takes numbers and touches no memory.
        assert_eq!(unsafe { libc::kill(self.job, signal) }, 0, "the job runs");
    }

    /// Sends a signal to all of the job.
    pub(crate) fn signal_all(&self, signal: i32) {
        // SAFETY: the call takes numbers and touches no memory.
        assert_eq!(unsafe { libc::killpg(self.job, signal) }, 0, "the job runs");
    }

    /// The terminal's settings.
    pub(crate) fn settings(&self) -> Termios {
        // musl leaves what the kernel's structure does not have as it was; two of them are to be compared.
        // SAFETY: numbers, for all of which 0 is a value.
        let mut settings: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open, and the call writes a structure, which lives during the call.
        let got = unsafe { libc::tcgetattr(self.pts.as_raw_fd(), &raw mut settings) };
        Errno::result(got).expect("a terminal");
        settings.into()
    }

    pub(crate) fn set(&self, settings: &Termios) {
        tcsetattr(&self.pts, SetArg::TCSANOW, settings).expect("a terminal");
    }

    /// Whether bytes pass as they are.
    pub(crate) fn is_raw(&self) -> bool {
        let settings = self.settings();
        let mut raw = settings.clone();
        cfmakeraw(&mut raw);
        settings == raw
    }

    /// Sets the size; the kernel tells the foreground.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the kernel reads the structure.
        unsafe { set_window_size(self.pts.as_raw_fd(), &raw const size) }.expect("a terminal");
    }

    /// The process group in the foreground.
    pub(crate) fn foreground(&self) -> i32 {
        let ptmx = self.ptmx.as_ref().expect("it has not hung up");
        tcgetpgrp(ptmx).expect("a terminal").as_raw()
    }

    /// Closes the terminal, as a window is closed.
    pub(crate) fn hang_up(&mut self) {
        self.ptmx = None;
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            // The helper ends the job when nobody talks to it any more; but it may be waiting for the job.
            drop(shell.stdin.take());
            if !self.ended {
                for pid in [self.job, -self.job] {
                    // SAFETY: the call takes numbers and touches no memory.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                }
            }
            let _ = shell.wait();
        }
    }
}

/// Reads what there is: whether there was anything.
fn read(from: Option<&mut impl Read>, into: &mut Vec<u8>, most: usize) -> bool {
    let Some(from) = from else { return false };
    let mut bytes = vec![0; most];
    match from.read(&mut bytes) {
        Ok(count) => {
            into.extend_from_slice(&bytes[..count]);
            count > 0
        }
        Err(_) => false,
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
