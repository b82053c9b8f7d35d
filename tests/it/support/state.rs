//! A directory of boxes of a test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::clonebox::{Clonebox, Ran, Running};
use super::processes::eventually;

/// The directory. The command makes it; it is removed with what is in it.
#[derive(Debug)]
pub(crate) struct State(PathBuf);

impl State {
    /// What tells the command where it is.
    pub(crate) const VARIABLE: &str = "CLONEBOX_STATE_DIR";

    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("clonebox-it-{}-{count}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A run of the command that uses it.
    pub(crate) fn clonebox(&self) -> Clonebox {
        Clonebox::new().env(Self::VARIABLE, &self.0)
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
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    /// A file of a box.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
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
        let _ = fs::remove_dir_all(&self.0);
    }
}
