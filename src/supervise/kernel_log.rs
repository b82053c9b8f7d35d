// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's log from the start of a box on, for what only it says: see `/dev/kmsg` in the kernel's
//! `Documentation/ABI/testing/dev-kmsg`.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use super::audit::{ForbiddenCall, killed};
use crate::host::namespace::in_first_pid_namespace;
use crate::poll::readable;

/// How long the kernel's thread that writes audit records may take. Our own choice: it is woken before the process
/// ends, and only a process that was killed by SIGSYS is waited for.
const PATIENCE: Duration = Duration::from_millis(100);
/// The longest record: `PRINTK_MESSAGE_MAX` in the kernel's `printk/internal.h`, and half of that before Linux 6.3.
const RECORD_MAX: usize = 8192;

/// A place in the kernel's log.
#[derive(Debug)]
pub(crate) struct KernelLog(File);

impl KernelLog {
    /// The end of the log. `None` where this process may not read it (CAP_SYSLOG, if the sysctl
    /// `kernel.dmesg_restrict` is set), or where records have other process ids than this process sees.
    pub(crate) fn end() -> Option<Self> {
        if !in_first_pid_namespace() {
            return None;
        }
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .custom_flags(flags)
            .open("/dev/kmsg")
            .ok()?;
        // Containers have other things at that place.
        let metadata = file.metadata().ok()?;
        let is_log =
            metadata.file_type().is_char_device() && metadata.rdev() == libc::makedev(1, 11);
        file.seek(SeekFrom::End(0)).ok().filter(|_| is_log)?;
        Some(Self(file))
    }

    /// The call for which a filter has killed a process that was started after this place, and whose id is still its
    /// own: it has not been waited for.
    pub(super) fn forbidden_call(&mut self, pid: u32) -> Option<ForbiddenCall> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // The last one counts: a filter may kill threads one by one.
            if let Some(call) = self.rest(pid) {
                return Some(call);
            }
            if !readable(&self.0, Some(deadline)) {
                return None;
            }
        }
    }

    /// The last of what is there now.
    fn rest(&mut self, pid: u32) -> Option<ForbiddenCall> {
        let mut found = None;
        let mut buffer = [0; RECORD_MAX];
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) => return found,
                Ok(length) => {
                    let record = buffer.get(..length).unwrap_or_default();
                    let record = String::from_utf8_lossy(record);
                    found = killed(&record, pid).or(found);
                }
                // EPIPE: records were overwritten before they were read.
                Err(error)
                    if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
                Err(_) => return found,
            }
        }
    }
}
