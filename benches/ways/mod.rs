// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ways to start a program from a program, each from the launch until it is reaped.

mod clone;
mod reexec;
mod straight;

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clonebox::{Command, Template};
use clonebox_child::CloneArgs;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

use clone::Enter;
pub(crate) use reexec::{become_child, is_child};
use straight::Straight;

const STACK_LEN: usize = 16 * 1024;
const CLEAR_SIGHAND: u64 = 1 << 32;

/// A way to start a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// vfork and exec: no box at all.
    Bare,
    /// The box's system calls, written straight.
    Floor,
    /// `Template::spawn`.
    Template,
    /// `Command::spawn`.
    Command,
    /// Executing oneself, which makes the box and executes the program.
    Reexec,
    /// The floor without `CLONE_VM`: the kernel copies the page tables.
    Fork,
}

impl Way {
    pub(crate) const ALL: [Self; 6] = [
        Self::Bare,
        Self::Floor,
        Self::Template,
        Self::Command,
        Self::Reexec,
        Self::Fork,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Floor => "floor",
            Self::Template => "template",
            Self::Command => "command",
            Self::Reexec => "reexec",
            Self::Fork => "fork",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }
}

/// All ways to start one program.
pub(crate) struct Ways {
    straight: Straight,
    reexec: reexec::Words,
    template: Template,
    command: Command,
    namespaces: u64,
    stack: usize,
    shared: &'static Shared,
}

/// What a child and the kernel write for the parent.
struct Shared {
    running: AtomicU32,
    pidfd: AtomicI32,
}

impl Ways {
    pub(crate) fn new(program: &Path) -> Result<Self, clonebox::Error> {
        let command = Command::new(program);
        let template = command.prepare()?;
        let straight = Straight::new(program, template.plan());
        let memory = memory();
        Ok(Self {
            reexec: reexec::Words::new(&straight),
            straight,
            template,
            command,
            namespaces: (libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWPID) as u64,
            stack: memory,
            // SAFETY: the page above the stack is mapped for good, and zeros are a valid `Shared`.
            shared: unsafe { &*ptr::with_exposed_provenance(memory + STACK_LEN) },
        })
    }

    /// The names of the calls that the floor makes, and of those in clonebox's plan. Whoever changes the
    /// plan of a plain box changes the floor with it, or measures apples.
    pub(crate) fn calls(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let plan = self.template.plan().steps();
        (
            self.straight.calls(),
            plan.map(|step| step.name()).collect(),
        )
    }

    /// Starts the program and waits for its end.
    pub(crate) fn launch(&mut self, way: Way) -> Duration {
        let began = Instant::now();
        let status = match way {
            Way::Bare => self.bare(),
            Way::Floor => self.floor(),
            Way::Template => spawned(self.template.spawn()),
            Way::Command => spawned(self.command.spawn()),
            Way::Reexec => self.reexec(),
            Way::Fork => self.fork(),
        };
        let time = began.elapsed();
        assert!(status.success(), "{way:?}: {status}");
        time
    }

    /// The least that can be done, without a signal blocked and without a pidfd.
    fn bare(&self) -> ExitStatus {
        let flags = (libc::CLONE_VM | libc::CLONE_VFORK) as u64;
        let pid = self.clone(flags, &self.straight, straight::execute);
        wait(libc::P_PID, pid)
    }

    /// The same calls as a launch of clonebox, in the parent too.
    fn floor(&mut self) -> ExitStatus {
        let parent = pidfd_of_self();
        self.straight.parent.fd = parent.as_raw_fd();
        self.straight.parent.revents = 0;
        self.shared.running.store(1, Ordering::Relaxed);
        let flags = (libc::CLONE_VM | libc::CLONE_PIDFD | libc::CLONE_CHILD_CLEARTID) as u64;
        let blocked = set_mask(u64::MAX);
        self.clone(
            flags | CLEAR_SIGHAND | self.namespaces,
            &self.straight,
            straight::enter,
        );
        set_mask(blocked);
        self.await_exec();
        drop(parent);
        self.wait()
    }

    /// Nobody waits for its exec: the kernel tells of it where memory is shared only.
    fn fork(&mut self) -> ExitStatus {
        let parent = pidfd_of_self();
        self.straight.parent.fd = parent.as_raw_fd();
        let blocked = set_mask(u64::MAX);
        self.clone(
            libc::CLONE_PIDFD as u64 | CLEAR_SIGHAND | self.namespaces,
            &self.straight,
            straight::enter,
        );
        set_mask(blocked);
        drop(parent);
        self.wait()
    }

    /// The clone does not copy page tables here either, as in Go's runtime.
    fn reexec(&self) -> ExitStatus {
        let flags = (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD) as u64;
        let blocked = set_mask(u64::MAX);
        self.clone(
            flags | CLEAR_SIGHAND | self.namespaces,
            &self.reexec,
            reexec::enter,
        );
        set_mask(blocked);
        self.wait()
    }

    fn clone<T>(&self, flags: u64, entry: &T, enter: Enter<T>) -> i32 {
        let args = CloneArgs {
            flags,
            pidfd: self.shared.pidfd.as_ptr().addr() as u64,
            child_tid: self.shared.running.as_ptr().addr() as u64,
            exit_signal: libc::SIGCHLD as u64,
            stack: self.stack as u64,
            stack_size: STACK_LEN as u64,
            ..CloneArgs::default()
        };
        // SAFETY: one child at a time uses the stack, and each of the ways waits until it has left;
        // what the child reads belongs to `self`.
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

    fn wait(&self) -> ExitStatus {
        // SAFETY: the clone has put a new descriptor there.
        let pidfd = unsafe { OwnedFd::from_raw_fd(self.shared.pidfd.load(Ordering::Relaxed)) };
        wait(libc::P_PIDFD, pidfd.as_raw_fd())
    }
}

fn spawned(child: Result<clonebox::Child, clonebox::Error>) -> ExitStatus {
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
fn wait(kind: libc::idtype_t, id: i32) -> ExitStatus {
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

fn pidfd_of_self() -> OwnedFd {
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
