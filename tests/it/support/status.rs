//! What /proc/PID/status says of a process: proc_pid_status(5).

use std::fs;

use super::clonebox::run_probe;

/// The lines of the file.
#[derive(Debug)]
pub(crate) struct Status(String);

impl Status {
    /// Of the process that runs the tests.
    pub(crate) fn own() -> Self {
        Self(fs::read_to_string("/proc/self/status").expect("/proc"))
    }

    /// Of a process; `None` if it has gone.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        fs::read_to_string(format!("/proc/{pid}/status"))
            .ok()
            .map(Self)
    }

    /// Of the first process of a box with these options.
    #[track_caller]
    pub(crate) fn in_a_box(options: &[&str]) -> Self {
        Self(
            run_probe(options, &["cat", "/proc/self/status"])
                .succeeds()
                .stdout(),
        )
    }

    /// What a program has printed.
    pub(crate) fn printed(text: String) -> Self {
        Self(text)
    }

    /// The words of a field.
    #[track_caller]
    pub(crate) fn words(&self, field: &str) -> Vec<&str> {
        let line = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field} in:\n{}", self.0))
            .split_whitespace()
            .collect()
    }

    /// A field that is a set.
    #[track_caller]
    pub(crate) fn set(&self, field: &str) -> u64 {
        u64::from_str_radix(self.words(field)[0], 16).expect("hexadecimal digits")
    }
}
