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
use super::slot;
use super::step::Steps;
use crate::spec::{Limits, Namespace, Origin, Rate, Setting, Spec, Swap, Violation, controller_of};

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
    /// One of several that are the same limit. Kernels have some of them, and it is set in each that is there.
    pub(crate) alternative: bool,
}

impl fmt::Display for Group {
    /// A line for the directory, one for each file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = self.parents.first().map_or(Path::new(""), PathBuf::as_path);
        let directory = self.mount.join(parent).join("<box>");
        writeln!(f, "     mkdir {}", shown(&directory))?;
        for file in &self.files {
            let value = quoted_bare(file.value.as_bytes());
            let if_there = if file.alternative { " if there" } else { "" };
            let text = format!("{} = {value}{if_there}", file.name);
            writeln!(f, "       {text:<54} {}", file.origin)?;
        }
        Ok(())
    }
}

/// One limit: the controller, its file and text in either version.
struct Wanted<'a> {
    controller: &'static str,
    origin: &'a Origin,
    unified: Pairs,
    legacy: Pairs,
    /// They are files of which kernels have some.
    alternatives: bool,
}

/// Files, and what is written to them.
type Pairs = Vec<(String, String)>;

impl Wanted<'_> {
    /// What is written in that version.
    fn files(&self, unified: bool) -> impl Iterator<Item = File> {
        let pairs = if unified { &self.unified } else { &self.legacy };
        pairs.iter().map(|(name, value)| File {
            name: name.clone(),
            value: value.clone(),
            origin: self.origin.clone(),
            alternative: self.alternatives,
        })
    }
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
    group.files.extend(wanted.files(*unified));
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
    let mut all: Vec<Wanted<'_>> = limits.io_weight.iter().map(weight_of_disks).collect();
    let pair = |name: &str, value: String| (name.to_owned(), value);
    let mut add = |controller, origin, unified, legacy| {
        all.push(Wanted {
            controller,
            origin,
            unified,
            legacy,
            alternatives: false,
        });
    };
    for (setting, name, legacy) in [
        (&limits.memory, "memory.max", "memory.limit_in_bytes"),
        (
            &limits.memory_reservation,
            "memory.low",
            "memory.soft_limit_in_bytes",
        ),
    ] {
        if let Some(limit) = setting {
            let text = limit.value.to_string();
            let unified = vec![pair(name, text.clone())];
            add("memory", &limit.origin, unified, vec![pair(legacy, text)]);
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
            vec![pair("memory.swap.max", unified)],
            vec![pair("memory.memsw.limit_in_bytes", old)],
        );
    }
    if let Some(cpus) = &limits.cpus {
        let quota = u64::from(cpus.value.0) * PERIOD_US / 1000;
        add(
            "cpu",
            &cpus.origin,
            vec![pair("cpu.max", format!("{quota} {PERIOD_US}"))],
            vec![
                pair("cpu.cfs_period_us", PERIOD_US.to_string()),
                pair("cpu.cfs_quota_us", quota.to_string()),
            ],
        );
    }
    if let Some(weight) = &limits.cpu_weight {
        // 100 of version 2 are 1024 shares of version 1.
        let shares = (u64::from(weight.value) * 1024 / 100).clamp(2, 262_144);
        add(
            "cpu",
            &weight.origin,
            vec![pair("cpu.weight", weight.value.to_string())],
            vec![pair("cpu.shares", shares.to_string())],
        );
    }
    for (setting, name) in [
        (&limits.cpuset_cpus, "cpuset.cpus"),
        (&limits.cpuset_mems, "cpuset.mems"),
    ] {
        if let Some(list) = setting {
            let one = vec![pair(name, list.value.clone())];
            add("cpuset", &list.origin, one.clone(), one);
        }
    }
    if let Some(pids) = &limits.pids {
        let one = vec![pair("pids.max", pids.value.to_string())];
        add("pids", &pids.origin, one.clone(), one);
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
            vec![pair("io.max", format!("{major}:{minor} {word}={rate}"))],
            vec![pair(
                &format!("blkio.throttle.{old}_device"),
                format!("{major}:{minor} {rate}"),
            )],
        );
    }
    for file in &limits.files {
        let (name, value) = &file.value;
        if let Some(controller) = controller_of(name) {
            let one = vec![pair(name, value.clone())];
            add(controller, &file.origin, one.clone(), one);
        }
    }
    all
}

/// Each scheduler that goes by weights has a file of its own, and a disk has one scheduler. See
/// Documentation/block/bfq-iosched.rst and Documentation/admin-guide/cgroup-v2.rst.
fn weight_of_disks(weight: &Setting<u32>) -> Wanted<'_> {
    let value = weight.value;
    // 100 is usual for bfq too, but 1000 is the most.
    let bfq = match value.checked_sub(100) {
        Some(above) => 100 + above / 11,
        None => value,
    };
    // That of cfq, which some distributions still have, is 500, within 10 to 1000.
    let cfq = value.saturating_mul(5).clamp(10, 1000);
    let pair = |name: &str, value: String| (name.to_owned(), value);
    Wanted {
        controller: "io",
        origin: &weight.origin,
        unified: vec![
            pair("io.weight", format!("default {value}")),
            pair("io.bfq.weight", bfq.to_string()),
        ],
        legacy: vec![
            pair("blkio.weight", cfq.to_string()),
            pair("blkio.bfq.weight", bfq.to_string()),
        ],
        alternatives: true,
    }
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
        match at.and_then(|at| Some((at, places.get(at)?.0))) {
            Some((at, unified)) => files.extend(wanted.files(unified).map(|file| (at, file))),
            None => missing.push(Violation {
                reason: format!(
                    "the box has no cgroup of the {} controller: it was started without such a limit",
                    wanted.controller
                ),
                origin: wanted.origin.clone(),
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
