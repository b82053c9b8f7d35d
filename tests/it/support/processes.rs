//! Processes, found by a word of their command line.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long something may take that happens by itself. Nothing is said of how long it does take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something is so. Says whether it is.
pub(crate) fn eventually(mut so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// A word that is on no other command line.
pub(crate) fn marker(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{what}-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// The processes that have the word on their command line. One that has ended has none.
pub(crate) fn marked(marker: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0)
            .any(|word| word == marker.as_bytes())
    })
    .collect()
}

/// Whether a process has a descriptor of this kind: a word of its link in /proc.
pub(crate) fn holds(pid: u32, kind: &str) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    let mut links = open
        .flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok());
    links.any(|link| link.as_os_str().to_string_lossy().contains(kind))
}
