// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a plan depends on besides its description.

use std::ffi::OsString;

use crate::spec::CapabilitySet;

/// What must be known of the host and of the calling process to compile a plan.
/// [`HostFacts::gather`] asks for it; a test may make it up.
#[derive(Clone, Debug)]
pub struct HostFacts {
    /// clone3(2) has not been refused in this process.
    pub clone3: bool,
    /// close_range(2) knows `CLOSE_RANGE_CLOEXEC` (since Linux 5.11).
    pub close_range_cloexec: bool,
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// The calling thread has supplementary groups that may be dropped.
    pub supplementary_groups: bool,
    /// The bounding set of the calling thread; every capability if the thread may drop from it.
    pub bounding: CapabilitySet,
    /// Its effective set.
    pub effective: CapabilitySet,
    /// Its permitted set.
    pub permitted: CapabilitySet,
    /// The highest capability that the kernel knows (`CAP_LAST_CAP`).
    pub last_cap: u8,
    /// Which of the standard streams are terminals.
    pub terminals: [bool; 3],
    /// The calling process is in the foreground of the terminal on its standard input.
    pub foreground: bool,
    /// The signals that the calling process ignores: bit N-1 stands for signal N.
    pub ignored_signals: u64,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Random bits, for a name.
    pub entropy: u64,
}
