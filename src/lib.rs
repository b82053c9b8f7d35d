// SPDX-License-Identifier: MIT OR Apache-2.0
//! clonebox puts a program into its own Linux namespaces, without fork and without executing itself
//! again.
//!
//! The parent compiles everything into an immutable [`Plan`], calls clone(2) on a stack of its own
//! making, and the child, which allocates nothing and calls no libc, makes the plan's system calls and
//! ends in execve(2). A launch costs what the kernel costs, whatever the memory and the threads of the
//! program that launches.
//!
//! ```text
//! command line ─┐                                                    ┌─ exit status
//! Rust builder ─┴─▶ Spec ──▶ compile ──▶ Plan ──▶ launch ──▶ child ──┼─▶ supervise
//!                   what      (pure)     how      clone     steps    └─ {step, errno} ─▶ Error
//! ```
//!
//! Start with [`Command`], which mirrors [`std::process::Command`].
//!
//! # Words
//!
//! A **box** is a program in namespaces of its own. The **parent** is the process that starts it, the
//! **child** what clone(2) made until it calls execve(2). A **step** is one system call of the child.
//! An **origin** is who asked for a value. An **init** is a PID 1 that clonebox supplies. The two ends
//! of a terminal are **ptmx**, which is relayed, and **pts**, which is the box's.
//!
//! # What it is not
//!
//! A box of root on the host's own files is an isolated view, not a security boundary: uid 0 owns the
//! host's files with or without capabilities.

mod cgroup;
mod command;
mod doctor;
mod errno;
mod error;
mod host;
mod launch;
mod live;
mod pidfd;
mod plan;
mod poll;
mod spec;
mod state;
mod streams;
mod supervise;

pub use cgroup::{LimitsUsage, Load};
pub use command::{Command, Launch, Pool, Stdio, Template, TemplateMounts};
pub use doctor::{Diagnosis, Finding, Health};
pub use error::{Error, ErrorKind, FailedStep};
pub use live::Change;
pub use pidfd::Usage;
pub use plan::{
    BothIds, CgroupFacts, Enforced, Hierarchy, HostFacts, IdFacts, IdRange, JoinFacts, MountFacts,
    PathFacts, Plan, PlannedStep, SourceKind, TemplatePlans, UserFacts, compile, compile_template,
};
pub use spec::{
    Access, Arch, Attributes, Capability, CapabilitySet, Caps, CapsParseError, Cpus, Dev,
    DeviceLimit, Env, EnvFileError, Exec, HOST_NAME_MAX, IdMapping, IdMappingParseError, Join,
    Landlock, LimitParseError, Limits, Login, MAX_ARG_STRLEN, Masks, Mount, MountKind,
    MountParseError, Namespace, Namespaces, Network, NetworkNamespace, Origin, ParentDeath,
    PathRule, Port, PortParseError, Propagation, Protocol, Rate, Redirect, Resource, Rlimit,
    RlimitParseError, Rootfs, Seccomp, SeccompError, SeccompFilter, SeccompProfile, SeccompProgram,
    Selection, Setting, Spec, Swap, TimeOffset, TimeOffsetParseError, Tty, User, UserNamespace,
    UserParseError, Violation, Writes, parse_bytes, parse_env_file, random_name, system_root,
};
pub use state::{BoxState, Claim, Entry, Log, LogReader, PinnedTemplate, Registry, Templates};
pub use supervise::{
    Attached, Child, ForbiddenCall, Notice, Outcome, RefusedCall, StepTiming, Supervisor, Written,
};

/// Whether the examples of this documentation can start a box here.
#[doc(hidden)]
pub fn doc_test_can_launch() -> bool {
    !matches!(Command::new("/bin/true").status(), Err(error) if error.kind() == ErrorKind::Clone)
}

/// The examples of README.md are compiled with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
