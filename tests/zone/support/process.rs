//! What a process has: its descriptors, its children, its ids by the kernel's own word.

use std::fs;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

/// The process id, by the system call: libc's would do, but the promise is the kernel's.
pub(crate) fn raw_pid() -> i32 {
    // SAFETY: the call takes nothing, touches no memory, and does not fail.
    unsafe { libc::syscall(libc::SYS_getpid) as i32 }
}

/// How many descriptors are open.
pub(crate) fn descriptors() -> Vec<String> {
    let directory = fs::read_dir("/proc/self/fd").expect("/proc is mounted");
    let mut open: Vec<String> = directory
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            // The descriptor that reads this directory is not there any more.
            let own = target.to_string_lossy().ends_with("/fd");
            (!own).then(|| format!("{} -> {}", entry.file_name().display(), target.display()))
        })
        .collect();
    open.sort();
    open
}

/// Fails if this process has a child, dead or alive.
#[track_caller]
pub(crate) fn assert_no_child() {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let found = waitid(Id::All, flags | WaitPidFlag::__WALL);
    assert_eq!(found, Err(Errno::ECHILD), "a child is left");
}

/// The processes whose parent this one is.
pub(crate) fn children() -> Vec<i32> {
    let own = raw_pid().to_string();
    let is_own = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields);
        fields.and_then(|fields| fields.split_whitespace().nth(1)) == Some(&own)
    };
    let all = fs::read_dir("/proc").expect("/proc is mounted");
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut children: Vec<i32> = pids.filter(|&pid| is_own(pid)).collect();
    children.sort_unstable();
    children
}

/// Waits for a child process, with its status as wait(2) has it.
pub(crate) fn wait(pid: i32) -> WaitStatus {
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).expect("it is a child")
}

/// A line of a `status` file of /proc, such as `SigBlk`.
pub(crate) fn status_field(status: &str, name: &str) -> String {
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(field, _)| *field == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {status}"))
        .1
        .trim()
        .to_owned()
}
