// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking where limits can be set: proc_pid_mountinfo(5), proc_pid_cgroup(5).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use super::paths::unescape;
use crate::plan::{CgroupFacts, Hierarchy};
use crate::spec::Spec;

/// What version 1 calls otherwise.
const BLKIO: &str = "blkio";
const KNOWN: [&str; 8] = [
    "cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma",
];

/// The hierarchies of cgroups; none are looked for if no limit is asked for.
pub(super) fn gather(spec: &Spec) -> CgroupFacts {
    let unified = spec.rootfs.is_some()
        && statfs("/sys/fs/cgroup")
            .is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC);
    if !spec.limits.any() {
        return CgroupFacts {
            unified,
            ..CgroupFacts::default()
        };
    }
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let lines = table.split(|&byte| byte == b'\n');
    CgroupFacts {
        unified,
        root: nix::unistd::geteuid().is_root(),
        hierarchies: lines.filter_map(|line| hierarchy(line, &own)).collect(),
    }
}

/// The hierarchy that a line of the mount table is about, if it is about one.
fn hierarchy(line: &[u8], own: &str) -> Option<Hierarchy> {
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let separator = words.iter().position(|word| *word == b"-")?;
    let mount = unescape(words.get(4)?);
    let root = unescape(words.get(3)?);
    let mount = PathBuf::from(OsStr::from_bytes(&mount));
    let options = std::str::from_utf8(words.get(separator + 3)?).ok()?;
    let unified = match *words.get(separator + 1)? {
        b"cgroup2" => true,
        b"cgroup" => false,
        _ => return None,
    };
    let controllers = if unified {
        let list = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
        list.split_whitespace().map(str::to_owned).collect()
    } else {
        let names = options.split(',');
        let names = names.map(|name| if name == BLKIO { "io" } else { name });
        let known = names.filter(|name| KNOWN.contains(name));
        known.map(str::to_owned).collect()
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
    let root = Path::new(OsStr::from_bytes(&root)).to_owned();
    let own = own.strip_prefix(&root).unwrap_or(&own).to_owned();
    Some(Hierarchy {
        unified,
        mount,
        own,
        names: names.to_owned(),
        controllers,
    })
}
