// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ways to start a program from a program, each from the launch until it is reaped.

mod reexec;
mod straight;

use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use clonebox::{Command, Template};

use crate::floor::{Launcher, NAMESPACES, pidfd_of_self, spawned, wait};
pub(crate) use reexec::{become_child, is_child};
use straight::Straight;

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
    launcher: Launcher,
}

impl Ways {
    pub(crate) fn new(program: &Path) -> Result<Self, clonebox::Error> {
        let command = Command::new(program);
        let template = command.prepare()?;
        let straight = Straight::new(program, template.plan());
        Ok(Self {
            reexec: reexec::Words::new(&straight),
            straight,
            template,
            command,
            launcher: Launcher::new(),
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
        let pid = self
            .launcher
            .clone(flags, None, &self.straight, straight::execute);
        wait(libc::P_PID, pid)
    }

    /// The same calls as a launch of clonebox, in the parent too.
    fn floor(&mut self) -> ExitStatus {
        let parent = pidfd_of_self();
        self.straight.parent.fd = parent.as_raw_fd();
        self.straight.parent.revents = 0;
        self.launcher
            .start(NAMESPACES, None, &self.straight, straight::enter);
        drop(parent);
        self.launcher.wait()
    }

    /// Nobody waits for its exec: the kernel tells of it where memory is shared only.
    fn fork(&mut self) -> ExitStatus {
        let parent = pidfd_of_self();
        self.straight.parent.fd = parent.as_raw_fd();
        self.launcher
            .clone_blocked(NAMESPACES, None, &self.straight, straight::enter);
        drop(parent);
        self.launcher.wait()
    }

    /// The clone does not copy page tables here either, as in Go's runtime.
    fn reexec(&self) -> ExitStatus {
        let flags = NAMESPACES | (libc::CLONE_VM | libc::CLONE_VFORK) as u64;
        self.launcher
            .clone_blocked(flags, None, &self.reexec, reexec::enter);
        self.launcher.wait()
    }
}
