// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking where limits can be set: cgroups(7), proc_pid_mountinfo(5), proc_pid_cgroup(5).

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, FsType, statfs};

use super::delegation;
use crate::host::mountinfo::{Mount, Table};
use crate::plan::{CgroupFacts, Hierarchy, cgroup_controllers, cgroup_parents};
use crate::spec::Spec;

/// What version 1 calls otherwise.
const BLKIO: &str = "blkio";
const KNOWN: [&str; 8] = [
    "cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma",
];

/// Where a hierarchy of version 2 is mounted everywhere, and below it each of version 1.
const USUAL: &str = "/sys/fs/cgroup";

/// The hierarchies of cgroups; none are looked for if no limit is asked for.
pub(super) fn gather(spec: &Spec) -> CgroupFacts {
    let unified = spec.rootfs.is_some() && is(Path::new(USUAL), CGROUP2_SUPER_MAGIC);
    if !spec.limits.any() {
        return CgroupFacts {
            unified,
            ..CgroupFacts::default()
        };
    }
    let root = nix::unistd::geteuid().is_root();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    // Others make their cgroups near their own, and of how much of a hierarchy is mounted only the table
    // of mounts tells.
    let controllers = cgroup_controllers(&spec.limits);
    let usual = root.then(|| usual(&controllers, &own));
    let mut hierarchies = usual.flatten().unwrap_or_else(|| mounted(&own));
    if spec.limits.best_effort.is_some() {
        for hierarchy in &mut hierarchies {
            let parents = cgroup_parents(&spec.limits, root, &hierarchy.own);
            hierarchy.refused = delegation::refused(hierarchy, &parents, &controllers);
        }
    }
    CgroupFacts {
        unified,
        root,
        hierarchies,
    }
}

/// The hierarchies that have these controllers, if they are in the usual place: the table of mounts costs a
/// microsecond a mount to read.
fn usual(controllers: &[&str], own: &str) -> Option<Vec<Hierarchy>> {
    let root = Path::new(USUAL);
    let mut found: Vec<Hierarchy> = Vec::with_capacity(controllers.len());
    if is(root, CGROUP2_SUPER_MAGIC) {
        found.push(Hierarchy {
            unified: true,
            mount: root.to_owned(),
            controllers: controllers_of_unified(root),
            ..Hierarchy::default()
        });
    }
    for line in own.lines() {
        let names = line.split(':').nth(1)?;
        let here = controllers_of(names);
        let wanted = here.iter().any(|name| controllers.contains(&name.as_str()));
        let mount = root.join(names);
        if wanted && is(&mount, CGROUP_SUPER_MAGIC) {
            found.push(Hierarchy {
                mount,
                names: names.to_owned(),
                controllers: here,
                ..Hierarchy::default()
            });
        }
    }
    let has = |wanted: &&str| {
        let mut all = found.iter().flat_map(|one| &one.controllers);
        all.any(|has| has == wanted)
    };
    controllers.iter().all(has).then_some(found)
}

fn is(path: &Path, kind: FsType) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == kind)
}

fn controllers_of_unified(mount: &Path) -> Vec<String> {
    let list = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
    list.split_whitespace().map(str::to_owned).collect()
}

/// The controllers in a list of version 1.
fn controllers_of(list: &str) -> Vec<String> {
    let names = list.split(',');
    let names = names.map(|name| if name == BLKIO { "io" } else { name });
    let known = names.filter(|name| KNOWN.contains(name));
    known.map(str::to_owned).collect()
}

/// All that are mounted.
pub(crate) fn hierarchies() -> Vec<Hierarchy> {
    mounted(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
}

/// The hierarchies in the table of mounts.
fn mounted(own: &str) -> Vec<Hierarchy> {
    let table = Table::read();
    let mounts = table.iter().flat_map(Table::mounts);
    mounts.filter_map(|mount| hierarchy(&mount, own)).collect()
}

/// The hierarchy that is mounted, if one is.
fn hierarchy(mounted: &Mount<'_>, own: &str) -> Option<Hierarchy> {
    let mount = mounted.point();
    let options = std::str::from_utf8(mounted.options).ok()?;
    let (unified, kind) = match mounted.kind {
        b"cgroup2" => (true, CGROUP2_SUPER_MAGIC),
        b"cgroup" => (false, CGROUP_SUPER_MAGIC),
        _ => return None,
    };
    // Something else may cover it.
    if !is(&mount, kind) {
        return None;
    }
    let controllers = if unified {
        controllers_of_unified(&mount)
    } else {
        controllers_of(options)
    };
    // ID:CONTROLLERS:PATH, the controllers empty for version 2.
    let own = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (list, path) = (parts.next()?, parts.next()?);
        let is_this = if unified {
            list.is_empty()
        } else {
            let mut list = list.split(',');
            list.any(|name| !name.is_empty() && options.split(',').any(|option| option == name))
        };
        is_this.then_some((list, path))
    });
    let (names, own) = own.unwrap_or(("", "/"));
    let own = PathBuf::from(own);
    // What is mounted may be a part of the hierarchy.
    let own = own.strip_prefix(mounted.root()).unwrap_or(&own).to_owned();
    Some(Hierarchy {
        unified,
        mount,
        own,
        names: names.to_owned(),
        controllers,
        refused: Vec::new(),
    })
}
