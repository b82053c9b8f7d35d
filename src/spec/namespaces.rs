// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which namespaces the box gets. See namespaces(7).

use std::fmt;
use std::str::FromStr;

use super::{IdMapping, Network, Setting, UserNamespace};

/// Whose namespace of a kind the box uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// The caller's.
    Host,
    /// A new one.
    Private,
}

/// What is added to the clocks of a time namespace. See time_namespaces(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeOffset {
    /// Seconds for `CLOCK_MONOTONIC`.
    pub monotonic_s: i64,
    /// Seconds for `CLOCK_BOOTTIME`.
    pub boottime_s: i64,
}

/// The box's namespaces. The mount namespace is always its own.
#[derive(Clone, Debug)]
pub struct Namespaces {
    /// Host name and domain name. See uts_namespaces(7).
    pub uts: Setting<Namespace>,
    /// Process ids, and with it a fresh /proc. See pid_namespaces(7).
    pub pid: Setting<Namespace>,
    /// System V IPC and POSIX message queues. See ipc_namespaces(7).
    pub ipc: Setting<Namespace>,
    /// Network devices. See network_namespaces(7).
    pub net: Setting<Network>,
    /// The view of cgroups. See cgroup_namespaces(7).
    pub cgroup: Setting<Namespace>,
    /// User and group ids. See user_namespaces(7).
    pub user: Setting<UserNamespace>,
    /// The user ids that a user namespace has, instead of what [`user`](Self::user) chooses. One that is
    /// given makes a user namespace; without any, the user ids are mapped as the group ids are.
    pub uid_mappings: Vec<Setting<IdMapping>>,
    /// The same for group ids; without any, they are mapped as the user ids are.
    pub gid_mappings: Vec<Setting<IdMapping>>,
    /// A time namespace with these offsets.
    pub time: Option<Setting<TimeOffset>>,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self {
            uts: Setting::default_of(Namespace::Private),
            pid: Setting::default_of(Namespace::Private),
            ipc: Setting::default_of(Namespace::Host),
            net: Setting::default_of(Network::Host),
            cgroup: Setting::default_of(Namespace::Host),
            user: Setting::default_of(UserNamespace::IfNeeded),
            uid_mappings: Vec::new(),
            gid_mappings: Vec::new(),
            time: None,
        }
    }
}

/// A time offset that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOffsetParseError;

impl fmt::Display for TimeOffsetParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected seconds for both clocks, as in 86400, or monotonic=SECONDS,boottime=SECONDS",
        )
    }
}

impl std::error::Error for TimeOffsetParseError {}

impl FromStr for TimeOffset {
    type Err = TimeOffsetParseError;

    /// Reads `SECONDS` for both clocks, or `monotonic=SECONDS`, `boottime=SECONDS` or both with a
    /// comma. Seconds may be negative.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds = |text: &str| text.parse::<i64>().map_err(|_| TimeOffsetParseError);
        if !text.contains('=') {
            let both = seconds(text)?;
            return Ok(Self {
                monotonic_s: both,
                boottime_s: both,
            });
        }
        let mut offset = Self::default();
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("monotonic", value)) => offset.monotonic_s = seconds(value)?,
                Some(("boottime", value)) => offset.boottime_s = seconds(value)?,
                _ => return Err(TimeOffsetParseError),
            }
        }
        Ok(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_offsets_are_read_in_both_forms() {
        let offset = |monotonic_s, boottime_s| {
            Ok(TimeOffset {
                monotonic_s,
                boottime_s,
            })
        };
        assert_eq!("86400".parse(), offset(86400, 86400));
        assert_eq!("-5".parse(), offset(-5, -5));
        assert_eq!("monotonic=1,boottime=-2".parse(), offset(1, -2));
        assert_eq!("boottime=7".parse(), offset(0, 7));
        for wrong in ["", "1s", "realtime=1", "monotonic=", "1,2"] {
            assert_eq!(
                wrong.parse::<TimeOffset>(),
                Err(TimeOffsetParseError),
                "{wrong}"
            );
        }
    }
}
