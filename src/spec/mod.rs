// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is wanted: plain data. Nothing here opens a file, knows a flag of the kernel or a word of
//! the command line.
//!
//! Each value carries its [`Origin`], so that a failure can name whoever asked for it.

mod caps;
mod cgroup;
mod death;
mod env;
mod exec;
mod join;
mod landlock;
mod mask;
mod mount;
mod namespaces;
mod net;
mod origin;
pub(crate) mod passwd;
mod rlimit;
mod rootfs;
mod seccomp;
mod tty;
mod user;
mod userns;
mod uts;
mod validate;

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use caps::name as capability_name;
pub use caps::{Capability, CapabilitySet, Caps, CapsParseError, Selection};
pub(crate) use cgroup::controller_of;
pub use cgroup::{Cpus, DeviceLimit, LimitParseError, Limits, Rate, Swap, parse_bytes};
pub use death::ParentDeath;
pub use env::{Env, EnvFileError, parse_env_file};
pub use exec::{Exec, MAX_ARG_STRLEN};
pub use join::Join;
pub(crate) use join::Walls;
pub use landlock::{Access, Landlock, PathRule};
pub use mask::Masks;
pub use mount::{Attributes, Mount, MountKind, MountParseError, Propagation};
pub use namespaces::{Namespace, Namespaces, TimeOffset, TimeOffsetParseError};
pub use net::{Network, NetworkNamespace, Port, PortParseError, Protocol};
pub use origin::{Origin, Setting};
pub use rlimit::{Resource, Rlimit, RlimitParseError};
pub use rootfs::{Dev, Rootfs, Writes, system_root};
pub use seccomp::{Arch, Seccomp, SeccompError, SeccompFilter, SeccompProfile, SeccompProgram};
pub(crate) use seccomp::{ProfileRule, When};
pub use tty::{Redirect, Tty};
pub use user::{Login, User, UserParseError};
pub use userns::{IdMapping, IdMappingParseError, UserNamespace};
pub(crate) use userns::{MAX_MAPPINGS, container_of, host_of};
pub(crate) use uts::is_name;
pub use uts::{HOST_NAME_MAX, random_name};
pub use validate::Violation;
pub(crate) use validate::{host_name, working_directory};

/// A box, described. [`Spec::new`] is the plain one; every field may be changed.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The box's name: letters, digits, `_`, `.` and `-`, at most 64 bytes. Random when `None`.
    pub name: Option<Setting<String>>,
    /// The host name inside; the box's name when `None`.
    pub hostname: Option<Setting<String>>,
    /// The program and its arguments.
    pub exec: Exec,
    /// The environment.
    pub env: Env,
    /// The box that the program joins, which settles what is said below of walls and namespaces; a new one when
    /// `None`.
    pub join: Option<Setting<Join>>,
    /// The namespaces of its own that the box gets.
    pub namespaces: Namespaces,
    /// Ports of the host that lead to ports of the box, with [`Network::Pasta`].
    pub ports: Vec<Setting<Port>>,
    /// The root filesystem; the caller's when `None`.
    pub rootfs: Option<Setting<Rootfs>>,
    /// Who asked for a root filesystem that cannot be written to.
    pub read_only: Option<Origin>,
    /// Whether there is a fresh /proc. There is none where the box has the caller's root and process ids.
    pub proc: Setting<bool>,
    /// What a root filesystem has in /dev.
    pub dev: Setting<Dev>,
    /// More mounts, in order.
    pub mounts: Vec<Setting<Mount>>,
    /// The capabilities that the program keeps.
    pub caps: Caps,
    /// The ids that the program runs as; those of the caller, or root in a user namespace, when
    /// `None`.
    pub user: Option<Setting<User>>,
    /// The same by the names that the box's own /etc/passwd and /etc/group have, with the groups and the
    /// home directory that they tell.
    pub login: Option<Setting<Login>>,
    /// The working directory; the caller's when `None`.
    pub workdir: Option<Setting<PathBuf>>,
    /// The file mode creation mask, 0 to 0o777; the caller's when `None`. See umask(2).
    pub umask: Option<Setting<u32>>,
    /// Resource limits. See setrlimit(2).
    pub rlimits: Vec<Setting<Rlimit>>,
    /// Limits for the box as a whole.
    pub limits: Limits,
    /// What is added to the badness of the program when memory runs out, -1000 to 1000. See
    /// proc_pid_oom_score_adj(5).
    pub oom_score_adj: Option<Setting<i32>>,
    /// The nice value, -20 to 19. See setpriority(2).
    pub nice: Option<Setting<i32>>,
    /// Descriptors besides 0, 1 and 2 that the program inherits, under their own numbers.
    pub fds: Vec<Setting<RawFd>>,
    /// Where standard input, output and error come from.
    pub stdio: [Redirect; 3],
    /// The terminal.
    pub tty: Setting<Tty>,
    /// Which system calls the program may make.
    pub seccomp: Seccomp,
    /// Whether execve(2) may grant no privilege any more. See PR_SET_NO_NEW_PRIVS(2const).
    pub no_new_privs: Setting<bool>,
    /// Whether the session keyring is the caller's. See session-keyring(7).
    pub keyring: Setting<Namespace>,
    /// Who wants no user namespaces inside. See user_namespaces(7).
    pub disable_userns: Option<Origin>,
    /// What is covered in /proc and /sys of a root filesystem.
    pub masks: Masks,
    /// What it may do with files and ports.
    pub landlock: Landlock,
    /// What becomes of the box when the process that started it dies.
    pub parent_death: Setting<ParentDeath>,
    /// Whether a small init runs as PID 1, forwards signals and reaps orphans.
    pub init: Option<Origin>,
    /// How long the set-up may take, until execve(2).
    pub start_timeout: Option<Setting<Duration>>,
    /// Whether the child notes the time after each step.
    pub timings: bool,
}

impl Spec {
    /// The plain box around `program`.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            name: None,
            hostname: None,
            exec: Exec::new(program.into()),
            env: Env::default(),
            join: None,
            namespaces: Namespaces::default(),
            ports: Vec::new(),
            rootfs: None,
            read_only: None,
            proc: Setting::default_of(true),
            dev: Setting::default(),
            mounts: Vec::new(),
            caps: Caps::default(),
            user: None,
            login: None,
            workdir: None,
            umask: None,
            rlimits: Vec::new(),
            limits: Limits::default(),
            oom_score_adj: None,
            nice: None,
            fds: Vec::new(),
            stdio: [Redirect::Inherit; 3],
            tty: Setting::default_of(Tty::None),
            seccomp: Seccomp::default(),
            no_new_privs: Setting::default_of(true),
            keyring: Setting::default_of(Namespace::Private),
            disable_userns: None,
            masks: Masks::default(),
            landlock: Landlock::default(),
            parent_death: Setting::default_of(ParentDeath::Kill),
            init: None,
            start_timeout: None,
            timings: false,
        }
    }

    /// Everything that is wrong with the description by itself, whatever the host; empty when
    /// nothing is.
    pub fn validate(&self) -> Vec<Violation> {
        validate::validate(self)
    }
}
