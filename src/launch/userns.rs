// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the parent does for a user namespace: it writes the maps while the child waits at the gate, and
//! before that makes the mounts whose ids are mapped. See user_namespaces(7).

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use super::gate::Trouble;
use super::outcome::{Cause, FailedCall, Failure};
use crate::errno;
use crate::host::subid;
use crate::pidfd::has_ended as is_gone;
use crate::plan::{ForUserns, Maps, Writer, map_lines};
use crate::spec::IdMapping;

/// How often a helper is looked at that has not ended. Our own choice: it takes a millisecond or two.
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// Bytes of what a helper says that are passed on.
const MOST_WORDS: u64 = 4096;

/// The directory of a process in /proc.
pub(super) struct Process(OwnedFd);

impl Process {
    /// Opens it. That it is the right one is for the caller to know.
    pub(super) fn open(pid: u32) -> nix::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        open(Path::new(&format!("/proc/{pid}")), flags, Mode::empty()).map(Self)
    }

    /// Its namespace of a kind: the name of a file in /proc/PID/ns.
    pub(super) fn namespace(&self, kind: &str) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        openat(&self.0, format!("ns/{kind}").as_str(), flags, Mode::empty())
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
                .and_then(|mut file| {
                    file.write_all(text.as_bytes())
                        .map_err(|error| errno::of(&error))
                });
            written.map_err(|errno| (action, call("/proc/<pid>", name, &text), errno))?;
        }
        Ok(())
    }

    pub(super) fn is_mapped(&self, name: &str) -> bool {
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

/// Writes the maps of a child that waits for them.
pub(super) fn write(
    plan: &ForUserns,
    process: &Process,
    pid: u32,
    pidfd: BorrowedFd<'_>,
    deadline: Option<Instant>,
) -> Result<(), Trouble> {
    match plan.writer {
        Writer::Child | Writer::Nobody { .. } => return Ok(()),
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

/// The number that the process of a pidfd has in the /proc that is mounted here, which need not be the one
/// that clone(2) says: proc_pid_fdinfo(5).
pub(super) fn pid_of(pidfd: BorrowedFd<'_>) -> nix::Result<u32> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let info = fs::read_to_string(path).map_err(|error| errno::of(&error))?;
    let mut lines = info.lines().filter_map(|line| line.strip_prefix("Pid:"));
    let pid = lines.next().and_then(|text| text.trim().parse().ok());
    pid.filter(|&pid| pid != 0).ok_or(Errno::ESRCH)
}
