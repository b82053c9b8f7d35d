// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a parent may carry: resident memory, and threads that are busy; and what its host may have.

use std::fmt;

/// How much a parent carries, and how many mounts its table has: 0 are as many as there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    pub(crate) resident_mib: usize,
    pub(crate) threads: usize,
    pub(crate) mounts: usize,
}

impl Load {
    pub(crate) const fn resident(mib: usize) -> Self {
        Self {
            resident_mib: mib,
            threads: 0,
            mounts: 0,
        }
    }

    pub(crate) const fn mounts(mounts: usize) -> Self {
        Self {
            resident_mib: 0,
            threads: 0,
            mounts,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.resident_mib, self.threads, self.mounts) {
            (mib, 0, 0) => write!(f, "{mib} MiB resident"),
            (_, 0, mounts) => write!(f, "{mounts} host mounts"),
            (_, threads, _) => write!(f, "{threads} busy threads"),
        }
    }
}
