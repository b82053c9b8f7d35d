// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a parent may carry: resident memory, and threads that are busy.

use std::fmt;

/// How much a parent carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    pub(crate) resident_mib: usize,
    pub(crate) threads: usize,
}

impl Load {
    pub(crate) const fn resident(mib: usize) -> Self {
        Self {
            resident_mib: mib,
            threads: 0,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.resident_mib, self.threads) {
            (mib, 0) => write!(f, "{mib} MiB resident"),
            (_, threads) => write!(f, "{threads} busy threads"),
        }
    }
}
