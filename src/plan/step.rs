// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan: the clone, and the steps after it.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clonebox_child as child;

use super::access::Enforced;
use super::call::Call;
use super::cgroup::Cgroups;
use super::exec::Exec;
use super::fd::Numbers;
use super::idmap::Tree;
use super::net::Pasta;
use super::seccomp::Filter;
use super::userns::{Maps, Writer};
use crate::spec::{CapabilitySet, Join, NetworkNamespace, Origin, ParentDeath, User, Violation};

/// One step: one system call, why it is made, and who asked for it.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) call: Call,
    /// `<verb> <object>`, as in "cannot mount proc on /proc".
    pub(crate) action: Cow<'static, str>,
    pub(crate) origin: Origin,
}

/// When a step is made, if a template makes the mounts: see `plan/template.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// When the template is made.
    Once,
    /// At each launch.
    Each,
}

/// The steps while they are being collected.
#[derive(Debug)]
pub(crate) struct Steps {
    /// Those that are made once, if they are made by themselves.
    once: Option<Vec<Step>>,
    each: Vec<Step>,
    stage: Stage,
    makes: Vec<PathBuf>,
}

impl Steps {
    /// None yet, and room for those of a usual box: a step is large to move. Unless they are `split`, all
    /// are made at each launch, whatever their stage.
    pub(crate) fn new(split: bool) -> Self {
        Self {
            once: split.then(Vec::new),
            each: Vec::with_capacity(64),
            stage: Stage::Each,
            makes: Vec::new(),
        }
    }

    /// What `push` adds belongs to this stage.
    pub(crate) fn at(&mut self, stage: Stage, push: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.stage, stage);
        push(self);
        self.stage = before;
    }

    /// Adds a step.
    pub(crate) fn push(
        &mut self,
        origin: &Origin,
        action: impl Into<Cow<'static, str>>,
        call: Call,
    ) {
        let steps = match (&mut self.once, self.stage) {
            (Some(once), Stage::Once) => once,
            _ => &mut self.each,
        };
        steps.push(Step {
            call,
            action: action.into(),
            origin: origin.clone(),
        });
    }

    /// Notes a place in the root that the step just pushed makes, and that stays.
    pub(crate) fn makes(&mut self, place: PathBuf) {
        self.makes.push(place);
    }

    /// The steps that are made once, those of each launch, and what they make in the root.
    pub(crate) fn finish(self) -> (Option<Vec<Step>>, Vec<Step>, Vec<PathBuf>) {
        (self.once, self.each, self.makes)
    }
}

/// `CLONE_CLEAR_SIGHAND` in `linux/sched.h` (since Linux 5.5); the libc crate's is cut off.
pub(crate) const CLONE_CLEAR_SIGHAND: u64 = 1 << 32;

/// The clone(2) or clone3(2) of a plan.
#[derive(Clone, Debug)]
pub(crate) struct CloneCall {
    /// `CLONE_*` flags, those of the plumbing included.
    pub(crate) flags: u64,
    /// Whether it is clone3(2).
    pub(crate) clone3: bool,
    /// Who asked for each namespace.
    pub(crate) origins: Vec<(&'static str, Origin)>,
}

/// What the launch does about a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// Nothing.
    None,
    /// It makes a new one; the supervisor relays it.
    New,
    /// The box takes the caller's foreground; the supervisor takes it back.
    Inherit,
}

/// A new terminal in the devpts of a box that is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Devpts {
    /// To whom the launch gives it, by the caller's ids; nobody where the child does that.
    pub(crate) owner: Option<u32>,
}

/// What a program of ours does between the child and the program of the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It stays, as PID 1.
    Init,
    /// It executes the program. Until then /proc/self/exe is what the child is: the launcher's own
    /// executable, which whoever filled the root filesystem could name as the program, or as the
    /// interpreter of a script, and then change (CVE-2019-5736). Behind this one it is a sealed memfd.
    Exec,
    /// It enters the process namespace of the box that is joined, in a process of its own, and executes the
    /// program there.
    Join,
    /// It stands in the box of a pool until it is told what to execute.
    Stand,
}

/// What a launch does for a user namespace.
#[derive(Debug)]
pub(crate) struct ForUserns {
    pub(crate) maps: Maps,
    pub(crate) writer: Writer,
    pub(crate) origin: Origin,
    /// The mounts that it makes.
    pub(crate) trees: Vec<Tree>,
}

/// A box, compiled: immutable, and good for any number of launches at once.
pub struct Plan {
    pub(crate) name: String,
    pub(crate) clone: CloneCall,
    pub(crate) cgroups: Cgroups,
    /// The box that is joined.
    pub(crate) join: Option<Join>,
    /// The capabilities that the program may have.
    pub(crate) caps: CapabilitySet,
    /// Who it runs as, in the box.
    pub(crate) user: User,
    pub(crate) seccomp: Option<Filter>,
    /// What the launch does for a user namespace.
    pub(crate) userns: Option<ForUserns>,
    /// The network namespace that it joins.
    pub(crate) network: Option<NetworkNamespace>,
    /// What connects the one that it makes.
    pub(crate) pasta: Option<Pasta>,
    pub(crate) landlock: Option<Enforced>,
    pub(crate) missed: Vec<Violation>,
    pub(crate) steps: Vec<Step>,
    /// What the steps make in the root.
    pub(crate) makes: Vec<PathBuf>,
    pub(crate) exec: Exec,
    /// What the child gets: the calls of `steps`, lowered.
    pub(crate) code: Vec<child::Step>,
    /// What stands in slots unless a launch has something else.
    pub(crate) given: Vec<(child::Slot, usize)>,
    pub(crate) terminal: Terminal,
    /// The launch makes the new terminal in the devpts of the box that is joined.
    pub(crate) devpts: Option<Devpts>,
    /// The child sends a descriptor: the other end of a terminal that it has made in a devpts of the box's
    /// own, or, if that is all that the plan is for, its mount namespace.
    pub(crate) hands_over: bool,
    pub(crate) parent_death: ParentDeath,
    /// A step makes the shared memory undumpable, as a change of ids does: the launch restores that.
    pub(crate) changes_dumpable: bool,
    /// Somebody opens files of /proc to write maps or clocks who has no privilege, for which the memory must be
    /// dumpable.
    pub(crate) writes_without_privilege: bool,
    /// The caller is root, or a box is joined without a step that sees to it: nobody may reach the shared memory by way of the child, which has less capabilities.
    pub(crate) hidden: bool,
    pub(crate) numbers: Numbers,
    /// The program of ours that the child executes.
    pub(crate) role: Option<Role>,
    pub(crate) time_namespace: bool,
    pub(crate) start_timeout: Option<Duration>,
    pub(crate) timings: bool,
}

impl Plan {
    /// The box's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The steps, in order; the last ones are execve(2), one for each place where the program may be.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = PlannedStep<'_>> + Clone {
        self.steps
            .iter()
            .zip(&self.code)
            .map(|(step, code)| PlannedStep {
                plan: self,
                step,
                code,
            })
    }

    /// The mount points that a launch makes in the root filesystem, because they are missing there: paths in
    /// the box. They stay; under an overlay they are in its upper layer.
    pub fn makes(&self) -> &[PathBuf] {
        &self.makes
    }

    /// Whether the filter may kill the process that is launched: with an init the program is another.
    pub(crate) fn may_be_killed_by_filter(&self) -> bool {
        let filter = self
            .seccomp
            .as_ref()
            .filter(|_| self.role != Some(Role::Init));
        filter.is_some_and(|filter| filter.kills_itself)
    }

    /// Whether a launch makes cgroups, and the end of the box removes them.
    pub fn has_cgroups(&self) -> bool {
        !self.cgroups.groups.is_empty()
    }

    /// What was asked for and will not be, because best effort is enough: limits, and what the kernel's
    /// Landlock does not know.
    pub fn missed(&self) -> &[Violation] {
        &self.missed
    }

    /// The program of the box's filter of system calls, if it has one: an array of `struct sock_filter`, as
    /// `--seccomp FILE.bpf` and [`SeccompFilter::from_program`](crate::SeccompFilter::from_program) take it.
    pub fn seccomp_program(&self) -> Option<Vec<u8>> {
        let filter = self.seccomp.as_ref()?;
        Some(filter.code.iter().flat_map(|one| one.to_bytes()).collect())
    }

    /// What Landlock restricts; nothing if nobody asked for it.
    pub fn landlock(&self) -> Option<Enforced> {
        self.landlock
    }

    /// Whether the box has a seccomp filter that refuses nothing and tells what it would refuse.
    pub(crate) fn is_traced(&self) -> bool {
        self.seccomp.as_ref().is_some_and(|filter| filter.traced)
    }

    /// Whether the kernel logs what its seccomp filter refuses.
    pub(crate) fn logs_refused_calls(&self) -> bool {
        self.seccomp.as_ref().is_some_and(Filter::logs)
    }

    /// Whether who makes the clone stands still until the child has left the shared memory.
    pub(crate) fn stands_still(&self) -> bool {
        self.clone.flags & libc::CLONE_VFORK as u64 != 0
    }

    /// Whether the box's first process is PID 1 of a namespace.
    pub(crate) fn has_pid_1(&self) -> bool {
        self.clone.flags & libc::CLONE_NEWPID as u64 != 0
    }

    /// Whether the step of this index, counted from 0, executes the program.
    pub(crate) fn executes(&self, index: usize) -> bool {
        self.is_called(index, "execve")
    }

    /// Whether the child leaves with the step of this index: it executes the program, or ends.
    pub(crate) fn leaves(&self, index: usize) -> bool {
        self.executes(index) || self.is_called(index, "exit_group")
    }

    fn is_called(&self, index: usize, name: &str) -> bool {
        let step = self.steps.get(index);
        step.is_some_and(|step| step.call.name.starts_with(name))
    }

    pub(crate) fn show(&self, step: &Step) -> String {
        step.call.show(&self.exec)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("name", &self.name)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

/// A step of a plan, to look at.
#[derive(Clone, Copy, Debug)]
pub struct PlannedStep<'a> {
    plan: &'a Plan,
    step: &'a Step,
    code: &'a child::Step,
}

impl PlannedStep<'_> {
    /// What it does: a verb and an object, as in "mount proc on /proc".
    pub fn action(&self) -> &str {
        &self.step.action
    }

    /// The system call as strace(1) prints it.
    pub fn call(&self) -> String {
        self.plan.show(self.step)
    }

    /// The name of the system call.
    pub fn name(&self) -> &'static str {
        self.step.call.name
    }

    /// Who asked for it.
    pub fn origin(&self) -> &Origin {
        &self.step.origin
    }

    /// The number of the system call on this architecture.
    pub fn number(&self) -> usize {
        self.code.number
    }

    /// The words that the kernel gets; `None` where one is known at the launch only. Together with
    /// the number they tell this call from any other of the process, which is what a filter needs
    /// that wants to make it fail.
    pub fn words(&self) -> [Option<usize>; 6] {
        self.code.args.map(|arg| match arg {
            child::Arg::Word(word) => Some(word),
            child::Arg::Slot(_) | child::Arg::SlotAddress(_) => None,
        })
    }
}
