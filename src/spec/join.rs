// SPDX-License-Identifier: MIT OR Apache-2.0
//! A box that runs, for a program that comes into it: which one it is, and what confines it.

use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::Arc;

use super::{
    Access, CapabilitySet, Landlock, Namespace, Namespaces, Network, Origin, ParentDeath, Rlimit,
    SeccompFilter, SeccompProgram, Selection, Setting, Spec, TimeOffset, User, UserNamespace,
    Violation,
};
use crate::pidfd::Identity;

/// A box that runs: [`Entry::join`](crate::Entry::join) tells of one. A program that joins it gets its
/// namespaces, cgroups and root, and is confined as its first process was.
#[derive(Clone, Debug)]
pub struct Join {
    pub(crate) name: String,
    /// Its first process.
    pub(crate) process: Identity,
    /// Its cgroups: whether of version 2, and where.
    pub(crate) cgroups: Vec<(bool, PathBuf)>,
    pub(crate) walls: Walls,
    /// Whether the description that has this has been completed with what the box settles.
    pub(crate) settled: bool,
}

/// What confines a box, and who its program is.
#[derive(Clone, Debug)]
pub(crate) struct Walls {
    pub(crate) caps: CapabilitySet,
    /// It has a root filesystem of its own.
    pub(crate) rootfs: bool,
    pub(crate) no_new_privs: bool,
    /// The filter of system calls, and whether the kernel logs what it refuses.
    pub(crate) seccomp: Option<(SeccompProgram, bool)>,
    /// Its paths have no symbolic links, as far as that was to be found out.
    pub(crate) landlock: Landlock,
    /// The devices that Landlock leaves to it.
    pub(crate) devices: Vec<&'static CStr>,
    pub(crate) rlimits: Vec<Rlimit>,
    pub(crate) user: User,
    /// The other groups, and the home directory, of one who was asked for by name.
    pub(crate) login: Option<(Vec<u32>, PathBuf)>,
    pub(crate) workdir: Option<PathBuf>,
    pub(crate) time: Option<TimeOffset>,
}

impl Join {
    /// The name of the box.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a description says that is the box's to say, and what keeps a program out of it.
    pub(crate) fn conflicts(&self, spec: &Spec, origin: &Origin) -> Vec<Violation> {
        let mut found = Vec::new();
        if self.settled {
            return found;
        }
        let mut complain = |origin: &Origin, reason: String| {
            found.push(Violation {
                reason,
                origin: origin.clone(),
            });
        };
        for asked in of_the_box(spec) {
            complain(
                &asked,
                format!("that is settled by the box {}, which is joined", self.name),
            );
        }
        if spec.parent_death.value == ParentDeath::Survive {
            let reason = "what joins a box does not outlive whoever has started it";
            complain(&spec.parent_death.origin, reason.to_owned());
        }
        for (inner, outer) in exchangeable(&self.walls.landlock) {
            let reason = format!(
                "{} of the box's Landlock rules is below {}, where the box may write: what is there now need not be what \
                 it was",
                inner.display(),
                outer.display()
            );
            complain(origin, reason);
        }
        found
    }

    /// The description with what the box settles.
    fn confine(&self, spec: &Spec, origin: &Origin) -> Spec {
        let walls = &self.walls;
        let mut spec = spec.clone();
        let this = Self {
            settled: true,
            ..self.clone()
        };
        spec.join = Some(Setting::new(this, origin.clone()));
        let host = || Setting::default_of(Namespace::Host);
        spec.name = Some(Setting::default_of(self.name.clone()));
        spec.namespaces = Namespaces {
            uts: host(),
            pid: host(),
            ipc: host(),
            net: Setting::default_of(Network::Host),
            cgroup: host(),
            user: Setting::default_of(UserNamespace::Host),
            time: walls.time.map(|time| Setting::new(time, origin.clone())),
            ..Namespaces::default()
        };
        spec.proc = Setting::default_of(false);
        let all_dropped = spec.caps.drop.iter().any(|one| one.value == Selection::All);
        if !all_dropped {
            let has = walls.caps.numbers(63).filter_map(super::caps::of_number);
            let has = has.map(|one| Setting::new(Selection::One(one), origin.clone()));
            spec.caps.add.extend(has);
            let all = Setting::new(Selection::All, origin.clone());
            spec.caps.drop.push(all);
        }
        spec.no_new_privs = Setting::new(walls.no_new_privs, origin.clone());
        let (filter, log) = match &walls.seccomp {
            Some((program, log)) => (SeccompFilter::Program(program.clone()), *log),
            None => (SeccompFilter::Off, false),
        };
        spec.seccomp.filter = Setting::new(filter, origin.clone());
        spec.seccomp.log = log.then(|| origin.clone());
        spec.landlock = walls.landlock.clone();
        let limits = walls.rlimits.iter();
        spec.rlimits = limits
            .map(|limit| Setting::new(*limit, origin.clone()))
            .collect();
        if spec.login.is_none() && spec.user.is_none() {
            spec.user = Some(Setting::new(walls.user, origin.clone()));
        }
        if spec.workdir.is_none() {
            let workdir = walls.workdir.clone().unwrap_or_else(|| "/".into());
            spec.workdir = Some(Setting::new(workdir, origin.clone()));
        }
        spec
    }
}

impl Spec {
    /// What it says that is for the box to say which it joins.
    pub(crate) fn conflicts(&self) -> Vec<Violation> {
        let join = self.join.as_ref();
        join.map_or_else(Vec::new, |join| join.value.conflicts(self, &join.origin))
    }

    /// The description as it is compiled, if that is another one: where it joins a box, with what that settles.
    pub(crate) fn settled(&self) -> Option<Arc<Self>> {
        let join = self.join.as_ref().filter(|join| !join.value.settled)?;
        Some(Arc::new(join.value.confine(self, &join.origin)))
    }
}

/// Who asked for what a box that runs has decided already.
fn of_the_box(spec: &Spec) -> Vec<Origin> {
    let own = &spec.namespaces;
    let chosen = [
        &own.uts.origin,
        &own.pid.origin,
        &own.ipc.origin,
        &own.net.origin,
        &own.cgroup.origin,
        &own.user.origin,
        &spec.proc.origin,
        &spec.dev.origin,
        &spec.seccomp.filter.origin,
        &spec.no_new_privs.origin,
    ];
    let chosen = chosen
        .into_iter()
        .filter(|origin| **origin != Origin::Default);
    let some = [
        spec.name.as_ref().map(|one| &one.origin),
        spec.hostname.as_ref().map(|one| &one.origin),
        spec.rootfs.as_ref().map(|one| &one.origin),
        own.time.as_ref().map(|one| &one.origin),
        spec.oom_score_adj.as_ref().map(|one| &one.origin),
        spec.read_only.as_ref(),
        spec.disable_userns.as_ref(),
        spec.init.as_ref(),
        spec.landlock.origin(),
        spec.landlock.strict.as_ref(),
        spec.seccomp.log.as_ref(),
        spec.seccomp.trace.as_ref(),
        spec.mounts.first().map(|one| &one.origin),
        spec.ports.first().map(|one| &one.origin),
        spec.rlimits.first().map(|one| &one.origin),
        spec.masks.mask.first().map(|one| &one.origin),
        spec.masks.unmask.first().map(|one| &one.origin),
        own.uid_mappings.first().map(|one| &one.origin),
        own.gid_mappings.first().map(|one| &one.origin),
        spec.seccomp.arches.first().map(|one| &one.origin),
    ];
    let mut all: Vec<Origin> = chosen.chain(some.into_iter().flatten()).cloned().collect();
    if spec.limits.any() {
        all.push(Origin::text("limits"));
    }
    all
}

/// Paths of rules that the box can put something else in the place of, each with the rule that lets it.
fn exchangeable(landlock: &Landlock) -> Vec<(PathBuf, PathBuf)> {
    let paths = || landlock.paths.iter().map(|rule| &rule.value);
    let pairs = paths().flat_map(|inner| paths().map(move |outer| (inner, outer)));
    pairs
        .filter(|(inner, outer)| {
            let below = inner.path != outer.path && inner.path.starts_with(&outer.path);
            below && outer.access == Access::Write
        })
        .map(|(inner, outer)| (inner.path.clone(), outer.path.clone()))
        .collect()
}
