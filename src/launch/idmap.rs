// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mounts that are made before the clone, and whose ids are mapped. See open_tree(2), mount_setattr(2).
//!
//! What mount_setattr(2) takes is a user namespace with the right maps; it need not be that of the box,
//! which is not there yet. So a process is made that has one and ends at once. As long as nobody has
//! waited for it, its maps can be written and its namespace be opened, and nothing has to be handed to a
//! child that already runs.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use clonebox_child::{self as child, CloneArgs, Entry, Slot};
use nix::errno::Errno;

use super::memory::Memory;
use super::outcome::{Cause, FailedCall, Failure};
use super::signals::AllBlocked;
use super::userns::{Process, pid_of};
use super::wait;
use crate::pidfd::reap_silent;
use crate::plan::{ForUserns, Maps, Tree, shown};

/// Makes the mounts of a plan.
pub(super) fn make(plan: &ForUserns) -> Result<Vec<(Slot, OwnedFd)>, Failure> {
    let mapped = plan.trees.iter().find(|tree| tree.idmap);
    let namespace = mapped.map(|tree| namespace(&plan.maps, tree)).transpose()?;
    let one = |tree: &Tree| Ok((tree.slot, mount(tree, namespace.as_ref())?));
    plan.trees.iter().map(one).collect()
}

fn failed(tree: &Tree, action: String, call: String, errno: Errno) -> Failure {
    Failure::Call(Box::new(FailedCall {
        action,
        call,
        cause: Cause::Errno(errno),
        origin: tree.origin.clone(),
        maps: None,
    }))
}

/// A copy of a mount that is nowhere yet, private or a slave of the caller's, its ids mapped if they are
/// to be. Devices of a directory whose ids are mapped cannot be opened: there they would be the box's.
fn mount(tree: &Tree, namespace: Option<&OwnedFd>) -> Result<OwnedFd, Failure> {
    let shown = shown(&tree.path);
    let mount = open_tree(&tree.path, tree.recursive).map_err(|errno| {
        let recursive = if tree.recursive { "|AT_RECURSIVE" } else { "" };
        let call = format!(
            "open_tree(AT_FDCWD, {:?}, OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC{recursive})",
            tree.path
        );
        failed(tree, format!("make a mount of {shown}"), call, errno)
    })?;
    let propagation = if tree.slave {
        libc::MS_SLAVE
    } else {
        libc::MS_PRIVATE
    };
    let plain = Attributes {
        propagation,
        ..Attributes::default()
    };
    set(&mount, &plain, true).map_err(|errno| {
        let call = "mount_setattr(<tree>, \"\", AT_EMPTY_PATH|AT_RECURSIVE, {propagation=MS_PRIVATE or MS_SLAVE})";
        failed(tree, format!("separate the mount of {shown} from the host's"), call.to_owned(), errno)
    })?;
    let Some(namespace) = namespace.filter(|_| tree.idmap) else {
        return Ok(mount);
    };
    let mapped = Attributes {
        set: libc::MOUNT_ATTR_IDMAP | libc::MOUNT_ATTR_NODEV,
        userns_fd: namespace.as_raw_fd() as u64,
        ..Attributes::default()
    };
    // Below there may be filesystems that cannot, such as proc: they keep their ids.
    let done = match set(&mount, &mapped, tree.recursive) {
        Err(Errno::EINVAL) if tree.recursive => set(&mount, &mapped, false),
        done => done,
    };
    done.map_err(|errno| {
        let call = "mount_setattr(<tree>, \"\", AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_IDMAP|MOUNT_ATTR_NODEV, \
                    userns_fd=<userns>})";
        Failure::Call(Box::new(FailedCall {
            action: format!("map the ids of {shown}"),
            call: call.to_owned(),
            cause: Cause::Errno(errno),
            origin: tree.origin.clone(),
            maps: Some(tree.path.clone()),
        }))
    })?;
    Ok(mount)
}

fn open_tree(path: &Path, recursive: bool) -> nix::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let recursive = if recursive { libc::AT_RECURSIVE } else { 0 };
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | recursive.cast_unsigned();
    // SAFETY: the string ends with NUL and lives during the call.
    let result =
        unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    let fd = Errno::result(result)?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The kernel's `struct mount_attr` (`linux/mount.h`).
#[derive(Default)]
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

fn set(mount: &OwnedFd, attributes: &Attributes, recursive: bool) -> nix::Result<()> {
    let recursive = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the string and the structure live during the call, which writes to neither.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            std::ptr::from_ref(attributes),
            size_of::<Attributes>(),
        )
    };
    Errno::result(result).map(drop)
}

/// A user namespace with these maps, in which nobody is.
fn namespace(maps: &Maps, tree: &Tree) -> Result<OwnedFd, Failure> {
    let cannot = |action| move |errno| Failure::Parent(action, errno);
    let memory = Memory::take().map_err(cannot("map memory for a child"))?;
    let entry = Entry::new(&[], memory.shared(), &[]);
    let shared = memory.shared();
    let (stack, stack_size) = memory.stack();
    let flags =
        libc::CLONE_VM | libc::CLONE_PIDFD | libc::CLONE_CHILD_CLEARTID | libc::CLONE_NEWUSER;
    let args = CloneArgs {
        flags: flags as u64,
        pidfd: shared.pidfd.as_ptr().expose_provenance() as u64,
        child_tid: shared.running.as_ptr().expose_provenance() as u64,
        stack: stack as u64,
        stack_size: stack_size as u64,
        ..CloneArgs::default()
    };
    let cloned = {
        let _blocked = AllBlocked::new();
        // SAFETY:
        // - the stack, the entry and what it refers to live until `running` is 0, which is waited for;
        // - signals are blocked. With no signal to tell of its end, nobody else waits for the child.
        unsafe { child::clone(&args, &entry) }
    };
    cloned.map_err(|errno| {
        let call =
            "clone(flags=CLONE_VM|CLONE_PIDFD|CLONE_CHILD_CLEARTID|CLONE_NEWUSER)".to_owned();
        failed(
            tree,
            "make a user namespace".to_owned(),
            call,
            Errno::from_raw(errno.cast_signed()),
        )
    })?;
    // It makes no call that could hang.
    wait::until_left(&shared.running, None);
    // SAFETY: the clone has succeeded, so the kernel has put a new descriptor there.
    let pidfd = unsafe { OwnedFd::from_raw_fd(shared.pidfd.load(Ordering::Relaxed)) };
    let made = open_namespace(&pidfd, maps, tree);
    reap_silent(&pidfd);
    memory.give_back();
    made
}

fn open_namespace(pidfd: &OwnedFd, maps: &Maps, tree: &Tree) -> Result<OwnedFd, Failure> {
    let cannot = |errno| Failure::Parent("open a user namespace", errno);
    let pid = pid_of(pidfd.as_fd()).map_err(cannot)?;
    // Nobody else waits for it, so the number stays its own.
    let process = Process::open(pid).map_err(cannot)?;
    process
        .write_maps(maps)
        .map_err(|(action, call, errno)| failed(tree, action.to_owned(), call, errno))?;
    process.namespace("user").map_err(cannot)
}
