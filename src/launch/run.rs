// SPDX-License-Identifier: MIT OR Apache-2.0
//! One launch.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clonebox_child::{self as child, CloneArgs, Entry, Shared, Slot};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::dumpable::Dumpable;
use super::init::{self, InitReport, Start};
use super::memory::Memory;
use super::pty::Pty;
use super::signals::AllBlocked;
use super::{spawner, wait};
use crate::plan::{Plan, Terminal, slot};
use crate::spec::ParentDeath;
use crate::supervise::{WaitStatus, kill, wait_for};

/// Where the launch's own descriptors begin when low numbers must be free in the child.
const ABOVE: RawFd = 64;
/// How long a child that was killed may take to be gone: it may be in a call that no signal ends.
const UNKILLABLE_AFTER: Duration = Duration::from_secs(1);

/// A box whose program has been executed.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
    /// The other end of the box's terminal.
    pub(crate) ptmx: Option<OwnedFd>,
    pub(crate) init: Option<InitReport>,
    pub(crate) timings: Option<Timings>,
    pub(crate) at: Instant,
}

/// How long the parts of a launch took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timings {
    /// From before the clone to the child's first step.
    pub(crate) clone: Duration,
    /// Each step, the last execve excepted.
    pub(crate) steps: Vec<Duration>,
    /// From the last step to the parent's knowledge that the program runs.
    pub(crate) exec: Duration,
}

/// Why there is no box.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The parent could not do something for the launch.
    Parent(&'static str, Errno),
    /// clone(2) or clone3(2) failed.
    Clone(Errno),
    /// A step failed.
    Step(usize, Errno),
    /// The init could not execute this candidate.
    Exec(usize, Errno),
    /// The child was killed in a step; there is none with this number if it was the init.
    Killed(usize, WaitStatus),
    /// The kernel does not enter a time namespace at execve.
    TimeNamespace,
    /// The child was in this step when the time was up.
    Late(usize),
}

/// Everything that belongs to one launch until its child has left the shared memory.
struct Launch {
    plan: Arc<Plan>,
    memory: Memory,
    times: Box<[AtomicU64]>,
    entry: Box<Entry>,
    /// What the child uses, kept open until then.
    kept: Vec<OwnedFd>,
}

/// Runs a plan. `streams` are those that the plan wants supplied.
pub(crate) fn launch(
    plan: &Arc<Plan>,
    streams: [Option<BorrowedFd<'_>>; 3],
) -> Result<Started, Failure> {
    let deadline = plan.start_timeout.map(|timeout| Instant::now() + timeout);
    let mut launch =
        Launch::new(plan).map_err(|errno| Failure::Parent("map memory for the child", errno))?;
    for (stream, fd) in streams.into_iter().enumerate() {
        if let Some(fd) = fd {
            launch
                .supply_stream(slot::STDIO[stream], fd)
                .map_err(|errno| Failure::Parent("pass a stream", errno))?;
        }
    }
    let ptmx = launch
        .supply_terminal()
        .map_err(|errno| Failure::Parent("make a terminal", errno))?;
    launch
        .supply_parent()
        .map_err(|errno| Failure::Parent("open the parent's pidfd", errno))?;
    let mut init = launch
        .supply_init()
        .map_err(|errno| Failure::Parent("make the init ready", errno))?;
    launch.supply_words();

    let began = if plan.timings { monotonic_ns() } else { 0 };
    let dumpable = plan.changes_ids.then(Dumpable::keep);
    let (mut launch, started) = start(launch, deadline);
    let (pid, late) = started.map_err(Failure::Clone)?;
    // SAFETY: the clone has succeeded, so the kernel has put a new descriptor there.
    let pidfd = unsafe { OwnedFd::from_raw_fd(launch.shared().pidfd.load(Ordering::Relaxed)) };

    if late || !wait::until_left(&launch.shared().running, deadline) {
        return Err(launch.give_up(&pidfd));
    }
    drop(dumpable);
    launch.kept.clear();
    if let Some((step, errno)) = launch.shared().report.failure() {
        // The child has exited; nobody else can know of it.
        let _ = wait_for(&pidfd);
        let failure = Failure::Step(step as usize, Errno::from_raw(errno.cast_signed()));
        launch.finish();
        return Err(failure);
    }
    let step = launch.shared().progress.step() as usize;
    if !plan.executes(step) {
        let status =
            wait_for(&pidfd).map_or(WaitStatus::Killed(libc::SIGKILL), |(status, _)| status);
        launch.finish();
        return Err(Failure::Killed(step, status));
    }
    let timings = launch.timings(began);
    launch.finish();
    if plan.time_namespace && !in_own_time_namespace(pid) {
        let _ = kill(pidfd.as_fd(), libc::SIGKILL);
        let _ = wait_for(&pidfd);
        return Err(Failure::TimeNamespace);
    }
    if let Some(init) = &mut init {
        await_init(init, &pidfd, deadline)?;
    }
    Ok(Started {
        pid,
        pidfd,
        ptmx,
        init,
        timings,
        at: Instant::now(),
    })
}

/// Makes the clone, here or on the thread that does not end. Also says whether the deadline passed
/// meanwhile.
fn start(launch: Launch, deadline: Option<Instant>) -> (Launch, Result<(u32, bool), Errno>) {
    let vfork = launch.plan.clone.flags & libc::CLONE_VFORK as u64 != 0;
    let outlive = launch.plan.parent_death == ParentDeath::Kill && !spawner::is_main_thread();
    let here = !outlive && (!vfork || deadline.is_none());
    if here {
        let result = launch.clone_child();
        return (launch, result.map(|pid| (pid, false)));
    }
    let launch = Arc::new(launch);
    let there = Arc::clone(&launch);
    let result = match spawner::run(move || {
        let result = there.clone_child();
        drop(there);
        result
    }) {
        Err(_) => Err(Errno::EAGAIN),
        Ok(receiver) => {
            // A clone with CLONE_VFORK returns when the child has left; until then it may be ended
            // through the pidfd, which is there before the child runs.
            let left = deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            match if vfork {
                receiver.recv_timeout(left)
            } else {
                receiver.recv().map_err(Into::into)
            } {
                Ok(result) => result.map(|pid| (pid, false)),
                Err(_) => {
                    let pidfd = launch.shared().pidfd.load(Ordering::Acquire);
                    if pidfd >= 0 {
                        // SAFETY: the kernel put the descriptor there; it is owned once the launch ends.
                        let pidfd = unsafe { BorrowedFd::borrow_raw(pidfd) };
                        let _ = kill(pidfd, libc::SIGKILL);
                    }
                    receiver
                        .recv()
                        .unwrap_or(Err(Errno::EAGAIN))
                        .map(|pid| (pid, true))
                }
            }
        }
    };
    // The other thread has dropped its share before it answered.
    match Arc::try_unwrap(launch) {
        Ok(launch) => (launch, result),
        Err(_) => unreachable!("the spawner has answered and keeps nothing"),
    }
}

// SAFETY: the addresses in `entry` are of memory that the launch owns, or shares with others to
// read.
unsafe impl Send for Launch {}
// SAFETY: the same; what several threads may change in it is atomic.
unsafe impl Sync for Launch {}

impl Launch {
    fn new(plan: &Arc<Plan>) -> nix::Result<Self> {
        let memory = Memory::take()?;
        let marks = if plan.timings { plan.code.len() + 1 } else { 0 };
        let times: Box<[AtomicU64]> = (0..marks).map(|_| AtomicU64::new(0)).collect();
        let entry = Box::new(Entry::new(&plan.code, memory.shared(), &times));
        Ok(Self {
            plan: Arc::clone(plan),
            memory,
            times,
            entry,
            kept: Vec::new(),
        })
    }

    fn shared(&self) -> &Shared {
        self.memory.shared()
    }

    /// Puts a descriptor of this launch into its slot and keeps it open for the child.
    fn supply(&mut self, slot: Slot, fd: OwnedFd) -> nix::Result<RawFd> {
        let fd = if self.plan.numbers.any() && fd.as_raw_fd() < ABOVE {
            above(fd.as_fd(), ABOVE)?
        } else {
            fd
        };
        let number = fd.as_raw_fd();
        self.shared().set_slot(slot, number as usize);
        self.kept.push(fd);
        Ok(number)
    }

    /// Streams come with any number. One below 3 would be overwritten by the redirection of another.
    fn supply_stream(&mut self, slot: Slot, fd: BorrowedFd<'_>) -> nix::Result<()> {
        if fd.as_raw_fd() < 3 || self.plan.numbers.any() {
            let fd = above(fd, 3)?;
            return self.supply(slot, fd).map(drop);
        }
        self.shared().set_slot(slot, fd.as_raw_fd() as usize);
        Ok(())
    }

    fn supply_terminal(&mut self) -> nix::Result<Option<OwnedFd>> {
        if self.plan.terminal != Terminal::New {
            return Ok(None);
        }
        let Pty { ptmx, pts } = Pty::open()?;
        self.supply(slot::PTS, pts)?;
        Ok(Some(ptmx))
    }

    fn supply_parent(&mut self) -> nix::Result<()> {
        let fd = match self.plan.parent_death {
            ParentDeath::Survive => return Ok(()),
            ParentDeath::Kill => pidfd_of_process()?,
            ParentDeath::KillWithThread => pidfd_of_thread()?,
        };
        let number = self.supply(slot::PARENT_FD, fd)?;
        let parent = &self.shared().parent;
        parent.fd.store(
            self.plan.numbers.parent.unwrap_or(number),
            Ordering::Relaxed,
        );
        parent
            .events
            .store(libc::POLLIN.cast_unsigned().into(), Ordering::Relaxed);
        let address = std::ptr::from_ref(parent).expose_provenance();
        self.shared().set_slot(slot::PARENT, address);
        Ok(())
    }

    fn supply_init(&mut self) -> nix::Result<Option<InitReport>> {
        if !self.plan.init {
            return Ok(None);
        }
        let (report, theirs) = InitReport::pipe()?;
        self.supply(slot::INIT, init::sealed()?)?;
        self.supply(slot::INIT_REPORT, theirs)?;
        Ok(Some(report))
    }

    fn supply_words(&self) {
        let shared = self.shared();
        shared.set_slot(slot::ARGV, self.plan.exec.argv.address());
        shared.set_slot(slot::ENVP, self.plan.exec.envp.address());
        shared.set_slot(slot::SCRATCH, shared.scratch.as_ptr().expose_provenance());
    }

    /// clone(2) or clone3(2) with all signals blocked: the child's process id.
    fn clone_child(&self) -> Result<u32, Errno> {
        let shared = self.shared();
        let (stack, stack_size) = self.memory.stack();
        let args = CloneArgs {
            flags: self.plan.clone.flags,
            pidfd: shared.pidfd.as_ptr().expose_provenance() as u64,
            child_tid: shared.running.as_ptr().expose_provenance() as u64,
            exit_signal: libc::SIGCHLD as u64,
            stack: stack as u64,
            stack_size: stack_size as u64,
            ..CloneArgs::default()
        };
        let clone = if self.plan.clone.clone3 {
            child::clone3
        } else {
            child::clone
        };
        let _blocked = AllBlocked::new();
        // SAFETY:
        // - the stack, the entry and what it refers to belong to this launch, which is dropped after
        //   `running` is 0; a launch that gives up on a child leaks them;
        // - the kernel reads `args` before the call returns;
        // - signals are blocked.
        unsafe { clone(&args, &self.entry) }.map_err(|errno| Errno::from_raw(errno.cast_signed()))
    }

    /// Ends a child whose time is up.
    fn give_up(self, pidfd: &OwnedFd) -> Failure {
        let step = self.shared().progress.step() as usize;
        let _ = kill(pidfd.as_fd(), libc::SIGKILL);
        if wait::until_left(
            &self.shared().running,
            Some(Instant::now() + UNKILLABLE_AFTER),
        ) {
            let _ = wait_for(pidfd);
            self.finish();
        } else {
            // It is in a call that not even SIGKILL ends, and will use its stack when it comes back.
            std::mem::forget(self);
        }
        Failure::Late(step)
    }

    /// Leaves the memory to the next launch. The child has left it.
    fn finish(self) {
        self.memory.give_back();
    }

    fn timings(&self, began: u64) -> Option<Timings> {
        let mut marks = self
            .times
            .iter()
            .map(|time| time.load(Ordering::Relaxed))
            .take_while(|&time| time != 0);
        let mut last = marks.next()?;
        let clone = Duration::from_nanos(last.saturating_sub(began));
        let steps = marks
            .map(|mark| {
                Duration::from_nanos(mark.saturating_sub(std::mem::replace(&mut last, mark)))
            })
            .collect();
        let exec = Duration::from_nanos(monotonic_ns().saturating_sub(last));
        Some(Timings { clone, steps, exec })
    }
}

/// Waits until the init says that the program runs.
fn await_init(
    init: &mut InitReport,
    pidfd: &OwnedFd,
    deadline: Option<Instant>,
) -> Result<(), Failure> {
    let failure = match init.start(deadline) {
        Start::Started => return Ok(()),
        Start::Failed(candidate, errno) => Failure::Exec(candidate, Errno::from_raw(errno)),
        Start::Late => {
            let _ = kill(pidfd.as_fd(), libc::SIGKILL);
            let _ = wait_for(pidfd);
            return Err(Failure::Late(usize::MAX));
        }
        Start::Gone => {
            let status =
                wait_for(pidfd).map_or(WaitStatus::Killed(libc::SIGKILL), |(status, _)| status);
            return Err(Failure::Killed(usize::MAX, status));
        }
    };
    let _ = wait_for(pidfd);
    Err(failure)
}

/// Whether the program has clocks of its own. Old kernels leave it in the parent's time namespace
/// without a word. One that has ended already is not asked.
fn in_own_time_namespace(pid: u32) -> bool {
    let ours = std::fs::read_link("/proc/self/ns/time");
    let its = std::fs::read_link(format!("/proc/{pid}/ns/time"));
    ours.ok()
        .zip(its.ok())
        .is_none_or(|(ours, its)| ours != its)
}

/// A copy of a descriptor with a number of at least `floor`.
fn above(fd: BorrowedFd<'_>, floor: RawFd) -> nix::Result<OwnedFd> {
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(floor))?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// pidfd_open(2) of this process: readable when it is dead.
pub(crate) fn pidfd_of_process() -> nix::Result<OwnedFd> {
    pidfd_open(nix::unistd::getpid(), 0)
}

/// The same of the calling thread where the kernel has it (since Linux 6.9). Without, the process
/// has to do: the signal comes with the thread's end all the same; what is missed is a thread that
/// ends between the clone and the step that asks for the signal.
fn pidfd_of_thread() -> nix::Result<OwnedFd> {
    /// `PIDFD_THREAD` in `linux/pidfd.h`.
    const PIDFD_THREAD: libc::c_int = libc::O_EXCL;
    pidfd_open(nix::unistd::gettid(), PIDFD_THREAD).or_else(|_| pidfd_of_process())
}

fn pidfd_open(pid: nix::unistd::Pid, flags: libc::c_int) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes numbers and touches no memory.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), flags) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// The clock that the child uses for its times.
fn monotonic_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| {
        now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
    })
}
