// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the parent does for a user namespace: it writes the maps while the child waits at the gate, and
//! before that makes the mounts whose ids are mapped. See user_namespaces(7).

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clonebox_child::Shared;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use super::outcome::{Cause, FailedCall, Failure};
use super::signals::AllBlocked;
use crate::host::subid;
use crate::pidfd::{has_ended as is_gone, kill};
use crate::plan::{ForUserns, Maps, Writer, map_lines};
use crate::spec::IdMapping;

/// How often a helper is looked at that has not ended. Our own choice: it takes a millisecond or two.
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// Bytes of what a helper says that are passed on.
const MOST_WORDS: u64 = 4096;

/// Why the maps are not written.
pub(super) enum Trouble {
    /// The child is gone, or the time is up: somebody else says why.
    Other,
    Failed(Failure),
}

/// The directory of a process in /proc.
pub(super) struct Process(OwnedFd);

impl Process {
    /// Opens it. That it is the right one is for the caller to know.
    pub(super) fn open(pid: u32) -> nix::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        open(Path::new(&format!("/proc/{pid}")), flags, Mode::empty()).map(Self)
    }

    /// Its user namespace.
    pub(super) fn user_namespace(&self) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        openat(&self.0, "ns/user", flags, Mode::empty())
    }

    /// Writes both maps, each in one call, as the kernel wants it.
    pub(super) fn write_maps(&self, maps: &Maps) -> Result<(), (&'static str, String, Errno)> {
        for (name, action, mappings) in [
            ("gid_map", "map the groups", &maps.gids),
            ("uid_map", "map the users", &maps.uids),
        ] {
            let text = map_lines(mappings);
            let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            let written = openat(&self.0, name, flags, Mode::empty())
                .map(fs::File::from)
                .and_then(|mut file| file.write_all(text.as_bytes()).map_err(errno_of));
            written.map_err(|errno| (action, call("/proc/<pid>", name, &text), errno))?;
        }
        Ok(())
    }

    fn is_mapped(&self, name: &str) -> bool {
        let mut text = String::new();
        let file = openat(
            &self.0,
            name,
            OFlag::O_RDONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        );
        let read = file.is_ok_and(|file| fs::File::from(file).read_to_string(&mut text).is_ok());
        read && !text.is_empty()
    }
}

/// The call as strace(1) prints it, which shortens what is long.
fn call(directory: &str, name: &str, text: &str) -> String {
    const SHOWN: usize = 64;
    let (shown, more) = text
        .split_at_checked(SHOWN)
        .map_or((text, ""), |(shown, _)| (shown, "..."));
    let length = text.len();
    format!("write(\"{directory}/{name}\", {shown:?}{more}, {length})")
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Serves the gate: writes the maps of the child that waits there, and opens it. Of a child that is gone
/// the report says why, not what could not be done for it.
pub(super) fn serve(
    plan: &ForUserns,
    shared: &Shared,
    deadline: Option<Instant>,
) -> Result<(), Trouble> {
    // SAFETY: the kernel has put it there before the child runs; it is closed when the launch ends.
    let pidfd = unsafe { BorrowedFd::borrow_raw(shared.pidfd.load(Ordering::Acquire)) };
    write(plan, pidfd, deadline).map_err(|trouble| {
        if is_gone(&pidfd) {
            Trouble::Other
        } else {
            trouble
        }
    })?;
    open_gate(&shared.gate);
    Ok(())
}

/// The same for a child of a clone that has not returned, until it has. One that cannot be let through is
/// ended: nobody else could.
pub(super) fn serve_unseen(
    plan: &ForUserns,
    shared: &Shared,
    over: &AtomicBool,
    deadline: Option<Instant>,
) -> Result<(), Trouble> {
    /// How often it is looked for. Our own choice: a clone takes some hundred microseconds.
    const LOOK_EVERY: Duration = Duration::from_micros(20);
    let _blocked = AllBlocked::new();
    // The kernel writes the number of the descriptor before there is one.
    while pid_of(shared.pidfd.load(Ordering::Acquire)).is_none() {
        if over.load(Ordering::Relaxed) {
            return Err(Trouble::Other);
        }
        thread::sleep(LOOK_EVERY);
    }
    let served = serve(plan, shared, deadline);
    if served.is_err() {
        // SAFETY: as for `serve`.
        let pidfd = unsafe { BorrowedFd::borrow_raw(shared.pidfd.load(Ordering::Acquire)) };
        let _ = kill(pidfd, libc::SIGKILL);
    }
    served
}

fn write(
    plan: &ForUserns,
    pidfd: BorrowedFd<'_>,
    deadline: Option<Instant>,
) -> Result<(), Trouble> {
    let pid = pid_of(pidfd.as_raw_fd()).ok_or_else(|| not_in_proc(Errno::ESRCH))?;
    let process = Process::open(pid).map_err(not_in_proc)?;
    // It is the one of this number as long as its pidfd says that it lives.
    if is_gone(&pidfd) {
        return Err(Trouble::Other);
    }
    match plan.writer {
        Writer::Child => return Ok(()),
        Writer::Parent => process
            .write_maps(&plan.maps)
            .map_err(|(action, call, errno)| failed(plan, action, call, Cause::Errno(errno)))?,
        Writer::Helpers => {
            for (helper, name, mappings) in [
                ("newgidmap", "gid_map", &plan.maps.gids),
                ("newuidmap", "uid_map", &plan.maps.uids),
            ] {
                run(plan, helper, pid, pidfd, mappings, deadline)?;
                // Only the file tells: whoever ignores SIGCHLD learns nothing of the helper's end.
                if !process.is_mapped(name) {
                    let words = format!("{helper} has written nothing");
                    return Err(failed(
                        plan,
                        action(helper),
                        line(helper, mappings),
                        Cause::Words(words),
                    ));
                }
            }
        }
    }
    Ok(())
}

fn not_in_proc(errno: Errno) -> Trouble {
    Trouble::Failed(Failure::Parent("find the box's process in /proc", errno))
}

fn failed(plan: &ForUserns, action: &str, call: String, cause: Cause) -> Trouble {
    Trouble::Failed(Failure::Call(Box::new(FailedCall {
        action: action.to_owned(),
        call,
        cause,
        origin: plan.origin.clone(),
        maps: None,
    })))
}

fn action(helper: &str) -> &'static str {
    if helper == "newgidmap" {
        "map the groups"
    } else {
        "map the users"
    }
}

/// How a helper is called, for people.
fn line(helper: &str, mappings: &[IdMapping]) -> String {
    let mappings: Vec<String> = mappings.iter().map(ToString::to_string).collect();
    format!("{helper} <pid> {}", mappings.join(" "))
}

/// Runs newuidmap(1) or newgidmap(1) for the child, until the deadline.
fn run(
    plan: &ForUserns,
    helper: &str,
    pid: u32,
    pidfd: BorrowedFd<'_>,
    mappings: &[IdMapping],
    deadline: Option<Instant>,
) -> Result<(), Trouble> {
    let fail = |words: String| {
        failed(
            plan,
            action(helper),
            line(helper, mappings),
            Cause::Words(words),
        )
    };
    let path = subid::helper(helper).map_err(fail)?;
    let numbers = mappings
        .iter()
        .flat_map(|one| [one.container_id, one.host_id, one.size]);
    let mut child = Command::new(path)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| fail(format!("{helper}: {error}")))?;
    let mut words = child.stderr.take();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            // Somebody else has waited for it.
            Err(_) => break None,
            Ok(None)
                if is_gone(&pidfd)
                    || deadline.is_some_and(|deadline| Instant::now() >= deadline) =>
            {
                // Its real user id is the caller's, so it can be killed.
                let _ = child.kill();
                let _ = child.wait();
                return Err(Trouble::Other);
            }
            Ok(None) => thread::sleep(LOOK_EVERY),
        }
    };
    match status {
        Some(status) if !status.success() => {
            let mut said = Vec::new();
            if let Some(words) = &mut words {
                // What it has not said does not matter.
                let _ = words.take(MOST_WORDS).read_to_end(&mut said);
            }
            let said = String::from_utf8_lossy(&said);
            let said = said
                .trim()
                .trim_start_matches(helper)
                .trim_start_matches(": ");
            let said = said.escape_debug();
            Err(fail(format!("{helper}: {said} ({status})")))
        }
        _ => Ok(()),
    }
}

fn open_gate(gate: &AtomicU32) {
    gate.store(1, Ordering::Release);
    // SAFETY: the word lives as long as the launch; nobody but the child waits there.
    unsafe { libc::syscall(libc::SYS_futex, gate.as_ptr(), libc::FUTEX_WAKE, 1) };
}

/// The number that the process of a pidfd has in the /proc that is mounted here, which need not be the one
/// that clone(2) says: proc_pid_fdinfo(5).
pub(super) fn pid_of(pidfd: i32) -> Option<u32> {
    if pidfd < 0 {
        return None;
    }
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{pidfd}")).ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok().filter(|&pid| pid != 0)
}
