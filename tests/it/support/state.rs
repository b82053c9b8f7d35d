//! A directory of boxes of a test's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::clonebox::{Clonebox, Ran, Running, binary};
use super::processes::eventually;

/// The directory. The command makes it; it is removed with what is in it, and the boxes that still run are ended:
/// a test that fails may leave some.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    /// Through sudo, as an ordinary user who may use that.
    by_sudo: bool,
}

impl State {
    /// What tells the command where it is.
    pub(crate) const VARIABLE: &str = "CLONEBOX_STATE_DIR";

    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("clonebox-it-{}-{count}", std::process::id());
        Self {
            path: std::env::temp_dir().join(name),
            by_sudo: false,
        }
    }

    /// One of root's, in which each command is run through sudo.
    pub(crate) fn of_sudo() -> Self {
        let mut state = Self::new();
        state.by_sudo = true;
        state
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A run of the command that uses it.
    pub(crate) fn clonebox(&self) -> Clonebox {
        if !self.by_sudo {
            return Clonebox::new().env(Self::VARIABLE, &self.path);
        }
        let mut sudo = Command::new("sudo");
        let variable = format!("{}={}", Self::VARIABLE, self.path.display());
        sudo.args(["-n", "env", &variable]).arg(binary());
        // sudo does not pass it on; it says that the boxes are not in a directory of their own.
        Clonebox::of(sudo).env(Self::VARIABLE, &self.path)
    }

    /// Runs the command with these words.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        self.clonebox().args(words).run()
    }

    /// Starts a box of this name that stays until it is ended; its program runs.
    #[track_caller]
    pub(crate) fn start(&self, name: &str, options: &[&str]) -> Running {
        let named = ["--name", name];
        let running = self
            .clonebox()
            .args(named)
            .args(options)
            .probe(["stay"])
            .start();
        assert!(
            eventually(|| self.is(name, "running")),
            "{name} does not run: {:?}",
            self.list()
        );
        running
    }

    /// What `ps --json` says.
    #[track_caller]
    pub(crate) fn list(&self) -> Vec<Value> {
        let text = self.run(&["ps", "--json"]).succeeds().stdout();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// The box of this name in the list.
    #[track_caller]
    pub(crate) fn find(&self, name: &str) -> Option<Value> {
        self.list().into_iter().find(|found| found["name"] == name)
    }

    #[track_caller]
    pub(crate) fn is(&self, name: &str, state: &str) -> bool {
        self.find(name).is_some_and(|found| found["state"] == state)
    }

    #[track_caller]
    pub(crate) fn pid(&self, name: &str) -> u64 {
        let found = self.find(name).expect("a box");
        found["pid"].as_u64().expect("a process")
    }

    /// The files in the directory.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    /// A file of a box.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Changes what is written about a box.
    pub(crate) fn forge(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let file = self.file(&format!("{name}.box"));
        let mut record: Value =
            serde_json::from_slice(&fs::read(&file).expect("a record")).expect("JSON");
        change(&mut record);
        fs::remove_file(&file).expect("it is ours");
        fs::write(&file, format!("{record}\n")).expect("it is ours");
    }

    /// A record of a box whose first process is this one, of which the kernel says another start.
    pub(crate) fn process(pid: u32, start_ticks: u64) -> Value {
        json!({ "pid": pid, "start_ticks": start_ticks, "pidfs_inode": null })
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if self.by_sudo || !self.files().is_empty() {
            let mut kill = self.clonebox().args(["kill", "--all"]).command();
            let _ = kill.stdin(Stdio::null()).output();
        }
        if self.by_sudo {
            let mut remove = Command::new("sudo");
            let _ = remove.args(["-n", "rm", "-rf"]).arg(&self.path).status();
            return;
        }
        // A keeper that writes down how its box has ended makes a file meanwhile.
        let is_filled = |result: io::Result<()>| {
            result.is_err_and(|error| error.kind() == io::ErrorKind::DirectoryNotEmpty)
        };
        eventually(|| !is_filled(fs::remove_dir_all(&self.path)));
    }
}
