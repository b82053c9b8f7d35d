//! Running the command.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The command under test: `CLONEBOX_BIN`, or what cargo has built.
pub(crate) fn binary() -> PathBuf {
    env::var_os("CLONEBOX_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_clonebox")), PathBuf::from)
}

/// A run of the command, to be described.
#[derive(Debug)]
pub(crate) struct Clonebox {
    command: Command,
    input: Option<Vec<u8>>,
}

impl Clonebox {
    pub(crate) fn new() -> Self {
        Self { command: Command::new(binary()), input: None }
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

    /// The command, for what this builder has no word for.
    pub(crate) fn command(self) -> Command {
        self.command
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Ran {
        let words: Vec<OsString> = self.command.get_args().map(OsStr::to_owned).collect();
        let input = self.input.take();
        self.command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the command can be started");
        if let Some(input) = input {
            // A program that reads nothing breaks the pipe, as it may.
            let _ = child.stdin.take().expect("a pipe").write_all(&input);
        }
        let output = child.wait_with_output().expect("the command ends");
        Ran { words, output }
    }
}

/// Runs the command with these words, without input.
pub(crate) fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    Clonebox::new().args(args).run()
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
        assert!(self.stderr().contains(text), "no {text:?} in:\n{}", self.all());
        self
    }

    #[track_caller]
    pub(crate) fn says_nothing_else(self) -> Self {
        assert_eq!(self.stderr(), "", "{}", self.all());
        self
    }
}
