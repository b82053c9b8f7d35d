// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mount namespace that has a root filesystem as its root, and nothing else: what a template makes once.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, pivot_root};

use crate::support::Result;

/// The thread that makes it is gone when this returns: nobody lives there.
pub(super) fn namespace(root: &Path) -> Result<OwnedFd> {
    thread::scope(|scope| {
        let made = scope.spawn(|| make(root).map_err(|error| error.to_string()));
        let made = made.join().map_err(|_| "a thread has panicked")?;
        Ok(made?)
    })
}

fn make(root: &Path) -> Result<OwnedFd> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let namespace = File::open("/proc/thread-self/ns/mnt")?;
    // What is mounted below the directory comes along, as with the template.
    let path = CString::new(root.as_os_str().as_bytes())?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(path.as_c_str()), path.as_c_str(), none, flags, none)?;
    chdir(path.as_c_str())?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    Ok(namespace.into())
}
