// SPDX-License-Identifier: MIT OR Apache-2.0
//! What proves that a process still is the one that it was: a process id is used again.
//!
//! On pidfs (since Linux 6.9) the inode of a pidfd is the process's alone, for as long as the machine is up.
//! Before, the time of its start has to do, which the kernel counts in hundredths of a second.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::stat::fstat;
use nix::sys::statfs::fstatfs;
use serde_json::{Value, json};

use super::{has_ended, of_process};

/// `PID_FS_MAGIC` in `linux/magic.h`.
const PID_FS_MAGIC: i64 = 0x5049_4446;

/// A process, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its id in the process namespace of whoever has written this.
    pub(crate) pid: u32,
    /// When it was started, in ticks of the clock since the boot: proc_pid_stat(5).
    pub(crate) start_ticks: u64,
    /// The inode of its pidfd, where pidfds have inodes of their own.
    pub(crate) pidfs_inode: Option<u64>,
}

impl Identity {
    /// That of a process which has not been waited for.
    pub(crate) fn of(pid: u32, pidfd: &impl AsFd) -> io::Result<Self> {
        Ok(Self {
            pid,
            start_ticks: start_ticks(pid)?,
            pidfs_inode: pidfs_inode(pidfd),
        })
    }

    /// A pidfd of this very process; `None` if it is gone.
    pub(crate) fn find(&self) -> io::Result<Option<OwnedFd>> {
        let pidfd = match of_process(self.pid) {
            Ok(pidfd) => pidfd,
            // No process has this id; or a thread has.
            Err(Errno::ESRCH | Errno::EINVAL | Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let same = match (self.pidfs_inode, pidfs_inode(&pidfd)) {
            (Some(known), Some(found)) => known == found,
            // The id is that of this process for as long as it has not been waited for: so it is read
            // first, and the pidfd asked after that.
            _ => start_ticks(self.pid).is_ok_and(|found| found == self.start_ticks),
        };
        Ok(Some(pidfd).filter(|pidfd| same && !has_ended(pidfd)))
    }

    pub(crate) fn to_json(self) -> Value {
        json!({
            "pid": self.pid,
            "start_ticks": self.start_ticks,
            "pidfs_inode": self.pidfs_inode,
        })
    }

    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            pid: value["pid"]
                .as_u64()?
                .try_into()
                .ok()
                .filter(|&pid| pid > 0)?,
            start_ticks: value["start_ticks"].as_u64()?,
            pidfs_inode: value["pidfs_inode"].as_u64(),
        })
    }
}

fn pidfs_inode(pidfd: &impl AsFd) -> Option<u64> {
    // The type of the number differs between C libraries and architectures.
    let kind = fstatfs(pidfd).ok()?.filesystem_type().0;
    let own = kind.to_string() == PID_FS_MAGIC.to_string();
    own.then(|| fstat(pidfd).ok().map(|found| found.st_ino))
        .flatten()
}

fn start_ticks(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // After the name, which may contain anything, the state is the third field and this one the 22nd.
    let rest = stat.rsplit_once(") ").map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split(' ').nth(19)?.parse().ok())
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EPROTO))
}

#[cfg(test)]
mod tests {
    use super::super::of_this_process;
    use super::*;

    fn own() -> Identity {
        let pidfd = of_this_process().unwrap();
        Identity::of(std::process::id(), &pidfd).unwrap()
    }

    #[test]
    fn a_process_is_found_by_what_it_is_and_not_by_its_id() {
        assert!(own().find().unwrap().is_some());
        let other = [
            Identity {
                start_ticks: own().start_ticks + 1,
                pidfs_inode: None,
                ..own()
            },
            Identity {
                pid: 0x7fff_ffff,
                ..own()
            },
            Identity { pid: 1, ..own() },
            Identity {
                pidfs_inode: Some(1),
                start_ticks: 0,
                ..own()
            },
        ];
        for other in other {
            assert!(other.find().unwrap().is_none(), "{other:?}");
        }
    }

    #[test]
    fn it_is_the_same_when_it_was_written_and_read() {
        assert_eq!(Identity::from_json(&own().to_json()), Some(own()));
        assert_eq!(
            Identity::from_json(&json!({ "pid": 0, "start_ticks": 1 })),
            None
        );
        assert_eq!(
            Identity::from_json(&json!({ "pid": -1, "start_ticks": 1 })),
            None
        );
    }
}
