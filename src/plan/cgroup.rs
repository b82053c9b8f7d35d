// SPDX-License-Identifier: MIT OR Apache-2.0
//! Limits: which cgroups a box gets, what is written to their files, and how it comes into them.
//!
//! On version 2 the kernel makes the child in its cgroup (`CLONE_INTO_CGROUP`): it never runs without
//! its limits, and nobody waits for the grace period that a move costs. On version 1, and without
//! clone3(2), the first thing that the child does is to move itself: a single thread that writes `0` is
//! moved in microseconds. See cgroups(7).

use std::fmt;
use std::path::{Path, PathBuf};

use super::call::{Call, Value, quoted_bare, shown};
use super::draft::Draft;
use super::facts::{CgroupFacts, Hierarchy, HostFacts};
use super::step::{Steps, slot};
use crate::spec::{Limits, Namespace, Origin, Rate, Spec, Swap, Violation, controller_of};

/// `CLONE_INTO_CGROUP` in `linux/sched.h` (since Linux 5.7); the libc crate's is cut off.
pub(crate) const CLONE_INTO_CGROUP: u64 = 1 << 33;
/// The period in which a box gets its share of the processors, in microseconds: docker's.
const PERIOD_US: u64 = 100_000;

/// The cgroups of a box: one of version 2 at most, and one in each hierarchy of version 1 that a limit
/// needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cgroups {
    pub(crate) groups: Vec<Group>,
    /// Those of a box that is joined: whether of version 2, and where.
    pub(crate) there: Vec<(bool, PathBuf)>,
}

impl Cgroups {
    /// Whether the child enters any.
    pub(super) fn any(&self) -> bool {
        self.doors().next().is_some()
    }

    /// Those that it enters: of each whether it is of version 2, and who asked for it.
    fn doors(&self) -> impl Iterator<Item = (bool, &Origin)> {
        let made = self.groups.iter().map(|group| {
            let first = group.files.first();
            (
                group.unified,
                first.map_or(&Origin::Default, |file| &file.origin),
            )
        });
        let there = self
            .there
            .iter()
            .map(|(unified, _)| (*unified, &Origin::Default));
        made.chain(there)
    }

    /// What the hierarchies are called in which there is one; nothing is the name of version 2.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| group.names.as_str())
    }
}

/// A cgroup to be made.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Version 2.
    pub(crate) unified: bool,
    /// The root of its hierarchy.
    pub(crate) mount: PathBuf,
    /// Where it is made: the first of these that can be used, below the root.
    pub(crate) parents: Vec<PathBuf>,
    /// What version 1 calls its hierarchy.
    pub(crate) names: String,
    /// The controllers that it needs.
    pub(crate) controllers: Vec<&'static str>,
    /// What is written, in order.
    pub(crate) files: Vec<File>,
}

/// A file of a cgroup.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

impl fmt::Display for Group {
    /// A line for the directory, one for each file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = self.parents.first().map_or(Path::new(""), PathBuf::as_path);
        let directory = self.mount.join(parent).join("<box>");
        writeln!(f, "     mkdir {}", shown(&directory))?;
        for file in &self.files {
            let text = format!("{} = {}", file.name, quoted_bare(file.value.as_bytes()));
            writeln!(f, "       {text:<54} {}", file.origin)?;
        }
        Ok(())
    }
}

/// One limit: the controller, its file and text in either version.
struct Wanted<'a> {
    controller: &'static str,
    origin: &'a Origin,
    unified: Option<(String, String)>,
    legacy: Option<Vec<(String, String)>>,
}

/// The controllers that limits need, by their names on version 2.
pub(crate) fn controllers(limits: &Limits) -> Vec<&'static str> {
    let mut all: Vec<&str> = Vec::new();
    for wanted in wanted(limits) {
        if !all.contains(&wanted.controller) {
            all.push(wanted.controller);
        }
    }
    all
}

/// Decides where each limit is set, and which ones cannot be, if that is all right.
///
/// # Errors
///
/// A controller that is not to be had here, unless the limits are best effort.
pub(super) fn decide(
    spec: &Spec,
    facts: &HostFacts,
) -> Result<(Cgroups, Vec<Violation>), Vec<Violation>> {
    let mut cgroups = Cgroups::default();
    if let Some(join) = &spec.join {
        cgroups.there = join.value.cgroups.clone();
    }
    let mut missed = Vec::new();
    if !spec.limits.any() {
        return Ok((cgroups, missed));
    }
    for wanted in wanted(&spec.limits) {
        if let Err(reason) = place(&wanted, spec, &facts.cgroups, &mut cgroups.groups) {
            missed.push(Violation {
                reason,
                origin: wanted.origin.clone(),
            });
        }
    }
    if missed.is_empty() || spec.limits.best_effort.is_some() {
        Ok((cgroups, missed))
    } else {
        Err(missed)
    }
}

fn place(
    wanted: &Wanted<'_>,
    spec: &Spec,
    facts: &CgroupFacts,
    groups: &mut Vec<Group>,
) -> Result<(), String> {
    let controller = wanted.controller;
    let Hierarchy {
        unified,
        mount,
        own,
        names,
        refused,
        ..
    } = facts.hierarchy(controller).ok_or_else(|| {
        format!(
            "there is no {controller} controller here in any hierarchy of cgroups ({}): \
             boot with it, or say --best-effort-limits",
            facts.known()
        )
    })?;
    if let Some((_, reason)) = refused.iter().find(|(name, _)| name == controller) {
        return Err(format!(
            "there is no cgroup of the {controller} controller to be had: {reason}"
        ));
    }
    let pairs = if *unified {
        wanted.unified.clone().map(|pair| vec![pair])
    } else {
        wanted.legacy.clone()
    };
    let pairs = pairs.ok_or_else(|| {
        let version = if *unified { 2 } else { 1 };
        format!(
            "version {version} of the {controller} controller, which is here, has no such limit"
        )
    })?;
    let at = groups.iter().position(|group| group.mount == *mount);
    let at = at.unwrap_or_else(|| {
        groups.push(Group {
            unified: *unified,
            mount: mount.clone(),
            names: names.clone(),
            parents: parents(&spec.limits, facts.root, own),
            controllers: Vec::new(),
            files: Vec::new(),
        });
        groups.len() - 1
    });
    let Some(group) = groups.get_mut(at) else {
        return Ok(());
    };
    if !group.controllers.contains(&controller) {
        group.controllers.push(controller);
    }
    group
        .files
        .extend(pairs.into_iter().map(|(name, value)| File {
            name,
            value,
            origin: wanted.origin.clone(),
        }));
    Ok(())
}

/// Where cgroups are made: for root at the top, for others in what has been delegated to them, their own
/// or the one above it. One of our own in between would take as long to make and remove as the box's.
pub(crate) fn parents(limits: &Limits, root: bool, own: &Path) -> Vec<PathBuf> {
    let relative = |path: &Path| path.strip_prefix("/").unwrap_or(path).to_owned();
    match &limits.parent {
        Some(parent) => vec![relative(&parent.value)],
        None if root => vec![PathBuf::new()],
        None => {
            let above = own.parent().unwrap_or(own);
            vec![relative(own), relative(above)]
        }
    }
}

fn wanted(limits: &Limits) -> Vec<Wanted<'_>> {
    let mut all = Vec::new();
    let pair = |name: &str, value: String| (name.to_owned(), value);
    let mut add =
        |controller, origin, unified: Option<(String, String)>, legacy: Option<Vec<_>>| {
            all.push(Wanted {
                controller,
                origin,
                unified,
                legacy,
            });
        };
    let memory = |name, legacy: &str, setting: &Option<crate::spec::Setting<u64>>| {
        setting.as_ref().map(|limit| {
            let text = limit.value.to_string();
            (pair(name, text.clone()), vec![pair(legacy, text)])
        })
    };
    for (setting, name, legacy) in [
        (&limits.memory, "memory.max", "memory.limit_in_bytes"),
        (
            &limits.memory_reservation,
            "memory.low",
            "memory.soft_limit_in_bytes",
        ),
    ] {
        if let (Some(limit), Some((unified, old))) = (setting, memory(name, legacy, setting)) {
            add("memory", &limit.origin, Some(unified), Some(old));
        }
    }
    if let Some(swap) = &limits.memory_swap {
        // Version 1 counts memory and swap together, as docker does; version 2 swap alone.
        let memory = limits.memory.as_ref().map_or(0, |limit| limit.value);
        let (unified, old) = match swap.value {
            Swap::Unlimited => ("max".to_owned(), "-1".to_owned()),
            Swap::Bytes(bytes) => (bytes.saturating_sub(memory).to_string(), bytes.to_string()),
        };
        add(
            "memory",
            &swap.origin,
            Some(pair("memory.swap.max", unified)),
            Some(vec![pair("memory.memsw.limit_in_bytes", old)]),
        );
    }
    if let Some(cpus) = &limits.cpus {
        let quota = u64::from(cpus.value.0) * PERIOD_US / 1000;
        add(
            "cpu",
            &cpus.origin,
            Some(pair("cpu.max", format!("{quota} {PERIOD_US}"))),
            Some(vec![
                pair("cpu.cfs_period_us", PERIOD_US.to_string()),
                pair("cpu.cfs_quota_us", quota.to_string()),
            ]),
        );
    }
    if let Some(weight) = &limits.cpu_weight {
        // 100 of version 2 are 1024 shares of version 1.
        let shares = (u64::from(weight.value) * 1024 / 100).clamp(2, 262_144);
        add(
            "cpu",
            &weight.origin,
            Some(pair("cpu.weight", weight.value.to_string())),
            Some(vec![pair("cpu.shares", shares.to_string())]),
        );
    }
    for (setting, name) in [
        (&limits.cpuset_cpus, "cpuset.cpus"),
        (&limits.cpuset_mems, "cpuset.mems"),
    ] {
        if let Some(list) = setting {
            let one = pair(name, list.value.clone());
            add("cpuset", &list.origin, Some(one.clone()), Some(vec![one]));
        }
    }
    if let Some(pids) = &limits.pids {
        let one = pair("pids.max", pids.value.to_string());
        add("pids", &pids.origin, Some(one.clone()), Some(vec![one]));
    }
    if let Some(weight) = &limits.io_weight {
        let unified = pair("io.weight", format!("default {}", weight.value));
        // 100 of version 2 are 500 of version 1, whose range is 10 to 1000.
        let old = weight.value.saturating_mul(5).clamp(10, 1000).to_string();
        add(
            "io",
            &weight.origin,
            Some(unified),
            Some(vec![pair("blkio.weight", old)]),
        );
    }
    for limit in &limits.devices {
        let (major, minor) = limit.value.device;
        let (word, old) = match limit.value.rate {
            Rate::ReadBytes => ("rbps", "read_bps"),
            Rate::WriteBytes => ("wbps", "write_bps"),
            Rate::ReadOperations => ("riops", "read_iops"),
            Rate::WriteOperations => ("wiops", "write_iops"),
        };
        let rate = limit.value.per_second;
        add(
            "io",
            &limit.origin,
            Some(pair("io.max", format!("{major}:{minor} {word}={rate}"))),
            Some(vec![pair(
                &format!("blkio.throttle.{old}_device"),
                format!("{major}:{minor} {rate}"),
            )]),
        );
    }
    for file in &limits.files {
        let (name, value) = &file.value;
        if let Some(controller) = controller_of(name) {
            let one = pair(name, value.clone());
            add(controller, &file.origin, Some(one.clone()), Some(vec![one]));
        }
    }
    all
}

/// What is written to change limits of cgroups that are there, of which the version is known (whether it is 2)
/// and the controllers: for each limit the index of its cgroup, and files with their new text.
///
/// # Errors
///
/// A controller for which the box has no cgroup.
pub(crate) fn changes(
    limits: &Limits,
    places: &[(bool, &[&'static str])],
) -> Result<Vec<(usize, File)>, Vec<Violation>> {
    let (mut files, mut missing) = (Vec::new(), Vec::new());
    for wanted in wanted(limits) {
        let mut all = places.iter();
        let at = all.position(|(_, controllers)| controllers.contains(&wanted.controller));
        let pairs = at.and_then(|at| {
            let (unified, _) = *places.get(at)?;
            let one = wanted.unified.clone().map(|pair| vec![pair]);
            if unified { one } else { wanted.legacy.clone() }
        });
        let origin = wanted.origin.clone();
        match at.zip(pairs) {
            Some((at, pairs)) => files.extend(pairs.into_iter().map(|(name, value)| {
                let origin = origin.clone();
                (at, File { name, value, origin })
            })),
            None => missing.push(Violation {
                reason: format!(
                    "the box has no cgroup of the {} controller: it was started without such a limit",
                    wanted.controller
                ),
                origin,
            }),
        }
    }
    if missing.is_empty() {
        Ok(files)
    } else {
        Err(missing)
    }
}

/// Whether the kernel makes the child in its cgroup.
pub(super) fn clone_into(draft: &Draft<'_>) -> bool {
    draft.facts.clone3 && draft.cgroups.doors().any(|(unified, _)| unified)
}

/// The child moves itself into those of its cgroups that it was not made in. Then it gets a cgroup
/// namespace, if it is to have one: the cgroup in which it is made is its root.
pub(super) fn join(draft: &Draft<'_>, steps: &mut Steps) {
    let into = clone_into(draft);
    for ((unified, origin), slot) in draft.cgroups.doors().zip(slot::CGROUPS) {
        if unified && into {
            continue;
        }
        let args = [Value::Slot(slot), Value::Static(c"0"), Value::Int(1)];
        let call = Call::new("write", libc::SYS_write, args);
        steps.push(origin, "enter the cgroup", call);
    }
    let setting = draft.cgroupns();
    if !draft.cgroups.groups.is_empty() && setting.value == Namespace::Private {
        const FLAGS: &[(&str, u64)] = &[("CLONE_NEWCGROUP", libc::CLONE_NEWCGROUP as u64)];
        let args = [Value::Flags(FLAGS, libc::CLONE_NEWCGROUP as u64)];
        let call = Call::new("unshare", libc::SYS_unshare, args);
        steps.push(&setting.origin, "make a cgroup namespace", call);
    }
}
