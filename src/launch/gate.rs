// SPDX-License-Identifier: MIT OR Apache-2.0
//! The gate: a futex(2) in the shared memory, where a child waits for what only the parent can do: for its
//! maps, and after that for its network.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clonebox_child::Shared;
use nix::errno::Errno;

use super::outcome::Failure;
use super::signals::AllBlocked;
use super::userns::{Process, pid_of};
use super::{pasta, unseen, userns};
use crate::pidfd::has_ended as is_gone;
use crate::plan::{ForUserns, Pasta, Plan};

/// How often maps are looked for that the child writes itself. Our own choice: it takes some microseconds.
const LOOK_EVERY: Duration = Duration::from_micros(50);

/// Why the child is not let through.
pub(super) enum Trouble {
    /// The child is gone, or the time is up: somebody else says why.
    Other,
    Failed(Failure),
}

/// What a child waits for.
#[derive(Clone, Copy)]
pub(super) struct Gate<'a> {
    userns: Option<&'a ForUserns>,
    pasta: Option<&'a Pasta>,
}

/// What holds a box's network up: the pipe whose end of file says that pasta has ended.
pub(super) type Network = Option<OwnedFd>;

impl<'a> Gate<'a> {
    /// The gate of a plan, if it has one.
    pub(super) fn of(plan: &'a Plan) -> Option<Self> {
        let gate = Self {
            userns: plan.userns.as_ref(),
            pasta: plan.pasta.as_ref(),
        };
        (gate.writes().is_some() || gate.pasta.is_some()).then_some(gate)
    }

    /// The user namespace whose maps are written here.
    fn writes(&self) -> Option<&'a ForUserns> {
        self.userns.filter(|userns| userns.writer.is_waited_for())
    }

    /// Does what the child waits for, and opens the gate. Of a child that is gone the report says why, not
    /// what could not be done for it.
    pub(super) fn serve(
        self,
        shared: &Shared,
        deadline: Option<Instant>,
    ) -> Result<Network, Trouble> {
        // SAFETY: the kernel has put it there before the child runs; it is closed when the launch ends.
        let pidfd = unsafe { BorrowedFd::borrow_raw(shared.pidfd.load(Ordering::Acquire)) };
        self.work(pidfd, shared, deadline).map_err(|trouble| {
            if is_gone(&pidfd) {
                Trouble::Other
            } else {
                trouble
            }
        })
    }

    /// The same for a child of a clone that has not returned, until it has. One that cannot be let through is
    /// ended: nobody else could.
    pub(super) fn serve_unseen(
        self,
        shared: &Shared,
        over: &AtomicBool,
        deadline: Option<Instant>,
    ) -> Result<Network, Trouble> {
        /// How often it is looked for. Our own choice: a clone takes some hundred microseconds.
        const LOOK_EVERY: Duration = Duration::from_micros(20);
        let _blocked = AllBlocked::new();
        while !unseen::is_there(shared) {
            if over.load(Ordering::Relaxed) {
                return Err(Trouble::Other);
            }
            thread::sleep(LOOK_EVERY);
        }
        let served = self.serve(shared, deadline);
        if served.is_err() {
            unseen::kill(shared);
        }
        served
    }

    fn work(
        self,
        pidfd: BorrowedFd<'_>,
        shared: &Shared,
        deadline: Option<Instant>,
    ) -> Result<Network, Trouble> {
        let pid = pid_of(pidfd).map_err(not_in_proc)?;
        let process = Process::open(pid).map_err(not_in_proc)?;
        // It is the one of this number as long as its pidfd says that it lives.
        if is_gone(&pidfd) {
            return Err(Trouble::Other);
        }
        if let Some(userns) = self.writes() {
            userns::write(userns, &process, pid, pidfd, deadline)?;
            open_gate(&shared.gate);
        }
        let Some(plan) = self.pasta else {
            return Ok(None);
        };
        if self.userns.is_some() {
            await_maps(&process, pidfd, deadline)?;
        }
        let network = pasta::connect(plan, &process, pid, pidfd, deadline)?;
        open_gate(&shared.gate);
        Ok(Some(network))
    }
}

/// Waits until the child has its maps: pasta must be somebody in its user namespace.
fn await_maps(
    process: &Process,
    pidfd: BorrowedFd<'_>,
    deadline: Option<Instant>,
) -> Result<(), Trouble> {
    while !process.is_mapped("uid_map") {
        if is_gone(&pidfd) || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Trouble::Other);
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn not_in_proc(errno: Errno) -> Trouble {
    Trouble::Failed(Failure::Parent("find the box's process in /proc", errno))
}

fn open_gate(gate: &AtomicU32) {
    gate.fetch_add(1, Ordering::Release);
    // SAFETY: the word lives as long as the launch; nobody but the child waits there.
    unsafe { libc::syscall(libc::SYS_futex, gate.as_ptr(), libc::FUTEX_WAKE, 1) };
}
