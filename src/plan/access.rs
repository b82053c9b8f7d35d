// SPDX-License-Identifier: MIT OR Apache-2.0
//! What Landlock can restrict, and which version of the kernel's interface knows it: landlock(7).

use super::call::FlagNames;
use super::facts::HostFacts;
use crate::spec::{Landlock, Spec, Violation};

/// `LANDLOCK_ACCESS_FS_*` of `linux/landlock.h`, bit by bit.
pub(super) const FILES: FlagNames = &[
    ("LANDLOCK_ACCESS_FS_EXECUTE", EXECUTE),
    ("LANDLOCK_ACCESS_FS_WRITE_FILE", WRITE_FILE),
    ("LANDLOCK_ACCESS_FS_READ_FILE", READ_FILE),
    ("LANDLOCK_ACCESS_FS_READ_DIR", READ_DIR),
    ("LANDLOCK_ACCESS_FS_REMOVE_DIR", 1 << 4),
    ("LANDLOCK_ACCESS_FS_REMOVE_FILE", 1 << 5),
    ("LANDLOCK_ACCESS_FS_MAKE_CHAR", 1 << 6),
    ("LANDLOCK_ACCESS_FS_MAKE_DIR", 1 << 7),
    ("LANDLOCK_ACCESS_FS_MAKE_REG", 1 << 8),
    ("LANDLOCK_ACCESS_FS_MAKE_SOCK", 1 << 9),
    ("LANDLOCK_ACCESS_FS_MAKE_FIFO", 1 << 10),
    ("LANDLOCK_ACCESS_FS_MAKE_BLOCK", 1 << 11),
    ("LANDLOCK_ACCESS_FS_MAKE_SYM", 1 << 12),
    ("LANDLOCK_ACCESS_FS_REFER", REFER),
    ("LANDLOCK_ACCESS_FS_TRUNCATE", TRUNCATE),
    ("LANDLOCK_ACCESS_FS_IOCTL_DEV", IOCTL_DEV),
];
pub(super) const EXECUTE: u64 = 1 << 0;
const WRITE_FILE: u64 = 1 << 1;
pub(super) const READ_FILE: u64 = 1 << 2;
pub(super) const READ_DIR: u64 = 1 << 3;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;
/// What can be allowed of a file that is no directory.
pub(super) const OF_A_FILE: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// `LANDLOCK_ACCESS_NET_*`.
pub(super) const PORTS: FlagNames = &[
    ("LANDLOCK_ACCESS_NET_BIND_TCP", BIND),
    ("LANDLOCK_ACCESS_NET_CONNECT_TCP", CONNECT),
];
pub(super) const BIND: u64 = 1 << 0;
pub(super) const CONNECT: u64 = 1 << 1;

/// `LANDLOCK_SCOPE_*`.
pub(super) const SCOPES: FlagNames = &[
    ("LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET", 1 << 0),
    ("LANDLOCK_SCOPE_SIGNAL", 1 << 1),
];

/// What each version of the kernel's interface can restrict.
fn files_of(abi: u32) -> u64 {
    match abi {
        0 => 0,
        1 => REFER - 1,
        2 => TRUNCATE - 1,
        3 | 4 => IOCTL_DEV - 1,
        _ => (IOCTL_DEV << 1) - 1,
    }
}

/// What is enforced of what was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enforced {
    /// The version of the kernel's interface; 0 where it has none.
    pub abi: u32,
    pub(super) files: u64,
    pub(super) ports: u64,
    pub(super) scopes: u64,
}

impl Enforced {
    /// What of the wishes of `landlock` a kernel can do.
    fn of(landlock: &Landlock, abi: u32) -> Self {
        let wanted = |any: bool, bits: u64| if any { bits } else { 0 };
        let ports =
            wanted(!landlock.bind.is_empty(), BIND) | wanted(!landlock.connect.is_empty(), CONNECT);
        Self {
            abi,
            files: wanted(!landlock.paths.is_empty(), files_of(abi)),
            ports: wanted(abi >= 4, ports),
            scopes: wanted(landlock.any() && abi >= 6, 3),
        }
    }

    pub(super) fn any(self) -> bool {
        self.files | self.ports | self.scopes != 0
    }

    /// Whether it is about files.
    pub(crate) fn restricts_files(self) -> bool {
        self.files != 0
    }

    /// The kinds of access that are restricted, by the names that the kernel's headers have for them.
    pub fn names(self) -> Vec<&'static str> {
        [
            (FILES, self.files),
            (PORTS, self.ports),
            (SCOPES, self.scopes),
        ]
        .into_iter()
        .flat_map(|(names, bits)| names.iter().filter(move |(_, bit)| bits & bit != 0))
        .map(|(name, _)| *name)
        .collect()
    }
}

/// What is enforced of the description, and what cannot be.
///
/// # Errors
///
/// What cannot be, if somebody wants all of it.
pub(super) fn decide(
    spec: &Spec,
    facts: &HostFacts,
) -> Result<(Option<Enforced>, Vec<Violation>), Vec<Violation>> {
    let landlock = &spec.landlock;
    if !landlock.any() {
        return Ok((None, Vec::new()));
    }
    let enforced = Enforced::of(landlock, facts.landlock);
    let missed: Vec<Violation> = missed(landlock, facts.landlock).into_iter().collect();
    if missed.is_empty() || landlock.strict.is_none() {
        Ok((Some(enforced), missed))
    } else {
        Err(missed)
    }
}

fn missed(landlock: &Landlock, abi: u32) -> Option<Violation> {
    let origin = landlock.origin()?.clone();
    if abi == 0 {
        let reason =
            "the kernel has no Landlock, or a filter forbids it: nothing of this is enforced";
        return Some(Violation {
            reason: reason.to_owned(),
            origin,
        });
    }
    let files = !landlock.paths.is_empty();
    let ports = !(landlock.connect.is_empty() && landlock.bind.is_empty());
    let lacking: Vec<&str> = [
        (files && abi < 3, "truncating files (Linux 6.2)"),
        (ports && abi < 4, "TCP ports (Linux 6.7)"),
        (files && abi < 5, "ioctl of devices (Linux 6.10)"),
        (abi < 6, "signals and abstract sockets (Linux 6.12)"),
    ]
    .into_iter()
    .filter_map(|(lacks, what)| lacks.then_some(what))
    .collect();
    (!lacking.is_empty()).then(|| Violation {
        reason: format!(
            "the kernel has Landlock {abi}, which does not restrict {}",
            lacking.join(", ")
        ),
        origin,
    })
}
