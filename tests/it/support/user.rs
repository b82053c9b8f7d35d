//! An ordinary user, who is the one that runs the tests or, if that is root, somebody else.

use super::clonebox::{Clonebox, Ran};
use super::state::State;
use super::{binary, files};

/// The user whom tests become; any that is not root.
pub(crate) const USER: &str = "1234";

/// The command and its probes where any user may execute them.
#[derive(Debug)]
pub(crate) struct Place {
    program: files::Public,
    _directory: tempfile::TempDir,
    command: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let (program, directory) = (files::Public::new(), files::directory());
        let bytes = std::fs::read(binary()).expect("the command");
        let command = files::executable(directory.path(), "clonebox", bytes);
        Self {
            program,
            command: command.display().to_string(),
            _directory: directory,
        }
    }

    /// The binary of the probes.
    pub(crate) fn program(&self) -> &str {
        self.program.path()
    }

    pub(crate) fn command(&self) -> &str {
        &self.command
    }

    /// A run of a probe by an ordinary user, who is somebody else if root runs the tests.
    pub(crate) fn of_user(&self, words: &[&str]) -> Ran {
        self.program_of_user(&[&[self.program.path(), "__probe"], words].concat())
    }

    /// A run of the command by an ordinary user, with a probe in the box.
    pub(crate) fn box_of_user(&self, options: &[&str], words: &[&str]) -> Ran {
        let program = ["--", self.program.path(), "__probe"];
        self.program_of_user(&[&[self.command.as_str()], options, &program, words].concat())
    }

    /// A run of any program by him.
    pub(crate) fn program_of_user(&self, words: &[&str]) -> Ran {
        let mut words = words.to_owned();
        if nix::unistd::geteuid().is_root() {
            words.splice(
                0..0,
                [self.program.path(), "__probe", "as-user", USER, "--"],
            );
        }
        let mut command = std::process::Command::new(words[0]);
        command.args(&words[1..]).current_dir("/");
        Clonebox::of(command).run()
    }
}

/// The boxes of an ordinary user, in a directory of his, where root runs the tests. Those that a test leaves, because
/// it fails, are ended.
#[derive(Debug)]
pub(crate) struct Boxes<'a> {
    place: &'a Place,
    directory: tempfile::TempDir,
    script: String,
}

impl<'a> Boxes<'a> {
    pub(crate) fn new(place: &'a Place) -> Self {
        let directory = files::directory();
        let id: u32 = USER.parse().expect("a number");
        nix::unistd::chown(directory.path(), Some(id.into()), Some(id.into())).expect("root");
        let boxes = directory.path().join("boxes");
        let script = format!(
            "export {}={}; exec \"$@\"",
            State::VARIABLE,
            boxes.display()
        );
        Self {
            place,
            directory,
            script,
        }
    }

    /// The words before those of the command that make it his.
    pub(crate) fn shell(&self) -> [&str; 5] {
        ["/bin/sh", "-c", &self.script, "sh", self.place.command()]
    }

    /// A run of the command by him.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        self.place.program_of_user(&[&self.shell(), words].concat())
    }
}

impl Drop for Boxes<'_> {
    fn drop(&mut self) {
        if self.directory.path().join("boxes").exists() {
            self.run(&["kill", "--all"]);
        }
    }
}
