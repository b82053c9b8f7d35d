// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel tells of a process through its pidfd. See `linux/pidfd.h`.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// `struct pidfd_info` in its first size (`PIDFD_INFO_SIZE_VER0`).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

const _: () = assert!(size_of::<PidfdInfo>() == 64);

/// `PIDFD_INFO_EXIT` (since Linux 6.15).
const PIDFD_INFO_EXIT: u64 = 1 << 3;

nix::ioctl_readwrite!(
    /// `PIDFD_GET_INFO` (since Linux 6.13).
    pidfd_get_info,
    0xff,
    11,
    PidfdInfo
);

/// How a process has ended that was waited for by its parent. `None` if it was not yet; an error where the
/// kernel does not tell.
pub(crate) fn exit_status(pidfd: &impl AsFd) -> nix::Result<Option<ExitStatus>> {
    let mut info = PidfdInfo {
        mask: PIDFD_INFO_EXIT,
        ..PidfdInfo::default()
    };
    // SAFETY: the kernel writes at most the 64 bytes that the number of the call names.
    unsafe { pidfd_get_info(pidfd.as_fd().as_raw_fd(), &raw mut info) }?;
    let told = info.mask & PIDFD_INFO_EXIT != 0;
    Ok(told.then(|| ExitStatus::from_raw(info.exit_code)))
}
