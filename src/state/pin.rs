// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file that keeps a mount namespace alive in which nobody lives: the namespace is mounted on it. See
//! namespaces(7).
//!
//! The kernel mounts a mount namespace only where the mount does not spread to other namespaces. So the
//! directory is a private mount of itself for as long as there is something in it. Everything is done to
//! descriptors that have been looked at, by way of /proc/self/fd.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use nix::unistd::Pid;

use super::directory::Directory;
use crate::error::Error;
use crate::host::mountinfo::id_of;

fn path_of(fd: RawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{fd}"))
}

/// Whether a directory is a mount of its own.
pub(super) fn is_mount(directory: &Directory, above: &Directory) -> bool {
    id_of(directory.as_raw_fd()) != id_of(above.as_raw_fd())
}

/// Makes a directory a mount of itself.
pub(super) fn make_mount(directory: &Directory) -> nix::Result<()> {
    let path = path_of(directory.as_raw_fd());
    mount(
        Some(&path),
        &path,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
}

/// Lets nothing that is mounted in this mount spread.
pub(super) fn make_private(directory: &Directory) -> nix::Result<()> {
    let (path, none) = (path_of(directory.as_raw_fd()), None::<&str>);
    mount(none, &path, none, MsFlags::MS_PRIVATE, none)
}

/// Takes the mount of a directory away.
pub(super) fn unmount(directory: &Directory) -> nix::Result<()> {
    umount2(&path_of(directory.as_raw_fd()), MntFlags::MNT_DETACH)
}

/// Keeps a namespace by a new file of this name.
pub(super) fn pin(directory: &Directory, name: &str, namespace: BorrowedFd<'_>) -> nix::Result<()> {
    let file = directory.new_file(name)?;
    let (from, to) = (path_of(namespace.as_raw_fd()), path_of(file.as_raw_fd()));
    let bound = mount(
        Some(&from),
        &to,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    );
    bound.inspect_err(|_| directory.remove(name))
}

/// The namespace that a file keeps; `None` if it keeps none.
pub(super) fn pinned(directory: &Directory, name: &str) -> Option<OwnedFd> {
    let file: File = directory.open_file(name, OFlag::O_RDONLY).ok()?;
    let kind = fstatfs(file.as_fd()).ok()?.filesystem_type();
    (kind == NSFS_MAGIC).then(|| file.into())
}

/// Lets the namespace go, and removes the file.
pub(super) fn unpin(directory: &Directory, name: &str) -> nix::Result<()> {
    let path = path_of(directory.as_raw_fd()).join(name);
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    match umount2(&path, flags) {
        // It is none, or there is nothing.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(errno) => return Err(errno),
    }
    directory.remove(name);
    Ok(())
}

/// Makes attempts until one does not end in `EINVAL`, on one processor after the other: the kernel takes a
/// namespace for one that would contain itself if its number is below that of the caller's, and since Linux 6.18 each
/// processor has numbers of its own to give.
pub(super) fn on_some_processor(
    mut attempt: impl FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    let refused = |made: &Result<(), Error>| {
        let errno = made.as_ref().err().and_then(Error::errno);
        errno == Some(libc::EINVAL)
    };
    let this = Pid::from_raw(0);
    let mut made = attempt();
    let Ok(allowed) = sched_getaffinity(this) else {
        return made;
    };
    for processor in 0..CpuSet::count() {
        if !refused(&made) {
            break;
        }
        let mut only = CpuSet::new();
        let there = allowed.is_set(processor).is_ok_and(|there| there);
        if there && only.set(processor).is_ok() && sched_setaffinity(this, &only).is_ok() {
            made = attempt();
        }
    }
    let _ = sched_setaffinity(this, &allowed);
    made
}
