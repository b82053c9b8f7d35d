// SPDX-License-Identifier: MIT OR Apache-2.0
//! The layout of cgroups, and what is to be had where. Whether limits can be set is tried in `boxes.rs`.

use super::{Finding, Health};
use crate::launch::cgroup_hierarchies;

const TOPIC: &str = "cgroups";

pub(super) fn examine() -> Vec<Finding> {
    let hierarchies = cgroup_hierarchies();
    let unified = hierarchies.iter().any(|one| one.unified);
    let legacy = hierarchies.iter().any(|one| !one.unified);
    let mut controllers: Vec<&str> = hierarchies
        .iter()
        .flat_map(|one| one.controllers.iter().map(String::as_str))
        .collect();
    controllers.sort_unstable();
    controllers.dedup();
    let layout = |detail| Finding::ok(TOPIC, "layout", detail);
    let layout = match (unified, legacy) {
        (true, false) => layout("version 2"),
        (false, true) => layout("version 1"),
        (true, true) => layout("both versions (hybrid)"),
        (false, false) => layout("no hierarchy is mounted")
            .with(Health::Missing, "mount -t cgroup2 cgroup2 /sys/fs/cgroup"),
    };
    let have = if controllers.is_empty() {
        Finding::ok(TOPIC, "controllers", "none").with(
            Health::Missing,
            "mount what has some: mount -t cgroup2 cgroup2 /sys/fs/cgroup, on a kernel that was booted with cgroup_no_v1=all",
        )
    } else {
        Finding::ok(TOPIC, "controllers", controllers.join(", "))
    };
    vec![layout, have]
}
