//! Running the command.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;

use super::probe;
use super::state::State;

/// The command under test: `CLONEBOX_BIN`, or what cargo has built.
pub(crate) fn binary() -> PathBuf {
    env::var_os("CLONEBOX_BIN").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_clonebox")),
        PathBuf::from,
    )
}

/// A run of the command, to be described.
#[derive(Debug)]
pub(crate) struct Clonebox {
    command: Command,
    input: Option<Vec<u8>>,
}

impl Clonebox {
    pub(crate) fn new() -> Self {
        Self::of(Command::new(binary()))
    }

    /// A run by way of another program.
    pub(crate) fn of(command: Command) -> Self {
        Self {
            command,
            input: None,
        }
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Adds this binary as the program, to answer a probe.
    pub(crate) fn probe(self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args(["--", &probe::path(), "__probe"]).args(words)
    }

    pub(crate) fn current_dir(mut self, path: impl AsRef<Path>) -> Self {
        self.command.current_dir(path);
        self
    }

    /// The command, for what this builder has no word for.
    pub(crate) fn command(self) -> Command {
        self.command
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Ran {
        self.start().end()
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> Running {
        // Names of other tests are not in the way.
        let state = (!self
            .command
            .get_envs()
            .any(|(name, _)| name == State::VARIABLE))
        .then(State::new);
        if let Some(state) = &state {
            self.command.env(State::VARIABLE, state.path());
        }
        let words: Vec<OsString> = self.command.get_args().map(OsStr::to_owned).collect();
        let input = self.input.take();
        self.command.stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the command can be started");
        if let Some(input) = input {
            let mut stdin = child.stdin.take().expect("a pipe");
            // A program that reads nothing breaks the pipe, as it may.
            thread::spawn(move || stdin.write_all(&input));
        }
        Running {
            words,
            child: Some(child),
            _state: state,
        }
    }
}

/// Runs a probe in a box with these options.
pub(crate) fn run_probe(options: &[&str], words: &[&str]) -> Ran {
    Clonebox::new().args(options).probe(words).run()
}

/// The options for a user namespace in which the caller is root, and alone: on every kernel, for everybody.
pub(crate) fn alone() -> [&'static str; 2] {
    static WORDS: OnceLock<[String; 2]> = OnceLock::new();
    let words = WORDS.get_or_init(|| {
        [
            format!("--uidmap=0:{}:1", nix::unistd::geteuid()),
            format!("--gidmap=0:{}:1", nix::unistd::getegid()),
        ]
    });
    words.each_ref().map(String::as_str)
}

/// Runs the command with these words, without input.
pub(crate) fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    Clonebox::new().args(args).run()
}

/// A run that has not ended; it does when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    words: Vec<OsString>,
    child: Option<Child>,
    _state: Option<State>,
}

impl Running {
    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("it is waited for once")
    }

    pub(crate) fn pid(&mut self) -> u32 {
        self.child().id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child().try_wait().expect("a child").is_some()
    }

    /// Waits until the program says that it runs.
    #[track_caller]
    pub(crate) fn ready(&mut self) {
        let mut word = [0; 6];
        let stdout = self.child().stdout.as_mut().expect("a pipe");
        let read = stdout.read_exact(&mut word);
        assert!(read.is_ok() && &word == b"ready\n", "the box is not ready");
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ran {
        let child = self.child.take().expect("it is waited for once");
        let output = child.wait_with_output().expect("the command ends");
        Ran {
            words: std::mem::take(&mut self.words),
            output,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What became of it. Each look at it fails with all there is to see.
#[derive(Debug)]
pub(crate) struct Ran {
    words: Vec<OsString>,
    output: Output,
}

impl Ran {
    fn all(&self) -> String {
        format!(
            "clonebox {:?}\n{}\n--- stdout\n{}--- stderr\n{}",
            self.words,
            self.output.status,
            self.stdout(),
            self.stderr()
        )
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub(crate) fn stdout_bytes(&self) -> &[u8] {
        &self.output.stdout
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Its exit code; `None` if a signal has ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    #[track_caller]
    pub(crate) fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.output.status.code(), Some(code), "{}", self.all());
        self
    }

    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        self.exits_with(0)
    }

    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert_eq!(self.stdout(), text, "{}", self.all());
        self
    }

    #[track_caller]
    pub(crate) fn complains(self, text: &str) -> Self {
        assert!(
            self.stderr().contains(text),
            "no {text:?} in:\n{}",
            self.all()
        );
        self
    }

    /// Fails if there is such a text on standard error.
    #[track_caller]
    pub(crate) fn says_nothing_of(self, text: &str) -> Self {
        assert!(
            !self.stderr().contains(text),
            "{text:?} in:\n{}",
            self.all()
        );
        self
    }

    #[track_caller]
    pub(crate) fn says_nothing_else(self) -> Self {
        assert_eq!(self.stderr(), "", "{}", self.all());
        self
    }
}
