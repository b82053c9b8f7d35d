// SPDX-License-Identifier: MIT OR Apache-2.0
//! A compiled command, which can be launched any number of times.

use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::Arc;

use nix::errno::Errno;

use super::stdio::Stdio;
use crate::error::Error;
use crate::launch::{Failure, launch, refuse_clone3, sealed_init};
use crate::plan::{HostFacts, Plan, compile};
use crate::spec::{Setting, Spec};
use crate::supervise::Child;

/// A [`Command`](crate::Command) that has been compiled. It launches boxes from any thread, any number
/// at once, without compiling again.
#[derive(Clone, Debug)]
pub struct Template {
    spec: Arc<Spec>,
    facts: Arc<HostFacts>,
    plan: Arc<Plan>,
    stdio: [Stdio; 3],
    /// Our program for the plan's role: sealed, so that all launches can have the same.
    init: Option<Arc<OwnedFd>>,
}

impl Template {
    pub(super) fn new(spec: Spec, stdio: [Stdio; 3]) -> Result<Self, Error> {
        let facts = HostFacts::gather(&spec);
        let plan = compile(&spec, &facts).map_err(|violations| Error::violations(&violations))?;
        let init = match plan.role {
            None => None,
            Some(_) => {
                let cannot = |errno| Error::parent("make the init ready", errno);
                Some(Arc::new(sealed_init().map_err(cannot)?))
            }
        };
        Ok(Self {
            spec: Arc::new(spec),
            facts: Arc::new(facts),
            plan: Arc::new(plan),
            stdio,
            init,
        })
    }

    /// What a launch does.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Starts a box: its program has been executed when this returns.
    ///
    /// # Errors
    ///
    /// Of every [`ErrorKind`](crate::ErrorKind) but `Spec`. Nothing of the box is left then.
    pub fn spawn(&self) -> Result<Child, Error> {
        if let Some(failure) = self.closed_descriptor() {
            return Err(Error::launch(failure, &self.plan, &self.spec));
        }
        let open = |stream: usize| {
            self.stdio[stream].open(stream > 0).map_err(|error| {
                Error::parent(
                    "open a stream",
                    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
                )
            })
        };
        let ends = [open(0)?, open(1)?, open(2)?];
        let streams = [0, 1, 2].map(|stream: usize| ends[stream].child.as_ref().map(AsFd::as_fd));
        let init = self.init.as_deref().map(AsFd::as_fd);
        let (plan, started) = match launch(&self.plan, streams, init) {
            // clone3(2) is missing, or older than a flag, or a filter that cannot look into its
            // arguments forbids it: clone(2) then has the last word.
            Err(Failure::Clone(Errno::ENOSYS | Errno::EPERM | Errno::EINVAL))
                if self.plan.clone.clone3 =>
            {
                let plan = self.plan_without_clone3()?;
                let started = launch(&plan, streams, init);
                if !matches!(started, Err(Failure::Clone(_))) {
                    refuse_clone3();
                }
                (plan, started)
            }
            started => (Arc::clone(&self.plan), started),
        };
        let started = started.map_err(|failure| Error::launch(failure, &plan, &self.spec))?;
        let mut child = Child::new(plan, started);
        let [stdin, stdout, stderr] = ends.map(|ends| ends.parent);
        child.stdin = stdin.map(ChildStdin::from);
        child.stdout = stdout.map(|fd: OwnedFd| ChildStdout::from(fd));
        child.stderr = stderr.map(|fd: OwnedFd| ChildStderr::from(fd));
        Ok(child)
    }

    /// The step that would pass a descriptor which is not open. The child cannot tell: by then its
    /// number may be one of the launch's own.
    fn closed_descriptor(&self) -> Option<Failure> {
        let closed = |number: &Setting<RawFd>| {
            // SAFETY: the call takes numbers and touches no memory.
            unsafe { libc::fcntl(number.value, libc::F_GETFD) < 0 }
        };
        let closed = self.spec.fds.iter().find(|number| closed(number))?.value;
        let mut steps = self.plan.steps();
        let step = steps.position(|step| {
            step.name() == "fcntl" && step.words()[0] == usize::try_from(closed).ok()
        })?;
        Some(Failure::Step(step, Errno::EBADF))
    }

    fn plan_without_clone3(&self) -> Result<Arc<Plan>, Error> {
        let facts = HostFacts {
            clone3: false,
            ..HostFacts::clone(&self.facts)
        };
        let plan =
            compile(&self.spec, &facts).map_err(|violations| Error::violations(&violations))?;
        Ok(Arc::new(plan))
    }
}
