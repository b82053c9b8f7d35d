// SPDX-License-Identifier: MIT OR Apache-2.0
//! How: a description compiled into system calls.
//!
//! [`compile`] is pure and deterministic. What must be asked of the host arrives in [`HostFacts`];
//! all memory that the child will read is allocated here, and lives as long as the [`Plan`].

mod call;
mod compile;
mod draft;
mod explain;
mod facts;
pub(crate) mod slot;
mod step;

mod access;
mod caps;
mod cgroup;
mod cgroupfs;
mod death;
mod dev;
mod env;
mod exec;
mod fd;
mod file;
mod fresh;
mod idmap;
mod ids;
mod join;
mod keyring;
mod landlock;
mod mask;
mod mount;
mod namespaces;
mod nested;
mod net;
mod no_new_privs;
mod path;
mod priority;
mod proc;
mod rlimit;
mod rootfs;
mod seccomp;
mod signal;
mod sysfs;
mod template;
mod time;
mod trace;
mod tree;
mod tty;
mod user;
mod userns;
mod uts;
mod workdir;

pub use access::Enforced;
pub(crate) use compile::compile_kind;
pub use compile::{TemplatePlans, compile, compile_template};
pub(crate) use draft::Kind;
pub use facts::{
    BothIds, CgroupFacts, Hierarchy, HostFacts, IdFacts, IdRange, JoinFacts, MountFacts, PathFacts,
    SourceKind, UserFacts,
};
pub use step::{Plan, PlannedStep};

pub(crate) use call::{quoted, quoted_bare, shown};
pub(crate) use cgroup::{
    Cgroups, File as CgroupFile, Group as CgroupGroup, changes as cgroup_changes,
    controllers as cgroup_controllers, parents as cgroup_parents,
};
pub(crate) use exec::Words;
pub(crate) use idmap::Tree;
pub(crate) use ids::list as id_list;
pub(crate) use landlock::DEVICES;
pub(crate) use net::Pasta;
pub(crate) use seccomp::Filter;
pub(crate) use signal::name as signal_name;
pub(crate) use step::{Devpts, ForUserns, Role, Step, Terminal};
pub(crate) use userns::{Maps, Writer, lines as map_lines};
