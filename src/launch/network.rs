// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opening a network namespace that is there. See ioctl_ns(2), pidfd_open(2).

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::error::Error;
use crate::spec::NetworkNamespace;

impl NetworkNamespace {
    /// Opens the one that a file stands for: `/proc/PID/ns/net`, or `/run/netns/NAME` as ip-netns(8) makes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parent`](crate::ErrorKind::Parent) if it cannot be opened, or is something else.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let shown = crate::plan::shown(path);
        // What is opened may be anything: a terminal does not become ours, a pipe is not waited for.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
        let fd = open(path, flags, Mode::empty())
            .map_err(|errno| Error::parent(&format!("open {shown}"), errno))?;
        Self::checked(fd).ok_or_else(|| {
            Error::parent(
                &format!("use {shown} as a network namespace"),
                Errno::EINVAL,
            )
        })
    }

    fn checked(fd: OwnedFd) -> Option<Self> {
        /// `NS_GET_NSTYPE` in `linux/nsfs.h`.
        const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
        // SAFETY: the call takes no memory, whatever the file is one of.
        let kind = unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE as _) };
        (kind == libc::CLONE_NEWNET).then(|| Self::from_checked(fd))
    }

    /// That of a process: the caller knows that it lives, and looks again afterwards.
    pub(crate) fn of(pid: u32, pidfd: &OwnedFd) -> nix::Result<Self> {
        /// `PIDFD_GET_NET_NAMESPACE` in `linux/pidfd.h`, since Linux 6.11.
        const PIDFD_GET_NET_NAMESPACE: libc::c_ulong = 0xff04;
        // SAFETY: the call takes no memory. Its result is a new descriptor, or an error.
        let fd = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_NET_NAMESPACE as _, 0) };
        let fd = if fd >= 0 {
            // SAFETY: the descriptor is new and nobody else's.
            unsafe { OwnedFd::from_raw_fd(fd) }
        } else {
            let path = format!("/proc/{pid}/ns/net");
            open(
                path.as_str(),
                OFlag::O_RDONLY | OFlag::O_CLOEXEC,
                Mode::empty(),
            )?
        };
        Self::checked(fd).ok_or(Errno::EINVAL)
    }
}
