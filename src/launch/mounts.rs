// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mounts of a template: a mount namespace in which nobody lives, held by a descriptor.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::errno::Errno;

use super::frame::Supplies;
use super::outcome::Failure;
use super::run::launch;
use crate::pidfd::wait_for;
use crate::plan::Plan;

/// Runs the plan that makes the mounts, and keeps what its child has sent.
pub(crate) fn make_mounts(plan: &Arc<Plan>) -> Result<OwnedFd, Failure> {
    let started = launch(plan, Supplies::default())?;
    // It ends at once. One that the caller has reaped by other means has ended as well.
    let _ = wait_for(&started.pidfd);
    let nothing = Failure::Parent("keep the template's mounts", Errno::ENOMSG);
    started.ptmx.ok_or(nothing)
}
