// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a plan depends on besides its description.

use std::ffi::{CStr, OsString};
use std::path::PathBuf;

use crate::spec::{CapabilitySet, IdMapping};

/// What must be known of the host and of the calling process to compile a plan.
/// [`HostFacts::gather`] asks for it; a test may make it up.
#[derive(Clone, Debug)]
pub struct HostFacts {
    /// clone3(2) has not been refused in this process.
    pub clone3: bool,
    /// close_range(2) knows `CLOSE_RANGE_CLOEXEC` (since Linux 5.11).
    pub close_range_cloexec: bool,
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// The calling thread has supplementary groups that may be dropped.
    pub supplementary_groups: bool,
    /// The bounding set of the calling thread; every capability if the thread may drop from it.
    pub bounding: CapabilitySet,
    /// Its effective set.
    pub effective: CapabilitySet,
    /// Its permitted set.
    pub permitted: CapabilitySet,
    /// The highest capability that the kernel knows (`CAP_LAST_CAP`).
    pub last_cap: u8,
    /// Which of the standard streams are terminals.
    pub terminals: [bool; 3],
    /// The calling process is in the foreground of the terminal on its standard input.
    pub foreground: bool,
    /// The signals that the calling process ignores: bit N-1 stands for signal N.
    pub ignored_signals: u64,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Random bits, for a name.
    pub entropy: u64,
    /// Who the user is that the description names, or why it is nobody.
    pub user: Option<Result<UserFacts, String>>,
    /// keyctl(2) is there, and not forbidden.
    pub keyctl: bool,
    /// The version of the kernel's Landlock; 0 where it has none, or for a description that asks for
    /// nothing of it.
    pub landlock: u32,
    /// The devices that Landlock leaves to every box, as far as the caller has them.
    pub devices: Vec<&'static CStr>,
    /// The hierarchies of cgroups; nothing for a description without limits.
    pub cgroups: CgroupFacts,
    /// About the paths of its mounts; nothing for a description without any.
    pub paths: PathFacts,
    /// Where pasta(1) is; nothing if it is not here, or for a description that does not ask for it.
    pub pasta: Option<PathBuf>,
    /// About the box that is joined, or why it cannot be; `None` for a description that joins none.
    pub join: Option<Result<JoinFacts, String>>,
    /// About ids; nothing for a description that needs none but the caller's.
    pub ids: IdFacts,
}

/// Which ids a user namespace of the caller's may have.
#[derive(Clone, Debug, Default)]
pub struct IdFacts {
    /// The caller is in the first user namespace, which has every id.
    pub initial: bool,
    /// The ids that the caller's own user namespace has.
    pub own: BothIds,
    /// Those that subuid(5) and subgid(5) give the caller.
    pub subordinate: BothIds,
    /// To whom they give them: the name that was looked for, for people.
    pub name: String,
    /// Why newuidmap(1) and newgidmap(1) cannot be used, if they cannot.
    pub helpers_missing: Option<String>,
}

/// A box that is joined, as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinFacts {
    /// The namespaces of its own that it has: `CLONE_NEW*` flags.
    pub namespaces: i32,
    /// The user ids of its user namespace, as the caller sees them; nothing where it has the caller's.
    pub uids: Vec<IdMapping>,
    /// The same of group ids.
    pub gids: Vec<IdMapping>,
    /// setgroups(2) is not denied there.
    pub setgroups: bool,
    /// Its root has a devpts of its own; not looked for where the program gets no new terminal.
    pub devpts: bool,
}

/// Ranges of user ids and of group ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BothIds {
    /// Of user ids.
    pub uids: Vec<IdRange>,
    /// Of group ids.
    pub gids: Vec<IdRange>,
}

/// Ids that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first one.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

/// A user, looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFacts {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The other groups.
    pub groups: Vec<u32>,
    /// The home directory.
    pub home: PathBuf,
}

/// Where limits can be set.
#[derive(Clone, Debug, Default)]
pub struct CgroupFacts {
    /// The caller may make cgroups anywhere.
    pub root: bool,
    /// All that are mounted.
    pub hierarchies: Vec<Hierarchy>,
    /// /sys/fs/cgroup is the hierarchy of version 2.
    pub unified: bool,
}

/// A hierarchy of cgroups.
#[derive(Clone, Debug, Default)]
pub struct Hierarchy {
    /// It is that of version 2.
    pub unified: bool,
    /// Where its root is mounted.
    pub mount: PathBuf,
    /// The cgroup of the caller, below that.
    pub own: PathBuf,
    /// What version 1 calls it: controllers, or `name=`, with commas between them.
    pub names: String,
    /// The controllers that are in it, by their names on version 2.
    pub controllers: Vec<String>,
    /// Those of which the caller can make no cgroup, and why. It is looked at if best effort is enough.
    pub refused: Vec<(String, String)>,
}

impl CgroupFacts {
    /// The hierarchy that has a controller.
    pub(super) fn hierarchy(&self, controller: &str) -> Option<&Hierarchy> {
        let mut all = self.hierarchies.iter();
        all.find(|one| one.controllers.iter().any(|name| name == controller))
    }

    /// The controllers that there are, for people.
    pub(super) fn known(&self) -> String {
        let all = self.hierarchies.iter().flat_map(|one| &one.controllers);
        let all: Vec<&str> = all.map(String::as_str).collect();
        if all.is_empty() {
            "none has a controller".to_owned()
        } else {
            format!("they have {}", all.join(", "))
        }
    }
}

/// What must be known of paths, and of the calls that take them.
#[derive(Clone, Debug, Default)]
pub struct PathFacts {
    /// openat2(2) is there (since Linux 5.6), and not forbidden.
    pub openat2: bool,
    /// mount_setattr(2) is there (since Linux 5.12), and not forbidden.
    pub mount_setattr: bool,
    /// open_tree(2) makes mount namespaces (since Linux 7.0), and is not forbidden.
    pub open_tree_namespace: bool,
    /// The flags of the mount that a root filesystem lies on, as statvfs(3) has them.
    pub root_flags: u64,
    /// Which of the directories /proc, /sys and /dev a root filesystem has.
    pub mount_points: [bool; 3],
    /// The user to whom the root filesystem belongs, and the directory above it.
    pub root_owners: [Option<u32>; 2],
    /// Each of them is the caller's own root or its /etc, or has it in it. It is looked at if the box has other
    /// ids than the caller.
    pub own_root: [bool; 2],
    /// The caller is in the first user namespace, where devices can be made.
    pub initial_user_namespace: bool,
    /// The network namespace of the caller belongs to its user namespace.
    pub own_network: bool,
    /// One for each mount of the description.
    pub mounts: Vec<MountFacts>,
}

/// What is known of one mount before it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountFacts {
    /// What the source of a bind is.
    pub source: SourceKind,
    /// The mounts of a recursive bind, where each must be made read-only by itself: their paths below
    /// the source, and their flags as statvfs(3) has them. The first is the source itself.
    pub below: Vec<(PathBuf, u64)>,
    /// How many of the target's names, from the root on, are directories already.
    pub known: usize,
    /// The target itself is there.
    pub exists: bool,
    /// It is in the root filesystem itself, and in no mount below.
    pub in_root: bool,
    /// The target as a path without symbolic links of the root filesystem's, as far as it is there; `None` if
    /// that is not known.
    pub place: Option<PathBuf>,
    /// What is missing of the target may be made: it is in a root filesystem, or in a tmpfs.
    pub creatable: bool,
}

/// What the source of a bind is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceKind {
    /// Nothing, or nothing that the caller may see.
    #[default]
    Missing,
    /// A directory.
    Directory,
    /// Anything else.
    File,
}
