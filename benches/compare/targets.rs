// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the project wants to reach, held against the numbers.

use std::collections::BTreeMap;

use crate::runs::{Group, Summary};

/// A ratio of medians, and what it must not exceed; or, if `at_least`, what it must reach.
pub(crate) struct Target {
    pub(crate) said: &'static str,
    pub(crate) measured: Option<f64>,
    pub(crate) limit: f64,
    pub(crate) at_least: bool,
}

impl Target {
    pub(crate) fn is_met(&self) -> Option<bool> {
        let measured = self.measured?;
        Some(if self.at_least {
            measured >= self.limit
        } else {
            measured <= self.limit
        })
    }
}

pub(crate) fn all(groups: &BTreeMap<Group, BTreeMap<String, Summary>>) -> Vec<Target> {
    let find = |kind: &str, largest: fn(&Group) -> usize, most: bool| {
        let of_kind = groups.keys().filter(|group| group.kind == kind);
        // What else a group varies in is the least there is.
        let rest =
            |group: &Group| group.resident_mib + group.threads + group.at_once + group.mounts;
        let pick = of_kind.max_by_key(|group| {
            let wanted = largest(group);
            let rest = usize::MAX - (rest(group) - wanted);
            (if most { wanted } else { usize::MAX - wanted }, rest)
        });
        pick.cloned()
    };
    let median = |group: &Option<Group>, name: &str| {
        let summary = groups.get(group.as_ref()?)?.get(name)?;
        Some(summary.wall.median())
    };
    let ratio = |group: &Option<Group>, one: &str, other: &str| {
        Some(median(group, one)? / median(group, other)?)
    };
    let library = find("library", |group| group.resident_mib, false);
    let large = find("library", |group| group.resident_mib, true);
    let root = find("library-root", |group| group.mounts, false);
    let mounts = find("library-root", |group| group.mounts, true);
    let resident = find("library-root", |group| group.resident_mib, true);
    let command = find("command", |group| group.at_once, false);
    let whole = find("root", |group| group.mounts, false);
    let rate = find("rate", |group| group.threads, true);
    let grown = |to: &Option<Group>, from: &Option<Group>, name: &str| {
        Some(median(to, name)? / median(from, name)?)
    };
    let most = |said, measured, limit| Target {
        said,
        measured,
        limit,
        at_least: false,
    };
    vec![
        most(
            "`Template::spawn` of its floor",
            ratio(&library, "template", "floor"),
            1.10,
        ),
        most(
            "`Command::spawn` of its floor",
            ratio(&library, "command", "floor"),
            1.10,
        ),
        most(
            "`Template::spawn` from a program with the most memory, of one with none",
            grown(&large, &library, "template"),
            1.15,
        ),
        most(
            "a template's box with a root filesystem of its floor",
            ratio(&root, "template-once", "floor-once"),
            1.10,
        ),
        most(
            "the same on a host with the most mounts, of one with the fewest",
            grown(&mounts, &root, "template-once"),
            1.15,
        ),
        most(
            "the same from a program with the most memory, of one with none",
            grown(&resident, &root, "template-once"),
            1.15,
        ),
        most(
            "a pool's box, unmounted later, of vfork and execve",
            ratio(&library, "pool-later", "bare"),
            1.30,
        ),
        Target {
            at_least: true,
            ..most(
                "boxes a second of one program, of copies of the floor",
                ratio(&rate, "floor", "template"),
                0.90,
            )
        },
        most(
            "command of `unshare`",
            ratio(&command, "clonebox-musl", "unshare"),
            0.70,
        ),
        most(
            "command of `bwrap`",
            ratio(&command, "clonebox-musl", "bwrap"),
            0.35,
        ),
        most(
            "command of `crun run`",
            ratio(&command, "clonebox-musl", "crun"),
            0.20,
        ),
        most(
            "command of `runc run`",
            ratio(&command, "clonebox-musl", "runc"),
            0.05,
        ),
        most(
            "with a root filesystem, of `bwrap`",
            ratio(&whole, "clonebox-root", "bwrap-root"),
            0.35,
        ),
        most(
            "with a root filesystem, of `crun run`",
            ratio(&whole, "clonebox-root", "crun-root"),
            0.20,
        ),
        most(
            "with a root filesystem, of `runc run`",
            ratio(&whole, "clonebox-root", "runc-root"),
            0.05,
        ),
        most(
            "with a template, of `crun run`",
            ratio(&whole, "clonebox-template-root", "crun-root"),
            0.20,
        ),
        most(
            "with a template, of `runc run`",
            ratio(&whole, "clonebox-template-root", "runc-root"),
            0.05,
        ),
    ]
}
