// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the phases of a compilation have to know of each other.

use super::access::{self, Enforced};
use super::cgroup::{self, Cgroups};
use super::facts::HostFacts;
use super::net::Pasta;
use super::seccomp::{self, Filter};
use super::step::{Role, Terminal};
use super::template::{self, Split};
use super::userns::Userns;
use super::{fd, fresh, ids, join, nested, net, tty, user};
use crate::spec::{
    Dev, Namespace, Origin, Propagation, Setting, Spec, User, Violation, Writes, random_name,
};

const CAP_SYS_ADMIN: u8 = 21;

/// What launches the plan is for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kind {
    /// Many, which may have mounts in common.
    pub(crate) mounts_once: bool,
    /// Boxes that stand before they get a program.
    pub(crate) stands: bool,
}

impl Kind {
    /// What of ours comes before the program, if anything.
    pub(super) fn role(self, spec: &Spec, facts: &HostFacts) -> Option<Role> {
        match (&spec.init, &spec.rootfs) {
            _ if spec.join.is_some() => Some(join::role(facts)),
            _ if self.stands => Some(Role::Stand),
            (Some(_), _) => Some(Role::Init),
            (None, Some(_)) => Some(Role::Exec),
            (None, None) => None,
        }
    }
}

/// A description on its way to a plan, with what was decided once for all phases.
pub(super) struct Draft<'a> {
    pub(super) spec: &'a Spec,
    pub(super) facts: &'a HostFacts,
    pub(super) name: String,
    /// The user namespace, if there is one.
    pub(super) userns: Option<Userns>,
    pub(super) terminal: Terminal,
    /// The streams that the new terminal takes.
    pub(super) on_terminal: [bool; 3],
    pub(super) numbers: fd::Numbers,
    pub(super) cgroups: Cgroups,
    pub(super) landlock: Option<Enforced>,
    /// What was asked for and is not to be had, if that is all right.
    pub(super) missed: Vec<Violation>,
    /// What is made once, if the plan is a template's and something is.
    pub(super) split: Option<Split>,
    /// The mount namespace begins with the root filesystem: see [`fresh`].
    pub(super) fresh: bool,
    /// What connects the box's network, if something has to.
    pub(super) pasta: Option<Pasta>,
    kind: Kind,
    pub(super) seccomp: Option<Filter>,
    /// Who the program runs as, if somebody asked for it.
    pub(super) user: Option<Setting<User>>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        spec: &'a Spec,
        facts: &'a HostFacts,
        kind: Kind,
    ) -> Result<Self, Vec<Violation>> {
        join::check(spec, facts)?;
        let (terminal, on_terminal) = tty::decide(spec, facts);
        let user = user::resolve(spec, facts)?;
        let userns = ids::decide(spec, facts, user.as_ref())?;
        let (cgroups, mut missed) = cgroup::decide(spec, facts)?;
        let (landlock, more) = access::decide(spec, facts)?;
        missed.extend(more);
        let split = if kind.mounts_once {
            template::decide(spec, facts, userns.is_some())
        } else {
            None
        };
        let mut draft = Self {
            fresh: split.is_none() && fresh::decide(spec, facts, userns.is_some()),
            split,
            kind,
            userns,
            user,
            cgroups,
            landlock,
            missed,
            seccomp: None,
            pasta: None,
            spec,
            facts,
            numbers: fd::Numbers::new(spec, facts, kind),
            name: spec
                .name
                .as_ref()
                .map_or_else(|| random_name(facts.entropy), |name| name.value.clone()),
            terminal,
            on_terminal,
        };
        draft.seccomp = seccomp::decide(&draft)?;
        nested::check(&draft)?;
        draft.pasta = net::decide(&draft)?;
        Ok(draft)
    }

    /// What of ours comes before the program, if anything.
    pub(super) fn role(&self) -> Option<Role> {
        self.kind.role(self.spec, self.facts)
    }

    /// Who asked for what comes before the program.
    pub(super) fn program_origin(&self) -> &Origin {
        let join = self.spec.join.as_ref().map(|join| &join.origin);
        let init = self.spec.init.as_ref();
        init.or(join).unwrap_or(self.rootfs_origin())
    }

    /// Who asked for the root filesystem.
    pub(super) fn rootfs_origin(&self) -> &Origin {
        let rootfs = self.spec.rootfs.as_ref();
        rootfs.map_or(&Origin::Default, |rootfs| &rootfs.origin)
    }

    /// Whether files of somebody else are in the place of the caller's.
    pub(super) fn foreign_root(&self) -> bool {
        let join = self.spec.join.as_ref();
        self.spec.rootfs.is_some() || join.is_some_and(|join| join.value.walls.rootfs)
    }

    /// Whether a new terminal is one of a devpts of the box's own.
    pub(super) fn terminal_inside(&self) -> bool {
        let spec = self.spec;
        self.terminal == Terminal::New && spec.rootfs.is_some() && spec.dev.value == Dev::Minimal
    }

    /// Whether the box has mounts besides /proc.
    pub(super) fn mounts(&self) -> bool {
        self.spec.rootfs.is_some() || !self.spec.mounts.is_empty()
    }

    /// Whether the launch makes mounts for the child: see [`idmap`](super::idmap).
    pub(super) fn mounts_before(&self) -> bool {
        let may = self.facts.effective.contains(CAP_SYS_ADMIN);
        self.userns.is_some() && may && self.facts.paths.mount_setattr
    }

    /// Whether copies of the caller's mounts are there before the root is: made by the launch, or by the child's
    /// first steps.
    pub(super) fn has_trees(&self) -> bool {
        self.fresh || self.mounts_before()
    }

    /// Whether the root filesystem, with all that is mounted on it, is that of the mount namespace from its
    /// beginning.
    pub(super) fn begins_with_root(&self) -> bool {
        let rootfs = self.spec.rootfs.as_ref();
        self.fresh && rootfs.is_some_and(|rootfs| rootfs.value.writes == Writes::Through)
    }

    /// Whether the child waits for its maps at the gate: see [`userns`](super::userns).
    pub(super) fn waits_for_maps(&self) -> bool {
        let userns = self.userns.as_ref();
        userns.is_some_and(|userns| userns.writer.is_waited_for())
    }

    /// Whether the child waits for the parent at the gate, for whatever.
    pub(super) fn waits(&self) -> bool {
        self.waits_for_maps() || self.pasta.is_some()
    }

    /// Who the program runs as, if that is not who the child is during the set-up.
    pub(super) fn change(&self) -> Option<&Setting<User>> {
        match &self.userns {
            None => self.user.as_ref(),
            Some(userns) => Some(&userns.program).filter(|user| user.value != userns.set_up),
        }
    }

    /// Whether the program runs as root, as far as there is one in the box.
    pub(super) fn as_root(&self) -> bool {
        let user = match &self.userns {
            None => self.user.as_ref(),
            Some(userns) => Some(&userns.program),
        };
        user.is_none_or(|user| user.value.uid == 0)
    }

    /// Who the program runs as.
    pub(super) fn program_user(&self) -> User {
        let user = match &self.userns {
            None => self.user.as_ref(),
            Some(userns) => Some(&userns.program),
        };
        let caller = User {
            uid: self.facts.uid,
            gid: self.facts.gid,
        };
        user.map_or(caller, |user| user.value)
    }

    /// Whether mounts of the host may appear below a bind.
    pub(super) fn slaves(&self) -> bool {
        let mut mounts = self.spec.mounts.iter();
        mounts.any(|mount| mount.value.attributes.propagation == Propagation::Slave)
    }

    /// Whose cgroups the box sees. One with a root filesystem sees its own if nobody says otherwise: the
    /// names of the others tell of the host.
    pub(super) fn cgroupns(&self) -> Setting<Namespace> {
        let setting = &self.spec.namespaces.cgroup;
        match (&self.spec.rootfs, &setting.origin) {
            (Some(_), Origin::Default) => Setting::default_of(Namespace::Private),
            _ => setting.clone(),
        }
    }

    /// Whether the box has process ids of its own.
    pub(super) fn own_pids(&self) -> bool {
        self.spec.namespaces.pid.value == Namespace::Private
    }
}
