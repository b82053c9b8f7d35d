// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one launch owns: its memory, its descriptors, its slots; and the clone itself.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clonebox_child::{self as child, CloneArgs, Entry, Shared, Slot};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::pty::Winsize;

use super::gate::Gate;
use super::handover::Handover;
use super::idmap;
use super::init::InitReport;
use super::join::{self, First};
use super::memory::Memory;
use super::outcome::{Failure, Timings};
use super::pty::{self, KernelTermios, Pty};
use super::signals::AllBlocked;
use super::spawner::{self, Chosen};
use super::wait;
use crate::cgroup::Cgroup;
use crate::pidfd::{self, kill, wait_for};
use crate::plan::slot::Door;
use crate::plan::{Plan, Role, Terminal, slot};
use crate::spec::ParentDeath;

/// How long a child that was killed may take to be gone: it may be in a call that no signal ends.
const UNKILLABLE_AFTER: Duration = Duration::from_secs(1);

/// What the caller supplies for one launch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Supplies<'a> {
    /// The standard streams that the plan wants supplied.
    pub(crate) streams: [Option<BorrowedFd<'a>>; 3],
    /// The mount namespace of the template, if the plan joins it.
    pub(crate) mounts: Option<BorrowedFd<'a>>,
    /// What is not the plan's.
    pub(crate) given: Given<'a>,
    /// The program for the plan's role.
    pub(crate) init: Option<BorrowedFd<'a>>,
}

/// What a launch has in the place of what the plan says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Given<'a> {
    /// The addresses of argv and envp.
    pub(crate) words: Option<[usize; 2]>,
    pub(crate) hostname: Option<&'a CStr>,
    pub(crate) workdir: Option<&'a CStr>,
}

/// What stays with the parent of that which a launch has made.
pub(super) struct Ends {
    /// The other end of the box's terminal.
    pub(super) ptmx: Option<OwnedFd>,
    pub(super) init: Option<InitReport>,
    pub(super) cgroup: Option<Cgroup>,
}
/// Everything that belongs to one launch until its child has left the shared memory.
pub(super) struct Frame {
    pub(super) plan: Arc<Plan>,
    memory: Memory,
    times: Box<[AtomicU64]>,
    /// What the child sends: a terminal that it makes, or its mount namespace.
    handover: Option<Handover>,
    /// The settings and the size that a terminal of its own gets.
    settings: Option<Box<(KernelTermios, Winsize)>>,
    /// The listener of a filter that is traced.
    listener: Option<Handover>,
    /// The cgroup in which the child is made, on version 2.
    into_cgroup: RawFd,
    /// The thread that makes the clone, if the calling one does not.
    pub(super) spawner: Option<Chosen>,
    /// What the child uses, kept open until then.
    kept: Kept,
}

/// Descriptors, without an allocation but for mounts that the launch has made.
#[derive(Default)]
struct Kept {
    fds: [Option<OwnedFd>; KEPT],
    count: usize,
    more: Vec<OwnedFd>,
}

/// As many as a launch has at most without those mounts: streams, a terminal, the listener's way, the parent's, two of
/// our program, the mounts of a template, a network, cgroups, the box that is joined.
const KEPT: usize = 3 + 1 + 1 + 1 + 3 + 1 + slot::CGROUPS.len() + 1 + 2;

impl Kept {
    fn push(&mut self, fd: OwnedFd) {
        match self.fds.get_mut(self.count) {
            Some(place) => *place = Some(fd),
            None => self.more.push(fd),
        }
        self.count += 1;
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Frame {
    /// Makes everything ready that the plan wants of the launch.
    pub(super) fn new(plan: &Arc<Plan>, supplies: Supplies<'_>) -> Result<(Self, Ends), Failure> {
        let cannot = |action| move |errno| Failure::Parent(action, errno);
        let mut memory = Memory::take().map_err(cannot("map memory for the child"))?;
        let marks = if plan.timings { plan.code.len() + 1 } else { 0 };
        let times: Box<[AtomicU64]> = (0..marks).map(|_| AtomicU64::new(0)).collect();
        let entry = Entry::new(&plan.code, memory.shared(), &times);
        memory.set_entry(entry);
        let plan = Arc::clone(plan);
        let mut frame = Self {
            plan,
            memory,
            times,
            handover: None,
            settings: None,
            listener: None,
            into_cgroup: 0,
            spawner: None,
            kept: Kept::default(),
        };
        if !frame.clones_here() {
            let chosen = Chosen::choose().map_err(cannot("start a thread for the clone"))?;
            frame.spawner = Some(chosen);
        }
        if let Some(mounts) = supplies.mounts {
            frame
                .lend(slot::NAMESPACE, mounts)
                .map_err(cannot("pass the template's mounts"))?;
        }
        if let Some(network) = frame.plan.network.clone() {
            frame
                .lend(slot::NETWORK, network.as_fd())
                .map_err(cannot("pass the network namespace"))?;
        }
        for (slot, fd) in slot::STDIO.into_iter().zip(supplies.streams) {
            frame
                .supply_stream(slot, fd)
                .map_err(cannot("pass a stream"))?;
        }
        let first = match &frame.plan.join {
            Some(join) => Some(First::find(join).map_err(of_the_box)?),
            None => None,
        };
        let ptmx = frame.supply_terminal(first.as_ref())?;
        frame
            .supply_listener()
            .map_err(cannot("make a way for the listener"))?;
        frame
            .supply_parent()
            .map_err(cannot("open the parent's pidfd"))?;
        let init = frame
            .supply_init(supplies.init)
            .map_err(cannot("make the init ready"))?;
        let cgroup = frame.supply_cgroup()?;
        if let Some(first) = first {
            frame.supply_box(first).map_err(of_the_box)?;
        }
        frame.supply_mounts()?;
        frame.supply_words(supplies.given);
        let ends = Ends { ptmx, init, cgroup };
        Ok((frame, ends))
    }

    /// Whether the calling thread makes the clone: not if it may end before the process, which would end the
    /// box, and not if it had to stand still beyond the deadline.
    fn clones_here(&self) -> bool {
        let plan = &self.plan;
        match plan.parent_death {
            ParentDeath::KillWithThread => true,
            ParentDeath::Kill if !spawner::is_main_thread() => false,
            ParentDeath::Kill | ParentDeath::Survive => {
                !plan.stands_still() || plan.start_timeout.is_none()
            }
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        self.memory.shared()
    }

    /// Puts a descriptor of this launch into its slot and keeps it open for the child.
    fn supply(&mut self, slot: Slot, fd: OwnedFd) -> nix::Result<RawFd> {
        let fd = match self.plan.numbers.above() {
            Some(floor) if fd.as_raw_fd() < floor => above(fd.as_fd(), floor)?,
            _ => fd,
        };
        let number = fd.as_raw_fd();
        self.shared().set_slot(slot, number as usize);
        self.kept.push(fd);
        Ok(number)
    }

    /// Puts a descriptor that outlives the launch into a slot.
    fn lend(&mut self, slot: Slot, fd: BorrowedFd<'_>) -> nix::Result<()> {
        match self.plan.numbers.above() {
            Some(floor) if fd.as_raw_fd() < floor => self.supply(slot, above(fd, floor)?).map(drop),
            _ => {
                self.shared().set_slot(slot, fd.as_raw_fd() as usize);
                Ok(())
            }
        }
    }

    /// Streams come with any number. One below 3 would be overwritten by the redirection of another.
    fn supply_stream(&mut self, slot: Slot, fd: Option<BorrowedFd<'_>>) -> nix::Result<()> {
        let Some(fd) = fd else { return Ok(()) };
        if fd.as_raw_fd() < 3 || self.plan.numbers.above().is_some() {
            return self.supply(slot, above(fd, 3)?).map(drop);
        }
        self.shared().set_slot(slot, fd.as_raw_fd() as usize);
        Ok(())
    }

    /// A terminal in the devpts of the box that is joined, whose first process this is, or in the caller's.
    fn supply_terminal(&mut self, first: Option<&First>) -> Result<Option<OwnedFd>, Failure> {
        let cannot = |errno| Failure::Parent("make a terminal", errno);
        if self.plan.hands_over {
            self.handover = Some(self.door(slot::DOOR).map_err(cannot)?);
            if self.plan.terminal == Terminal::New {
                self.supply_settings();
            }
            return Ok(None);
        }
        if self.plan.terminal != Terminal::New {
            return Ok(None);
        }
        let Pty { ptmx, pts } = match first.zip(self.plan.devpts) {
            None => Pty::open().map_err(cannot)?,
            Some((first, devpts)) => first
                .terminal(devpts)
                .map_err(|errno| Failure::Parent("make a terminal in the box", errno))?,
        };
        self.supply(slot::PTS, pts).map_err(cannot)?;
        Ok(Some(ptmx))
    }

    fn supply_settings(&mut self) {
        let settings = Box::new(pty::settings());
        let address = (&raw const settings.0).expose_provenance();
        self.shared().set_slot(slot::SETTINGS, address);
        let address = (&raw const settings.1).expose_provenance();
        self.shared().set_slot(slot::SIZE, address);
        self.settings = Some(settings);
    }

    fn supply_listener(&mut self) -> nix::Result<()> {
        if self.plan.is_traced() {
            self.listener = Some(self.door(slot::LISTENER_DOOR)?);
        }
        Ok(())
    }

    /// A way for a descriptor that the child makes.
    fn door(&mut self, door: Door) -> nix::Result<Handover> {
        let (mut handover, theirs) = Handover::new()?;
        self.supply(door.socket, theirs)?;
        handover.announce(door, self.shared());
        Ok(handover)
    }

    fn supply_parent(&mut self) -> nix::Result<()> {
        let fd = match self.plan.parent_death {
            ParentDeath::Survive if self.gate().is_none() => return Ok(()),
            // While it waits at the gate it is this process that it waits for.
            ParentDeath::Survive => pidfd::of_this_process()?,
            // The thread that makes the clone: no thread that lives longer hides its death.
            ParentDeath::Kill => match &self.spawner {
                Some(spawner) => spawner.pidfd()?,
                None => pidfd::of_this_process()?,
            },
            ParentDeath::KillWithThread => pidfd::of_thread(nix::unistd::gettid())?,
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

    fn supply_init(&mut self, init: Option<BorrowedFd<'_>>) -> nix::Result<Option<InitReport>> {
        let Some(init) = init else { return Ok(None) };
        let (report, theirs) = match self.plan.role {
            Some(Role::Stand) => InitReport::socket()?,
            Some(Role::Join) => InitReport::witness()?,
            _ => InitReport::pipe()?,
        };
        self.lend(slot::INIT, init)?;
        self.supply(slot::INIT_REPORT, theirs)?;
        Ok(Some(report))
    }

    fn supply_cgroup(&mut self) -> Result<Option<Cgroup>, Failure> {
        if self.plan.cgroups.groups.is_empty() {
            return Ok(None);
        }
        let cgroup = Cgroup::make(&self.plan.cgroups, &self.plan.name).map_err(Failure::Limit)?;
        let cannot = |errno| Failure::Parent("open the cgroup", errno);
        for (slot, door) in slot::CGROUPS
            .into_iter()
            .zip(cgroup.doors().map_err(cannot)?)
        {
            self.supply(slot, door).map_err(cannot)?;
        }
        if let Some(directory) = cgroup.unified() {
            let directory = above(directory, 0).map_err(cannot)?;
            self.into_cgroup = directory.as_raw_fd();
            self.kept.push(directory);
        }
        Ok(Some(cgroup))
    }

    /// The box that is joined: a pidfd of its first process, its root, its cgroups.
    fn supply_box(&mut self, first: First) -> nix::Result<()> {
        let plan = Arc::clone(&self.plan);
        let root = first.root()?;
        self.supply(slot::BOX, first.pidfd)?;
        self.supply(slot::BOX_ROOT, root)?;
        for (slot, (unified, path)) in slot::CGROUPS.into_iter().zip(&plan.cgroups.there) {
            let (door, into) = join::cgroup(*unified, path)?;
            self.supply(slot, door)?;
            if let Some(into) = into {
                self.into_cgroup = into.as_raw_fd();
                self.kept.push(into);
            }
        }
        Ok(())
    }

    fn supply_mounts(&mut self) -> Result<(), Failure> {
        let plan = Arc::clone(&self.plan);
        let gate = self.shared().gate.as_ptr().expose_provenance();
        self.shared().set_slot(slot::GATE, gate);
        let Some(userns) = &plan.userns else {
            return Ok(());
        };
        for (slot, mount) in idmap::make(userns)? {
            self.supply(slot, mount)
                .map_err(|errno| Failure::Parent("keep a mount", errno))?;
        }
        Ok(())
    }

    fn supply_words(&self, given: Given<'_>) {
        let shared = self.shared();
        let exec = &self.plan.exec;
        for &(slot, word) in &self.plan.given {
            shared.set_slot(slot, word);
        }
        let address = |text: &CStr| text.as_ptr().expose_provenance();
        if let Some(hostname) = given.hostname {
            shared.set_slot(slot::HOSTNAME, address(hostname));
            shared.set_slot(slot::HOSTNAME_LENGTH, hostname.count_bytes());
        }
        if let Some(workdir) = given.workdir {
            shared.set_slot(slot::WORKDIR, address(workdir));
        }
        let words = given.words;
        let [argv, envp] = words.unwrap_or_else(|| [exec.argv.address(), exec.envp.address()]);
        shared.set_slot(slot::ARGV, argv);
        shared.set_slot(slot::ENVP, envp);
        let scratch = shared.scratch.as_ptr().expose_provenance();
        shared.set_slot(slot::SCRATCH, scratch);
        shared.set_slot(slot::STRUCT, scratch);
    }

    /// clone(2) or clone3(2) with all signals blocked: the child's process id.
    pub(super) fn clone_child(&self) -> Result<u32, Errno> {
        let shared = self.shared();
        let (stack, stack_size) = self.memory.stack();
        let args = CloneArgs {
            flags: self.plan.clone.flags,
            pidfd: shared.pidfd.as_ptr().expose_provenance() as u64,
            child_tid: shared.running.as_ptr().expose_provenance() as u64,
            exit_signal: libc::SIGCHLD as u64,
            stack: stack as u64,
            stack_size: stack_size as u64,
            cgroup: self.into_cgroup as u64,
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
        unsafe { clone(&args, self.memory.entry()) }
            .map_err(|errno| Errno::from_raw(errno.cast_signed()))
    }

    /// What is to be done for a child that waits at the gate, if it does.
    pub(super) fn gate(&self) -> Option<Gate<'_>> {
        Gate::of(&self.plan)
    }

    /// Ends a child whose time is up.
    pub(super) fn give_up(self, pidfd: &OwnedFd) -> Failure {
        let step = self.shared().progress.step() as usize;
        self.end(pidfd);
        Failure::Late(step)
    }

    /// Ends a child that waits, or that hangs.
    pub(super) fn end(self, pidfd: &OwnedFd) {
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
    }

    /// What the child has sent: the other end of a terminal that it has made, or its mount namespace.
    pub(super) fn receive(&mut self) -> nix::Result<Option<OwnedFd>> {
        self.handover.take().map(Handover::receive).transpose()
    }

    /// The listener of a filter that is traced.
    pub(super) fn receive_listener(&mut self) -> nix::Result<Option<OwnedFd>> {
        self.listener.take().map(Handover::receive).transpose()
    }

    /// Closes what only the child needed. It has left the shared memory.
    pub(super) fn close(&mut self) {
        self.kept.clear();
    }

    /// Leaves the memory to the next launch. The child has left it.
    pub(super) fn finish(self) {
        self.memory.give_back();
    }

    pub(super) fn timings(&self, began: u64) -> Option<Timings> {
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

/// A copy of a descriptor with a number of at least `floor`.
pub(super) fn above(fd: BorrowedFd<'_>, floor: RawFd) -> nix::Result<OwnedFd> {
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(floor))?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The clock that the child uses for its times.
pub(super) fn monotonic_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| {
        now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
    })
}

fn of_the_box(errno: Errno) -> Failure {
    match errno {
        Errno::ESRCH | Errno::ENOENT => Failure::BoxEnded,
        errno => Failure::Parent("look at the box", errno),
    }
}
