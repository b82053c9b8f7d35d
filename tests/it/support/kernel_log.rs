// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel has logged of calls that a filter has refused or for which it has killed.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::process::{Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::binary;

/// How long a record may take to be there.
const PATIENCE_MS: u16 = 1000;

/// A place in the log.
pub(crate) struct KernelLog(File);

impl KernelLog {
    pub(crate) fn end() -> Result<Self, String> {
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg");
        let mut file = opened.map_err(|error| format!("/dev/kmsg: {error}"))?;
        let end = file.seek(SeekFrom::End(0));
        end.map_err(|error| format!("/dev/kmsg: {error}"))?;
        Ok(Self(file))
    }

    /// The next record of seccomp's since then, which is there or comes in a moment.
    pub(crate) fn next(&mut self) -> Option<String> {
        let mut record = [0; 8192];
        loop {
            if let Ok(length @ 1..) = self.0.read(&mut record) {
                let record = String::from_utf8_lossy(&record[..length]);
                if record.contains("type=1326 ") {
                    return Some(record.into_owned());
                }
                continue;
            }
            let mut asked = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            if poll(&mut asked, PollTimeout::from(PATIENCE_MS)) == Ok(0) {
                return None;
            }
        }
    }

    /// Whether a filter has killed a process.
    pub(crate) fn tells_of_a_kill(&mut self) -> bool {
        std::iter::from_fn(|| self.next()).any(|record| record.contains(" sig=31 "))
    }
}

/// Whether the log can be read here and has what filters kill, under the ids that this process sees.
pub(super) fn is_readable() -> Result<(), String> {
    let mut log = KernelLog::end()?;
    // `PROC_PID_INIT_INO` in the kernel's `proc_ns.h`.
    let namespace = std::fs::metadata("/proc/self/ns/pid").map_err(|error| error.to_string())?;
    if namespace.ino() != 0xefff_fffc {
        return Err("not the initial process namespace".into());
    }
    let logged = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_logged");
    if !logged.is_ok_and(|logged| logged.contains("errno")) {
        return Err("kernel.seccomp.actions_logged has no errno".into());
    }
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["getppid"], "action": "SCMP_ACT_KILL"}]}"#;
    let path = directory.path().join("deadly.json");
    std::fs::write(&path, profile).map_err(|error| error.to_string())?;
    // The first thing that a shell does is to set PPID.
    let ended = Command::new(binary())
        .arg("--seccomp")
        .arg(&path)
        .args(["--", "/bin/sh", "-c", ":"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    ended.map_err(|error| error.to_string())?;
    if log.tells_of_a_kill() {
        Ok(())
    } else {
        Err("the kernel's log has no audit records of seccomp".into())
    }
}
