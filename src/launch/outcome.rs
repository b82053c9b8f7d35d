// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a launch ends in: a box, or the reason why there is none.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::init::InitReport;
use crate::cgroup::{Cgroup, MakeError};
use crate::pidfd::WaitStatus;
use crate::spec::Origin;

/// A box whose program has been executed.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
    /// The other end of the box's terminal, or whatever else the child has sent.
    pub(crate) ptmx: Option<OwnedFd>,
    /// The listener of a seccomp filter that is traced.
    pub(crate) listener: Option<OwnedFd>,
    pub(crate) init: Option<InitReport>,
    /// Its end of file says that pasta has ended.
    pub(crate) network: Option<OwnedFd>,
    pub(crate) cgroup: Option<Cgroup>,
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

/// A call of the parent that failed.
#[derive(Debug)]
pub(crate) struct FailedCall {
    /// A verb and an object.
    pub(crate) action: String,
    /// The call, for people.
    pub(crate) call: String,
    pub(crate) cause: Cause,
    pub(crate) origin: Origin,
    /// What it maps the ids of.
    pub(crate) maps: Option<PathBuf>,
}

/// What somebody says why.
#[derive(Debug)]
pub(crate) enum Cause {
    /// The kernel.
    Errno(Errno),
    /// A program.
    Words(String),
}

/// Why there is no box.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The parent could not do something for the launch.
    Parent(&'static str, Errno),
    /// The same, of a call that somebody asked for.
    Call(Box<FailedCall>),
    /// The box that was to be joined has ended.
    BoxEnded,
    /// There can be no new process in its process namespace.
    NoProcess(Errno),
    /// A limit could not be set.
    Limit(MakeError),
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
