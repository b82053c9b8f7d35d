// SPDX-License-Identifier: MIT OR Apache-2.0
//! A compiled command, which can be launched any number of times.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use super::changes::{Changes, Shape};
use super::launch::{Launch, Source};
use super::stdio::Stdio;
use crate::error::Error;
use crate::launch::{
    Failure, Given, Started, Supplies, launch, make_mounts, refuse_clone3, sealed_init,
};
use crate::plan::{HostFacts, Kind, Plan, TemplatePlans, Words, compile_kind};
use crate::spec::{Setting, Spec};
use crate::state::PinnedTemplate;
use crate::supervise::{Child, KernelLog, mounts_of};

/// What of a box is made once, and shared by the launches of a [`Template`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TemplateMounts {
    /// The mounts that a box cannot write to, or writes to where the caller has said: the root filesystem,
    /// volumes, /sys. They show what was mounted on the host when the template was made.
    #[default]
    Once,
    /// Nothing: each launch makes all mounts anew.
    EachLaunch,
}

/// A [`Command`](crate::Command) that has been compiled. It launches boxes from any thread, any number
/// at once, without compiling again.
///
/// With a root filesystem it also has the mounts of its boxes, in a mount namespace in which nobody lives
/// (mount_namespaces(7)): a launch takes a copy of that, and not of all that is mounted on the host. Each
/// box has its own /proc, /dev, tmpfs and upper layer of an overlay: of what one box writes, another sees
/// only what goes to the root filesystem or to a volume by the caller's word. What is mounted on the host
/// after that, boxes do not see, except below a volume with
/// [`Propagation::Slave`](crate::Propagation::Slave); [`refresh`](Self::refresh) makes the mounts anew.
///
/// Mounts are made at each launch nevertheless, as with [`TemplateMounts::EachLaunch`], on the caller's own
/// root, whose mounts are as many in a copy; in a user namespace, because a process in one may not join a
/// mount namespace of its caller's; where devices cannot be made (`CAP_MKNOD`); and before Linux 5.12.
/// [`shares_mounts`](Self::shares_mounts) tells.
#[derive(Clone, Debug)]
pub struct Template {
    pub(super) spec: Arc<Spec>,
    pub(crate) facts: Arc<HostFacts>,
    pub(super) plan: Arc<Plan>,
    /// What was asked for, and what came of it.
    kind: Kind,
    mounts: Option<Mounts>,
    stdio: [Stdio; 3],
    /// The plans of launches that have another shape than the template.
    shapes: Arc<Mutex<Vec<Shaped>>>,
    pub(super) unmount_later: bool,
    /// Our program for the plan's role: sealed, so that all launches can have the same.
    init: Option<Arc<OwnedFd>>,
}

/// The mounts that launches have in common, and the plan that has made them.
#[derive(Clone, Debug)]
struct Mounts {
    plan: Arc<Plan>,
    namespace: Arc<OwnedFd>,
}

/// The plan of launches of a shape.
#[derive(Debug)]
struct Shaped {
    shape: Shape,
    plan: Arc<Plan>,
}

/// A box that has been started, or stands.
pub(super) struct Launched {
    pub(super) plan: Arc<Plan>,
    pub(super) started: Started,
    pub(super) streams: [Option<OwnedFd>; 3],
    pub(super) log: Option<KernelLog>,
    /// Its mount namespace, if that is to be left when the box has ended.
    pub(super) mounts: Option<OwnedFd>,
}

impl Launched {
    pub(super) fn into_child(self) -> Child {
        let mut child = Child::new(self.plan, self.started, self.log, self.mounts);
        let [stdin, stdout, stderr] = self.streams;
        child.stdin = stdin.map(ChildStdin::from);
        child.stdout = stdout.map(ChildStdout::from);
        child.stderr = stderr.map(ChildStderr::from);
        child
    }

    /// One whose process has been reaped: its cgroups go.
    pub(super) fn forget(self) {
        if let Some(cgroup) = self.started.cgroup {
            cgroup.remove();
        }
    }
}

impl Template {
    pub(super) fn new(
        mut spec: Arc<Spec>,
        stdio: [Stdio; 3],
        mounts: TemplateMounts,
        pinned: Option<&PinnedTemplate>,
    ) -> Result<Self, Error> {
        let conflicts = spec.conflicts();
        if !conflicts.is_empty() {
            return Err(Error::violations(&conflicts));
        }
        if let Some(settled) = spec.settled() {
            spec = settled;
        }
        let facts = HostFacts::gather(&spec);
        let kind = Kind {
            mounts_once: mounts == TemplateMounts::Once,
            stands: false,
        };
        let compiled = compiled(&spec, &facts, kind)?;
        let mut template = Self {
            spec,
            facts: Arc::new(facts),
            plan: compiled.each.into(),
            kind,
            mounts: None,
            stdio,
            shapes: Arc::default(),
            unmount_later: false,
            init: None,
        };
        template.make_init()?;
        let once = compiled.once.map(Arc::from);
        match (pinned, once) {
            (Some(pinned), once) => {
                let namespace = pinned.mounts_for(once.as_deref())?;
                template.mounts = once.map(|plan| Mounts { plan, namespace });
            }
            (None, Some(once)) => template.make_mounts(once)?,
            (None, None) => {}
        }
        Ok(template)
    }

    /// The mount namespace that its launches copy.
    pub(crate) fn namespace(&self) -> Option<BorrowedFd<'_>> {
        self.mounts.as_ref().map(|mounts| mounts.namespace.as_fd())
    }

    /// What would make the mounts of its launches if they were made again.
    pub(crate) fn mounts_plan_again(&self) -> Result<Option<Box<Plan>>, Error> {
        let facts = HostFacts::gather(&self.spec);
        Ok(compiled(&self.spec, &facts, self.kind)?.once)
    }

    fn make_init(&mut self) -> Result<(), Error> {
        if self.plan.role.is_some() {
            let cannot = |errno| Error::parent("make the init ready", errno);
            self.init = Some(Arc::new(sealed_init().map_err(cannot)?));
        }
        Ok(())
    }

    fn make_mounts(&mut self, plan: Arc<Plan>) -> Result<(), Error> {
        let (plan, made) = match make_mounts(&plan) {
            Err(Failure::Clone(Errno::ENOSYS | Errno::EPERM | Errno::EINVAL))
                if plan.clone.clone3 =>
            {
                let once = self.without_clone3(&self.spec)?.once.map(Arc::from);
                let once = once.unwrap_or(plan);
                let made = make_mounts(&once);
                (once, made)
            }
            made => (plan, made),
        };
        let namespace = made.map_err(|failure| Error::launch(failure, &plan, &self.spec))?;
        self.mounts = Some(Mounts {
            plan,
            namespace: Arc::new(namespace),
        });
        Ok(())
    }

    pub(super) fn error(&self, failure: Failure) -> Error {
        Error::launch(failure, &self.plan, &self.spec)
    }

    /// What a launch does.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What has been done once, to make the mounts that all launches have in common; `None` if they have
    /// none.
    pub fn mounts_plan(&self) -> Option<&Plan> {
        self.mounts.as_ref().map(|mounts| &*mounts.plan)
    }

    /// Whether launches have mounts in common.
    pub fn shares_mounts(&self) -> bool {
        self.mounts.is_some()
    }

    /// Asks the host again for what the plan depends on, compiles anew, and makes the mounts that launches
    /// have in common anew. Boxes that run keep theirs, as does a clone of this template.
    ///
    /// # Errors
    ///
    /// As [`Command::prepare`](crate::Command::prepare); the template is then as before.
    pub fn refresh(&mut self) -> Result<(), Error> {
        let later = self.unmount_later;
        let mounts = if self.kind.mounts_once {
            TemplateMounts::Once
        } else {
            TemplateMounts::EachLaunch
        };
        *self = Self::new(Arc::clone(&self.spec), self.stdio.clone(), mounts, None)?;
        self.unmount_later = later;
        Ok(())
    }

    /// Chooses for later launches what [`Command::unmount_later`](crate::Command::unmount_later) chooses for all.
    pub fn unmount_later(&mut self, later: bool) -> &mut Self {
        self.unmount_later = later;
        self
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Starts a box: its program has been executed when this returns.
    ///
    /// # Errors
    ///
    /// Of every [`ErrorKind`](crate::ErrorKind) but `Spec`. Nothing of the box is left then.
    pub fn spawn(&self) -> Result<Child, Error> {
        Ok(self.start(None)?.into_child())
    }

    /// A launch with more arguments, another environment, other streams, another host name or working directory.
    pub fn launch(&self) -> Launch<'_> {
        Launch::new(Source::Template(self))
    }

    /// Launches the plan.
    pub(super) fn start(&self, changes: Option<&Changes>) -> Result<Launched, Error> {
        let plan = match changes {
            Some(changes) => self.plan_for(changes)?,
            None => Arc::clone(&self.plan),
        };
        let words = changes.and_then(|changes| changes.words(&plan));
        let given = Given {
            words: words.as_ref().map(Words::addresses),
            hostname: changes.and_then(|changes| changes.hostname.as_deref()),
            workdir: changes.and_then(|changes| changes.workdir.as_deref()),
        };
        if let Some(failure) = self.closed_descriptor(&plan) {
            return Err(self.explained(failure, &plan, changes));
        }
        let open = |stream: usize| {
            let changed = changes.and_then(|changes| changes.stdio[stream].as_ref());
            changed.unwrap_or(&self.stdio[stream]).ends(stream)
        };
        let ends = [open(0)?, open(1)?, open(2)?];
        let supplies = Supplies {
            streams: [0, 1, 2].map(|stream: usize| ends[stream].child.as_ref().map(AsFd::as_fd)),
            mounts: self.namespace(),
            init: self.init.as_deref().map(AsFd::as_fd),
            given,
        };
        let log = if plan.may_be_killed_by_filter() {
            KernelLog::end()
        } else {
            None
        };
        let (plan, started) = match launch(&plan, supplies) {
            // clone3(2) is missing, or older than a flag, or a filter that cannot look into its
            // arguments forbids it: clone(2) then has the last word.
            Err(Failure::Clone(Errno::ENOSYS | Errno::EPERM | Errno::EINVAL))
                if plan.clone.clone3 =>
            {
                let other = Arc::from(self.without_clone3(&self.shaped(changes))?.each);
                let started = launch(&other, supplies);
                if !matches!(started, Err(Failure::Clone(_))) {
                    refuse_clone3();
                }
                (other, started)
            }
            started => (Arc::clone(&plan), started),
        };
        let started = started.map_err(|failure| self.explained(failure, &plan, changes))?;
        // As soon as can be: with a short program the box ends at any moment, and its mounts with it.
        let mounts = self.unmount_later.then(|| mounts_of(started.pidfd.as_fd()));
        let mounts = mounts.flatten();
        Ok(Launched {
            plan,
            started,
            streams: ends.map(|ends| ends.parent),
            log,
            mounts,
        })
    }

    /// The description with the shape of a launch.
    fn shaped(&self, changes: Option<&Changes>) -> Arc<Spec> {
        let mut spec = Arc::clone(&self.spec);
        if let Some(changes) = changes {
            Shape::of(&self.spec, changes).apply(Arc::make_mut(&mut spec));
        }
        spec
    }

    /// The plan of a launch. One of another shape than the template's is compiled once, for all launches of
    /// that shape.
    fn plan_for(&self, changes: &Changes) -> Result<Arc<Plan>, Error> {
        let shape = Shape::of(&self.spec, changes);
        if shape == Shape::of(&self.spec, &Changes::default()) {
            return Ok(Arc::clone(&self.plan));
        }
        let shapes = || self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shapes().iter().find(|known| known.shape == shape) {
            return Ok(Arc::clone(&known.plan));
        }
        let spec = self.shaped(Some(changes));
        let plan = Arc::from(compiled(&spec, &self.facts_for(&spec), self.kind)?.each);
        shapes().push(Shaped {
            shape,
            plan: Arc::clone(&plan),
        });
        Ok(plan)
    }

    /// What is known of the host, and of streams that the template does not have of the caller.
    fn facts_for(&self, spec: &Spec) -> HostFacts {
        let now = HostFacts::gather(spec);
        HostFacts {
            terminals: now.terminals,
            foreground: now.foreground,
            ..HostFacts::clone(&self.facts)
        }
    }

    /// Why a launch has failed, in the words of that launch.
    fn explained(&self, failure: Failure, plan: &Plan, changes: Option<&Changes>) -> Error {
        let Some(changes) = changes else {
            return Error::launch(failure, plan, &self.spec);
        };
        let spec = changes.applied(&self.spec);
        let mut facts = self.facts_for(&spec);
        facts.clone3 = plan.clone.clone3;
        match compiled(&spec, &facts, self.kind) {
            Ok(plans) => Error::launch(failure, &plans.each, &spec),
            Err(_) => Error::launch(failure, plan, &spec),
        }
    }

    /// The step that would pass a descriptor which is not open. The child cannot tell: by then its
    /// number may be one of the launch's own.
    fn closed_descriptor(&self, plan: &Plan) -> Option<Failure> {
        let closed = |number: &Setting<RawFd>| {
            // SAFETY: the call takes numbers and touches no memory.
            unsafe { libc::fcntl(number.value, libc::F_GETFD) < 0 }
        };
        let closed = self.spec.fds.iter().find(|number| closed(number))?.value;
        let mut steps = plan.steps();
        let step = steps.position(|step| {
            step.name() == "fcntl" && step.words()[0] == usize::try_from(closed).ok()
        })?;
        Some(Failure::Step(step, Errno::EBADF))
    }

    fn without_clone3(&self, spec: &Spec) -> Result<TemplatePlans, Error> {
        let facts = HostFacts {
            clone3: false,
            ..HostFacts::clone(&self.facts)
        };
        compiled(spec, &facts, self.kind)
    }

    /// The same for boxes that stand. They have the mounts of this one.
    pub(super) fn standing(&self) -> Result<Self, Error> {
        let kind = Kind {
            stands: true,
            ..self.kind
        };
        let mut standing = Self {
            plan: compiled(&self.spec, &self.facts, kind)?.each.into(),
            kind,
            shapes: Arc::default(),
            ..self.clone()
        };
        standing.make_init()?;
        Ok(standing)
    }
}

fn compiled(spec: &Spec, facts: &HostFacts, kind: Kind) -> Result<TemplatePlans, Error> {
    compile_kind(spec, facts, kind).map_err(|violations| Error::violations(&violations))
}
