// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be wrong with a description by itself. All of it is reported at once.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use super::uts::{HOST_NAME_MAX, is_name};
use super::{
    IdMapping, MAX_ARG_STRLEN, MAX_MAPPINGS, MountKind, Namespace, Network, Origin, Propagation,
    Setting, Spec, Swap, Tty, UserNamespace, Writes,
};

/// One thing that is wrong with a [`Spec`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is wrong, and what would be right.
    pub reason: String,
    /// Who asked for it.
    pub origin: Origin,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.reason)
    }
}

struct Violations(Vec<Violation>);

impl Violations {
    fn check(&mut self, fine: bool, origin: &Origin, reason: impl FnOnce() -> String) {
        if !fine {
            self.0.push(Violation {
                reason: reason(),
                origin: origin.clone(),
            });
        }
    }

    /// A string for the kernel: no NUL, and not longer than execve(2) takes.
    fn string(&mut self, bytes: &OsStr, origin: &Origin, what: impl Fn() -> String) {
        let bytes = bytes.as_bytes();
        self.check(!bytes.contains(&0), origin, || {
            format!("{} contains a NUL byte", what())
        });
        self.check(bytes.len() < MAX_ARG_STRLEN, origin, || {
            too_long(&what(), bytes.len())
        });
    }
}

impl Violations {
    fn host_name(&mut self, hostname: &str, origin: &Origin) {
        let length = hostname.len();
        self.check(length > 0, origin, || "a host name is not empty".to_owned());
        self.check(length <= HOST_NAME_MAX, origin, || {
            format!("the host name has {length} bytes; the kernel takes at most {HOST_NAME_MAX}")
        });
        self.check(!hostname.contains('\0'), origin, || {
            "the host name contains a NUL byte".to_owned()
        });
    }

    fn working_directory(&mut self, path: &Path, origin: &Origin) {
        self.check(path.is_absolute(), origin, || {
            format!(
                "the working directory {:?} does not begin with /",
                path.display().to_string()
            )
        });
        self.string(path.as_os_str(), origin, || {
            "the working directory".to_owned()
        });
    }

    /// A path for the kernel: something, without NUL, not longer than it takes.
    fn path(&mut self, path: &Path, origin: &Origin, what: &str) {
        let length = path.as_os_str().len();
        self.check(length > 0, origin, || format!("{what} is empty"));
        self.check(length < PATH_MAX, origin, || {
            format!(
                "{what} has {length} bytes; the kernel takes at most {}",
                PATH_MAX - 1
            )
        });
        self.check(!path.as_os_str().as_bytes().contains(&0), origin, || {
            format!("{what} contains a NUL byte")
        });
    }
}

/// `PATH_MAX` of `linux/limits.h`, the NUL included.
const PATH_MAX: usize = 4096;

fn too_long(what: &str, length: usize) -> String {
    let most = MAX_ARG_STRLEN - 1;
    format!("{what} has {length} bytes; the kernel takes at most {most}")
}

/// What is wrong with a host name that comes by itself.
pub(crate) fn host_name(hostname: &str, origin: &Origin) -> Vec<Violation> {
    let mut found = Violations(Vec::new());
    found.host_name(hostname, origin);
    found.0
}

/// What is wrong with a working directory that comes by itself.
pub(crate) fn working_directory(path: &Path, origin: &Origin) -> Vec<Violation> {
    let mut found = Violations(Vec::new());
    found.working_directory(path, origin);
    found.0
}

pub(super) fn validate(spec: &Spec) -> Vec<Violation> {
    let mut found = Violations(Vec::new());
    names(spec, &mut found);
    exec(spec, &mut found);
    numbers(spec, &mut found);
    mounts(spec, &mut found);
    limits(spec, &mut found);
    confinement(spec, &mut found);
    for mappings in [&spec.namespaces.uid_mappings, &spec.namespaces.gid_mappings] {
        id_mappings(mappings, spec, &mut found);
    }
    combinations(spec, &mut found);
    found.0
}

fn limits(spec: &Spec, found: &mut Violations) {
    let limits = &spec.limits;
    for weight in limits.cpu_weight.iter().chain(&limits.io_weight) {
        found.check((1..=10_000).contains(&weight.value), &weight.origin, || {
            "a weight is 1 to 10000".to_owned()
        });
    }
    for list in limits.cpuset_cpus.iter().chain(&limits.cpuset_mems) {
        found.check(super::cgroup::is_list(&list.value), &list.origin, || {
            format!("{:?} is no list of numbers, as in 0-2,4", list.value)
        });
    }
    if let Some(swap) = &limits.memory_swap {
        let memory = limits.memory.as_ref().map(|limit| limit.value);
        let fits = match (swap.value, memory) {
            (Swap::Unlimited, _) => true,
            (Swap::Bytes(all), Some(memory)) => memory <= all,
            (Swap::Bytes(_), None) => false,
        };
        found.check(fits, &swap.origin, || {
            "memory and swap together are at least the memory, which has to be limited too"
                .to_owned()
        });
    }
    for file in &limits.files {
        let (name, value) = &file.value;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fine = super::controller_of(name).is_some() && name.bytes().all(plain);
        found.check(fine, &file.origin, || {
            format!("{name:?} is no file of a controller, as in memory.high")
        });
        found.check(!value.is_empty(), &file.origin, || {
            "the value is empty".to_owned()
        });
    }
    if let Some(parent) = &limits.parent {
        let plain = |component| matches!(component, Component::RootDir | Component::Normal(_));
        let fine = !parent.value.as_os_str().is_empty() && parent.value.components().all(plain);
        found.check(fine, &parent.origin, || {
            "the cgroup above is a path without ..".to_owned()
        });
    }
    let parent = limits.parent.iter().map(|parent| &parent.origin);
    for origin in parent.chain(&limits.best_effort) {
        found.check(limits.any(), origin, || {
            "there is no limit for a cgroup".to_owned()
        });
    }
}

fn confinement(spec: &Spec, found: &mut Violations) {
    for rule in &spec.landlock.paths {
        let (path, origin) = (&rule.value.path, &rule.origin);
        found.path(path, origin, "the path");
        let fine = path.is_absolute() || spec.rootfs.is_none();
        found.check(fine, origin, || {
            "a path in a root filesystem of the box's own begins with /".to_owned()
        });
    }
    if let Some(origin) = &spec.landlock.strict {
        found.check(spec.landlock.any(), origin, || {
            "there is nothing for Landlock to enforce".to_owned()
        });
    }
    for mask in &spec.masks.mask {
        let path = &mask.value;
        found.path(path, &mask.origin, "the path");
        let below = |root: &str| {
            let rest = path.strip_prefix(root).ok();
            rest.is_some_and(|rest| !rest.as_os_str().is_empty())
        };
        let plain = |component| matches!(component, Component::RootDir | Component::Normal(_));
        let fine = (below("/proc") || below("/sys")) && path.components().all(plain);
        found.check(fine, &mask.origin, || {
            format!(
                "{:?} is not below /proc or /sys: cover other paths with a mount",
                path.display().to_string()
            )
        });
    }
    for mask in spec.masks.mask.iter().chain(&spec.masks.unmask) {
        only_in_rootfs(spec, &mask.origin, found);
    }
}

/// What is about a root filesystem takes one.
fn only_in_rootfs(spec: &Spec, origin: &Origin, found: &mut Violations) {
    let fine = spec.rootfs.is_some() || *origin == Origin::Default;
    found.check(fine, origin, || {
        "this is about a root filesystem of the box's own, and there is none".to_owned()
    });
}

/// The smallest page.
const PAGE: usize = 4096;

/// Ranges of ids, by themselves and among each other.
fn id_mappings(mappings: &[Setting<IdMapping>], spec: &Spec, found: &mut Violations) {
    let user = &spec.namespaces.user;
    let alone = matches!(user.value, UserNamespace::Auto | UserNamespace::IfNeeded);
    for mapping in mappings {
        found.check(alone, &mapping.origin, || {
            format!("which ids there are is said by {} already", user.origin)
        });
        let fault = mapping.value.fault();
        found.check(fault.is_none(), &mapping.origin, || {
            fault.unwrap_or_default().to_owned()
        });
    }
    if let Some(first_too_many) = mappings.get(MAX_MAPPINGS) {
        let count = mappings.len();
        found.check(false, &first_too_many.origin, || {
            format!("these are {count} ranges; the kernel takes at most {MAX_MAPPINGS}")
        });
        return;
    }
    // The kernel takes less than a page at once, of 4096 bytes at least: map_write in kernel/user_namespace.c.
    let length: usize = mappings
        .iter()
        .map(|mapping| mapping.value.to_string().len() + "\n".len())
        .sum();
    if let Some(last) = mappings.last().filter(|_| length >= PAGE) {
        found.check(false, &last.origin, || {
            format!(
                "the ranges are {length} bytes long; the kernel takes at most {}",
                PAGE - 1
            )
        });
    }
    let right = || {
        mappings
            .iter()
            .filter(|mapping| mapping.value.fault().is_none())
    };
    for (index, mapping) in right().enumerate() {
        let mut before = right().take(index);
        if let Some(other) = before.find(|other| other.value.overlaps(&mapping.value)) {
            found.check(false, &mapping.origin, || {
                format!("the range overlaps that of {}", other.origin)
            });
        }
    }
}

/// Bytes of a file in memory. Our own limit: it is kept by everyone who keeps the description.
const MAX_FILE_LEN: usize = 16 << 20;

fn mounts(spec: &Spec, found: &mut Violations) {
    if let Some(rootfs) = &spec.rootfs {
        found.path(&rootfs.value.path, &rootfs.origin, "the root filesystem");
        if let Writes::Keep(upper) = &rootfs.value.writes {
            found.path(upper, &rootfs.origin, "the upper directory");
        }
    }
    for mount in &spec.mounts {
        let (origin, mount) = (&mount.origin, &mount.value);
        found.path(&mount.target, origin, "the target");
        let plain = |component| matches!(component, Component::RootDir | Component::Normal(_));
        let inside = mount.target.is_absolute() && mount.target.components().all(plain);
        found.check(inside, origin, || {
            format!(
                "the target {:?} is not an absolute path without ..",
                mount.target.display().to_string()
            )
        });
        found.check(mount.target != Path::new("/"), origin, || {
            "nothing is mounted on / but a root filesystem".to_owned()
        });
        let bind = matches!(mount.kind, MountKind::Bind { .. });
        found.check(!mount.attributes.idmap || bind, origin, || {
            "only a bind has ids that can be mapped".to_owned()
        });
        let slave = mount.attributes.propagation == Propagation::Slave;
        found.check(!slave || spec.rootfs.is_some(), origin, || {
            "mounts of the caller can appear in a root filesystem of the box's own only".to_owned()
        });
        match &mount.kind {
            MountKind::Bind { source, .. } => found.path(source, origin, "the source"),
            MountKind::Overlay { lower, upper } => {
                let upper = upper.iter().flat_map(|(upper, work)| [upper, work]);
                for layer in lower.iter().chain(upper) {
                    found.path(layer, origin, "a layer");
                    found.check(layer.is_absolute(), origin, || {
                        "the layers of an overlay are absolute paths".to_owned()
                    });
                }
            }
            MountKind::Tmpfs { mode, .. } => {
                found.check(mode.is_none_or(|mode| mode <= 0o7777), origin, || {
                    "a mode is 0 to 7777, octal".to_owned()
                });
            }
            MountKind::File { data, mode } => {
                found.check(*mode <= 0o7777, origin, || {
                    "a mode is 0 to 7777, octal".to_owned()
                });
                found.check(data.len() <= MAX_FILE_LEN, origin, || {
                    format!(
                        "the file has {} bytes; at most {MAX_FILE_LEN} are kept in memory",
                        data.len()
                    )
                });
            }
            MountKind::Proc | MountKind::Sysfs | MountKind::Devpts | MountKind::Mqueue => {}
        }
    }
}

fn names(spec: &Spec, found: &mut Violations) {
    if let Some(name) = &spec.name {
        found.check(is_name(&name.value), &name.origin, || {
            format!(
                "the name {:?} is not 1 to {HOST_NAME_MAX} letters, digits, `_`, `.` or `-`, the first a letter or digit",
                name.value
            )
        });
    }
    if let Some(hostname) = &spec.hostname {
        found.host_name(&hostname.value, &hostname.origin);
    }
}

fn exec(spec: &Spec, found: &mut Violations) {
    let origin = &spec.exec.origin;
    found.check(!spec.exec.program.is_empty(), origin, || {
        "the command is empty".to_owned()
    });
    found.string(&spec.exec.program, origin, || "the command".to_owned());
    if let Some(arg0) = &spec.exec.arg0 {
        found.string(arg0, origin, || "argument 0".to_owned());
    }
    for (index, arg) in spec.exec.args.iter().enumerate() {
        found.string(arg, origin, || format!("argument {}", index + 1));
    }
    for change in &spec.env.changes {
        let (name, value) = &change.value;
        let escaped = || name.as_bytes().escape_ascii().to_string();
        let shown = || format!("the variable {}", escaped());
        found.check(!name.is_empty(), &change.origin, || {
            "a variable has a name".to_owned()
        });
        found.check(!name.as_bytes().contains(&b'='), &change.origin, || {
            format!("{} has a = in its name", shown())
        });
        found.string(name, &change.origin, shown);
        if let Some(value) = value {
            let what = || format!("the value of {}", escaped());
            found.string(value, &change.origin, what);
            let length = name.len() + "=".len() + value.len();
            let fits = value.len() >= MAX_ARG_STRLEN || length < MAX_ARG_STRLEN;
            found.check(fits, &change.origin, || too_long(&shown(), length));
        }
    }
}

fn numbers(spec: &Spec, found: &mut Violations) {
    if let Some(user) = &spec.user {
        let fine = user.value.uid != u32::MAX && user.value.gid != u32::MAX;
        found.check(fine, &user.origin, || {
            "the id 4294967295 means \"none\" to the kernel".to_owned()
        });
    }
    if let Some(workdir) = &spec.workdir {
        found.working_directory(&workdir.value, &workdir.origin);
    }
    if let Some(umask) = &spec.umask {
        found.check(umask.value <= 0o777, &umask.origin, || {
            "a umask is 000 to 777, octal".to_owned()
        });
    }
    if let Some(adj) = &spec.oom_score_adj {
        found.check((-1000..=1000).contains(&adj.value), &adj.origin, || {
            "an oom score adjustment is -1000 to 1000".to_owned()
        });
    }
    if let Some(nice) = &spec.nice {
        found.check((-20..=19).contains(&nice.value), &nice.origin, || {
            "a nice value is -20 to 19".to_owned()
        });
    }
    for limit in &spec.rlimits {
        found.check(limit.value.soft <= limit.value.hard, &limit.origin, || {
            "the soft limit is above the hard one".to_owned()
        });
    }
    for fd in &spec.fds {
        found.check(fd.value >= 3, &fd.origin, || {
            "descriptors from 3 on can be passed; 0, 1 and 2 always are".to_owned()
        });
    }
}

fn combinations(spec: &Spec, found: &mut Violations) {
    only_in_rootfs(spec, &spec.dev.origin, found);
    if let Some(origin) = &spec.read_only {
        only_in_rootfs(spec, origin, found);
    }
    if let (Some(hostname), Namespace::Host) = (&spec.hostname, spec.namespaces.uts.value) {
        found.check(false, &hostname.origin, || {
            format!(
                "the box has no host name of its own ({})",
                spec.namespaces.uts.origin
            )
        });
    }
    if let (Some(init), Namespace::Host) = (&spec.init, spec.namespaces.pid.value) {
        found.check(false, init, || {
            format!(
                "an init is PID 1, and the box has no process ids of its own ({})",
                spec.namespaces.pid.origin
            )
        });
    }
    if let (Some(port), false) = (
        spec.ports.first(),
        matches!(spec.namespaces.net.value, Network::Pasta),
    ) {
        found.check(false, &port.origin, || {
            "a port leads to a network that pasta connects: add --net pasta".to_owned()
        });
    }
    let supplied = spec
        .stdio
        .iter()
        .all(|&stream| stream == super::Redirect::Supplied);
    found.check(
        !(supplied && spec.tty.value == Tty::New),
        &spec.tty.origin,
        || "a new terminal has no stream left to be on: all three are redirected".to_owned(),
    );
}
