// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the memory that parent and child share may be reached from outside.
//!
//! A child of root's has the box's few capabilities before its execve(2), and all of the parent's memory: a
//! process of root's that has as many, in another box perhaps, could trace it, and write to the parent's memory.
//! So for such a launch the memory is made undumpable: who would trace it needs CAP_SYS_PTRACE. See ptrace(2).
//!
//! A child that changes its ids makes the memory it shares undumpable, and with it the parent: its
//! /proc/self becomes root's. So the attribute is read before and restored after such launches.
//!
//! Meanwhile no box of an ordinary user gets its maps: neither the child nor newuidmap(1) may write to files
//! of root's. So launches of the one kind wait for those of the other. A user who joins a box with clocks of its own
//! needs both, one after the other: he is alone.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::prctl;

use crate::plan::Plan;

struct Launches {
    /// How many launches that change it are under way.
    changing: usize,
    /// How many in which somebody without privileges writes maps or clocks.
    writing: usize,
    /// What the attribute was before the first of those that change it.
    before: bool,
}

static LAUNCHES: Mutex<Launches> = Mutex::new(Launches {
    changing: 0,
    writing: 0,
    before: true,
});
static FEWER: Condvar = Condvar::new();

fn launches() -> MutexGuard<'static, Launches> {
    LAUNCHES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A launch of either kind, or of both. When the last one of those that change the attribute is
/// dropped, it restores it.
#[derive(Debug)]
pub(super) struct Dumpable {
    changes: bool,
    writes: bool,
}

impl Dumpable {
    /// Waits until no launch is in the way; nothing if one is, still at the deadline.
    pub(super) fn keep(plan: &Plan, deadline: Option<Instant>) -> Option<Self> {
        let this = Self {
            changes: plan.changes_dumpable || plan.hidden,
            writes: plan.writes_without_privilege,
        };
        if !this.changes && !this.writes {
            return Some(this);
        }
        let mut launches = launches();
        while (this.changes && launches.writing > 0) || (this.writes && launches.changing > 0) {
            let left = deadline.map_or(Duration::from_secs(3600), |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return None;
            }
            let waited = FEWER.wait_timeout(launches, left);
            launches = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if this.changes && launches.changing == 0 {
            launches.before = prctl::get_dumpable().unwrap_or(true);
        }
        launches.changing += usize::from(this.changes);
        launches.writing += usize::from(this.writes);
        if plan.hidden {
            // With this value it does not fail.
            let _ = prctl::set_dumpable(false);
        }
        Some(this)
    }
}

impl Drop for Dumpable {
    fn drop(&mut self) {
        if !self.changes && !self.writes {
            return;
        }
        let mut launches = launches();
        launches.changing -= usize::from(self.changes);
        launches.writing -= usize::from(self.writes);
        if self.changes && launches.changing == 0 {
            // PR_SET_DUMPABLE with a value that it has had before does not fail.
            let _ = prctl::set_dumpable(launches.before);
        }
        FEWER.notify_all();
    }
}
