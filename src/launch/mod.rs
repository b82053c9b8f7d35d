// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parent around the clone. It runs a plan and decides nothing.
//!
//! ```text
//! parent                                   child
//! memory, terminal, mounts, descriptors, slots
//! block all signals
//! clone(CLONE_VM) ───────────────────────▶ step 1, step 2, …
//! unblock                                  a step fails: report {step, errno}, exit
//! user and group maps, if they are several ─▶ gate: the child goes on
//! pasta, if it connects the network ──────▶ gate: the child goes on
//! futex wait, until the deadline  ◀─────── execve or exit: the kernel clears `running`
//! report? ── yes ─▶ reap, error
//!         ── no ──▶ started
//! ```

mod cgroups;
mod delegation;
mod dumpable;
mod foreground;
mod frame;
mod gate;
mod handover;
mod idmap;
mod init;
mod join;
mod landlock;
mod memory;
mod mounts;
mod network;
mod outcome;
mod own_root;
mod pasta;
mod paths;
pub(crate) mod probe;
mod pty;
mod run;
mod signals;
mod spawner;
mod subids;
mod unseen;
mod userns;
mod users;
mod wait;

pub(crate) use cgroups::hierarchies as cgroup_hierarchies;
pub(crate) use frame::{Given, Supplies};
pub(crate) use init::{InitReport, TOLD, Told, WORKING_DIRECTORY, sealed as sealed_init};
pub(crate) use landlock::version as landlock_version;
pub(crate) use mounts::make_mounts;
pub(crate) use outcome::{Cause, FailedCall, Failure, Started, Timings};
pub(crate) use paths::resolve;
pub(crate) use probe::refuse_clone3;
pub(crate) use pty::peer;
pub(crate) use run::{launch, wake};
