// SPDX-License-Identifier: MIT OR Apache-2.0
//! A child that changes its ids makes the memory it shares undumpable, and with it the parent: its
//! /proc/self becomes root's, and the next box of an ordinary user cannot write its maps. So the
//! attribute is read before and restored after such launches.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::prctl;

struct Launches {
    /// How many launches that change ids are under way.
    count: usize,
    /// What the attribute was before the first of them.
    before: bool,
}

static LAUNCHES: Mutex<Launches> = Mutex::new(Launches {
    count: 0,
    before: true,
});

fn launches() -> MutexGuard<'static, Launches> {
    LAUNCHES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Restores the attribute when the last one of those that are alive at once is dropped.
#[derive(Debug)]
pub(super) struct Dumpable(());

impl Dumpable {
    pub(super) fn keep() -> Self {
        let mut launches = launches();
        if launches.count == 0 {
            launches.before = prctl::get_dumpable().unwrap_or(true);
        }
        launches.count += 1;
        Self(())
    }
}

impl Drop for Dumpable {
    fn drop(&mut self) {
        let mut launches = launches();
        launches.count -= 1;
        if launches.count == 0 {
            // PR_SET_DUMPABLE with a value that it has had before does not fail.
            let _ = prctl::set_dumpable(launches.before);
        }
    }
}
