// SPDX-License-Identifier: MIT OR Apache-2.0
//! A launch written straight: what the parent does around the clone, without a plan and without a
//! report. What the child does is each floor's own.

pub(crate) mod child;
mod clone;

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use clonebox_child::CloneArgs;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

pub(crate) use clone::Enter;

const STACK_LEN: usize = 16 * 1024;
/// `CLONE_CLEAR_SIGHAND` and `CLONE_INTO_CGROUP` in `linux/sched.h`; the libc crate's are cut off.
const CLEAR_SIGHAND: u64 = 1 << 32;
const INTO_CGROUP: u64 = 1 << 33;
/// Those of a plain box.
pub(crate) const NAMESPACES: u64 =
    (libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWPID) as u64;

/// What a child and the kernel write for the parent.
struct Shared {
    running: AtomicU32,
    pidfd: AtomicI32,
}

/// Makes clones, one at a time.
pub(crate) struct Launcher {
    stack: usize,
    shared: &'static Shared,
}

impl Launcher {
    pub(crate) fn new() -> Self {
        let memory = memory();
        Self {
            stack: memory,
            // SAFETY: the page above the stack is mapped for good, and zeros are a valid `Shared`.
            shared: unsafe { &*ptr::with_exposed_provenance(memory + STACK_LEN) },
        }
    }

    /// The same calls as a launch of clonebox, until the child has executed a program. On version 2 of
    /// cgroups it is made in one.
    pub(crate) fn start<T>(
        &self,
        namespaces: u64,
        cgroup: Option<BorrowedFd<'_>>,
        entry: &T,
        enter: Enter<T>,
    ) {
        self.shared.running.store(1, Ordering::Relaxed);
        let flags = libc::CLONE_VM | libc::CLONE_CHILD_CLEARTID;
        self.clone_blocked(namespaces | flags as u64, cgroup, entry, enter);
        self.await_exec();
    }

    /// A clone with all signals blocked.
    pub(crate) fn clone_blocked<T>(
        &self,
        flags: u64,
        cgroup: Option<BorrowedFd<'_>>,
        entry: &T,
        enter: Enter<T>,
    ) {
        let flags = flags | libc::CLONE_PIDFD as u64 | CLEAR_SIGHAND;
        let blocked = set_mask(u64::MAX);
        self.clone(flags, cgroup, entry, enter);
        set_mask(blocked);
    }

    /// A clone: the child's process id.
    pub(crate) fn clone<T>(
        &self,
        flags: u64,
        cgroup: Option<BorrowedFd<'_>>,
        entry: &T,
        enter: Enter<T>,
    ) -> i32 {
        let args = CloneArgs {
            flags: flags | cgroup.map_or(0, |_| INTO_CGROUP),
            pidfd: self.shared.pidfd.as_ptr().addr() as u64,
            child_tid: self.shared.running.as_ptr().addr() as u64,
            exit_signal: libc::SIGCHLD as u64,
            stack: self.stack as u64,
            stack_size: STACK_LEN as u64,
            cgroup: cgroup.map_or(0, |cgroup| cgroup.as_raw_fd() as u64),
            ..CloneArgs::default()
        };
        // SAFETY: one child at a time uses the stack, and each of the ways waits until it has left;
        // what the child reads belongs to the caller, who waits as well.
        let result = unsafe { clone::clone3(&args, entry, enter) };
        assert!(result > 0, "clone3: {}", Errno::from_raw(-result as i32));
        result as i32
    }

    fn await_exec(&self) {
        let word = &self.shared.running;
        while word.load(Ordering::Acquire) != 0 {
            // SAFETY: the word lives during the call.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    word.as_ptr(),
                    libc::FUTEX_WAIT_BITSET,
                    1,
                    ptr::null::<libc::timespec>(),
                    ptr::null::<u32>(),
                    libc::FUTEX_BITSET_MATCH_ANY,
                )
            };
        }
    }

    /// Waits for the end of what has been started.
    pub(crate) fn wait(&self) -> ExitStatus {
        // SAFETY: the clone has put a new descriptor there.
        let pidfd = unsafe { OwnedFd::from_raw_fd(self.shared.pidfd.load(Ordering::Relaxed)) };
        wait(libc::P_PIDFD, pidfd.as_raw_fd())
    }
}

/// The status of a box of clonebox's own that has been started.
pub(crate) fn spawned(child: Result<clonebox::Child, clonebox::Error>) -> ExitStatus {
    child
        .map_err(std::io::Error::other)
        .and_then(|mut child| child.wait())
        .unwrap_or_else(|error| panic!("clonebox: {error}"))
}

/// A stack and a page that stays common, which nobody unmaps.
fn memory() -> usize {
    let length = |bytes: usize| std::num::NonZeroUsize::new(bytes).expect("not nothing");
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_POPULATE;
    // SAFETY: a new mapping at an address of the kernel's choice changes no other memory.
    let memory = unsafe { mmap_anonymous(None, length(STACK_LEN + 4096), protection, flags) };
    memory
        .expect("memory for a stack")
        .expose_provenance()
        .get()
}

/// waitid(2) with the usage, as clonebox does it.
pub(crate) fn wait(kind: libc::idtype_t, id: i32) -> ExitStatus {
    // SAFETY: zeros are a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: zeros are a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both structures are ours and long enough for what the kernel writes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_waitid,
            kind,
            id,
            &raw mut info,
            libc::WEXITED,
            &raw mut usage,
        )
    };
    assert_eq!(result, 0, "waitid: {}", Errno::last());
    // SAFETY: the call has filled the fields of SIGCHLD.
    let status = unsafe { info.si_status() };
    ExitStatus::from_raw(if info.si_code == libc::CLD_EXITED {
        status << 8
    } else {
        status
    })
}

pub(crate) fn pidfd_of_self() -> OwnedFd {
    let pid = nix::unistd::getpid().as_raw();
    // SAFETY: the call takes numbers and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    assert!(fd >= 0, "pidfd_open: {}", Errno::last());
    // SAFETY: the descriptor is new and nobody else's.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

fn set_mask(mask: u64) -> u64 {
    let mut before = 0u64;
    // SAFETY: both sets are ours and have the 8 bytes that the call is told of.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            ptr::from_ref(&mask),
            ptr::from_mut(&mut before),
            size_of::<u64>(),
        )
    };
    before
}
