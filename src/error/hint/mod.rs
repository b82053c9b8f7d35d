// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ways out. Each one is printed only if a look at the host has confirmed its cause.

mod exec;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

pub(super) use exec::exec;

use crate::host;
use crate::host::caller::{CAP_SYS_ADMIN, FILTERED, is_filtered, lacks};
use crate::host::mountinfo;
use crate::host::namespace::in_first_user_namespace;
use crate::host::root::{has_security_module, is_initramfs};
use crate::host::subid;
use crate::pidfd;
use crate::plan::{CgroupFile, Filter, Plan, Step, id_list, quoted_bare, shown};
use crate::spec::{Spec, capability_name};

const CAP_SETPCAP: u8 = 8;
const CAP_SETGID: u8 = 6;
const CAP_SETUID: u8 = 7;
const CAP_NET_BIND_SERVICE: u8 = 10;
const CAP_SYS_PTRACE: u8 = 19;
const CAP_SYS_NICE: u8 = 23;
const CAP_SYS_RESOURCE: u8 = 24;
const CAP_SYS_TIME: u8 = 25;

pub(super) fn parent(action: &str, errno: Errno) -> Option<String> {
    match (action, errno) {
        ("make a terminal", Errno::ENOENT | Errno::EACCES) if !Path::new("/dev/ptmx").exists() => {
            Some("there is no /dev/ptmx here: mount devpts, or use --tty=none".to_owned())
        }
        ("make the init ready", Errno::EACCES)
            if host::read_number("/proc/sys/vm/memfd_noexec") == Some(2) =>
        {
            Some("nothing may be executed from memory here: sysctl vm.memfd_noexec=1".to_owned())
        }
        ("open the box's network namespace", Errno::EACCES) if lacks(CAP_SYS_PTRACE) => Some(
            "this process has no CAP_SYS_PTRACE, which root needs to look into a box that it starts"
                .to_owned(),
        ),
        (_, errno) => everywhere(errno),
    }
}

/// Why any call fails.
pub(super) fn everywhere(errno: Errno) -> Option<String> {
    /// More than a launch needs. A descriptor of a higher number than the limit is not called one too many by all calls.
    const ENOUGH: u64 = 32;
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    match errno {
        Errno::EMFILE => true,
        Errno::EINVAL | Errno::EBADF => limit < ENOUGH,
        _ => false,
    }
    .then(|| format!("this process may have {limit} files open (RLIMIT_NOFILE): raise ulimit -n"))
}

/// Why pasta(1) cannot connect a network.
pub(super) fn pasta(spec: &Spec) -> Option<String> {
    no_device().or_else(|| low_port(spec))
}

/// A port that the caller may not open.
fn low_port(spec: &Spec) -> Option<String> {
    const FIRST: &str = "net.ipv4.ip_unprivileged_port_start";
    let first = host::read_number("/proc/sys/net/ipv4/ip_unprivileged_port_start")?;
    let port = spec.ports.iter().map(|port| port.value.host).min()?;
    (lacks(CAP_NET_BIND_SERVICE) && u64::from(port) < first).then(|| {
        format!("this user may open ports from {first} on: take another than {port}, or sysctl {FIRST}={port}")
    })
}

fn no_device() -> Option<String> {
    const DEVICE: &str = "/dev/net/tun";
    let opened = fs::OpenOptions::new().read(true).write(true).open(DEVICE);
    let error = opened.err()?;
    match error.raw_os_error().map(Errno::from_raw)? {
        Errno::ENOENT => Some(format!("there is no {DEVICE} here: modprobe tun")),
        Errno::EACCES => Some(format!(
            "this user may not open {DEVICE}: chmod 666 {DEVICE}"
        )),
        errno => Some(format!("{DEVICE} cannot be opened here: {}", errno.desc())),
    }
}

/// Whether the box that was to be joined is not there any more.
pub(super) fn has_ended(spec: &Spec) -> bool {
    let join = spec.join.as_ref();
    join.is_some_and(|join| matches!(join.value.process.find(), Ok(None)))
}

/// The same, or whether it is about to end.
pub(super) fn ends(spec: &Spec) -> bool {
    /// How long the kernel may take to end the processes of a box. Our own choice.
    const WITHIN: Duration = Duration::from_secs(1);
    let Some(join) = &spec.join else {
        return false;
    };
    match join.value.process.find() {
        Ok(Some(first)) => pidfd::wait_until(&first, Instant::now().checked_add(WITHIN)),
        Ok(None) => true,
        Err(_) => false,
    }
}

/// Why there is no new process in a box.
pub(super) fn joined(spec: &Spec, errno: Errno) -> Option<String> {
    let join = &spec.join.as_ref()?.value;
    match errno {
        Errno::EAGAIN if !join.cgroups.is_empty() => Some(format!(
            "the box {} may have no more processes, or they are too many for this user: clonebox stats {}",
            join.name, join.name
        )),
        _ => None,
    }
}

/// Why the ids of a mount cannot be mapped.
pub(super) fn idmap(errno: Errno, path: &Path) -> Option<String> {
    match errno {
        // The mount is new, and the user namespace is: it can be about the filesystem only.
        Errno::EINVAL => {
            let kind = mountinfo::filesystem(path)?;
            Some(format!(
                "this kernel maps no ids of the filesystem {kind}: a directory on another one, or one that \
                 belongs to the box's own ids, needs no mapping"
            ))
        }
        Errno::EPERM if !in_first_user_namespace() => Some(
            "this process is in a user namespace, and the filesystem belongs to the one above"
                .to_owned(),
        ),
        _ => None,
    }
}

/// What newuidmap(1) or newgidmap(1) goes by, of which a call has failed.
pub(super) fn helper(call: &str) -> Option<String> {
    let helpers = [("newuidmap", "/etc/subuid"), ("newgidmap", "/etc/subgid")];
    let (helper, path) = helpers
        .into_iter()
        .find(|(helper, _)| call.split(' ').next() == Some(*helper))?;
    let uid = nix::unistd::geteuid().as_raw();
    let user = subid::user_name(uid).unwrap_or_else(|| uid.to_string());
    let file = fs::read_to_string(path).ok()?;
    let given = id_list(&subid::ranges(&file, &user, uid));
    Some(format!(
        "{helper} goes by {path}, which gives the user {user} {given}"
    ))
}

/// Why a limit cannot be set.
pub(super) fn limit(errno: Errno, file: Option<&CgroupFile>) -> Option<String> {
    match errno {
        Errno::EACCES | Errno::EPERM | Errno::EROFS if !nix::unistd::geteuid().is_root() => Some(
            "no cgroup has been delegated to this user: run with sudo, or under \
             systemd-run --user --scope -p Delegate=yes"
                .to_owned(),
        ),
        Errno::EACCES | Errno::EPERM if !in_first_user_namespace() => Some(
            "cgroups belong to a user namespace above this one: set the limits outside of it, or delegate one"
                .to_owned(),
        ),
        Errno::EROFS => Some(
            "cgroups are read-only here, as in a container: start it with --privileged".to_owned(),
        ),
        Errno::ENOENT if file.is_some_and(|file| file.alternative) => Some(
            "no scheduler of disks that this kernel has goes by the weights of cgroups: bfq does (modprobe bfq)"
                .to_owned(),
        ),
        Errno::EBUSY if file.is_some() => Some(
            "a cgroup that has processes hands no controller on: name one that has none with --cgroup-parent"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Why the kernel makes no namespaces.
pub(super) fn clone(errno: Errno, plan: &Plan) -> Option<String> {
    let user = plan.clone.flags & libc::CLONE_NEWUSER as u64 != 0;
    match errno {
        Errno::EPERM if !user && lacks(CAP_SYS_ADMIN) => Some(
            "this process has no CAP_SYS_ADMIN: run with sudo, or leave out --userns host"
                .to_owned(),
        ),
        Errno::EAGAIN => {
            let (limit, _) = getrlimit(Resource::RLIMIT_NPROC).ok()?;
            (limit != u64::MAX).then(|| format!("this user may have {limit} processes: ulimit -u"))
        }
        errno if user => host::userns::refusal(errno),
        _ => None,
    }
}

/// A step after the one that installs the box's filter, which answers so.
fn by_own_filter(step: &Step, errno: Errno, plan: &Plan) -> Option<String> {
    const ERRNO: u32 = 0x0005_0000;
    let filter = plan.seccomp.as_ref()?;
    let mut after = plan
        .steps
        .iter()
        .skip_while(|one| one.call.name != "seccomp");
    after.next()?;
    after.find(|one| std::ptr::eq(*one, step))?;
    let call = step.call.lower();
    let args = call.args.map(|arg| match arg {
        clonebox_child::Arg::Word(word) => word as u64,
        _ => 0,
    });
    let answer = filter.answer(call.number, args)?;
    (answer == ERRNO | (errno as i32).cast_unsigned()).then(|| {
        format!(
            "the seccomp filter ({}) answers so: without no_new_privs it comes before this step",
            filter.origin
        )
    })
}

pub(super) fn step(step: &Step, errno: Errno, plan: &Plan, spec: &Spec) -> Option<String> {
    if let Some(hint) = by_own_filter(step, errno, plan) {
        return Some(hint);
    }
    let user = plan.clone.flags & libc::CLONE_NEWUSER as u64 != 0;
    let missing = |capability| {
        lacks(capability).then(|| format!("this process has no {}", capability_name(capability)))
    };
    match (step.call.name, errno) {
        (_, Errno::ENOMEM | Errno::ENOSPC) | ("execveat", Errno::E2BIG) if let Some(hint) = memory(spec) => Some(hint),
        ("mount", Errno::EPERM) if user && !is_filtered() => host::proc::refusal(),
        ("mount", Errno::EINVAL) if host::caller::is_in_chroot() => Some(
            "this process is in a chroot, whose root is no mount: mount --bind it on itself before".to_owned(),
        ),
        ("mount", Errno::ENOENT) if !Path::new("/proc").is_dir() => Some("there is no directory /proc".to_owned()),
        ("openat" | "write", _) if &*step.action == "set the oom score adjustment" => missing(CAP_SYS_RESOURCE)
            .map(|reason| format!("{reason}: the score can be raised, not lowered")),
        ("openat" | "write", Errno::EPERM | Errno::EACCES) if user && &*step.action == "set the clocks' offsets" => None,
        ("openat", Errno::EACCES) if user && !nix::sys::prctl::get_dumpable().unwrap_or(true) => {
            Some("this process is not dumpable, so its /proc is root's: is the executable unreadable?".to_owned())
        }
        ("openat", Errno::ENOENT) if !Path::new("/proc/self").exists() => Some("/proc is not mounted here".to_owned()),
        ("unshare", Errno::EINVAL) if !Path::new("/proc/self/ns/time").exists() => {
            Some("this kernel has no time namespaces (since Linux 5.6)".to_owned())
        }
        ("write", Errno::EPERM) if &*step.action == "set the clocks' offsets" => missing(CAP_SYS_TIME),
        ("seccomp", Errno::ENOSYS) => Some("this kernel has no seccomp filters: --seccomp off".to_owned()),
        // The only reason for it: seccomp(2).
        ("seccomp", Errno::EBUSY) => Some(
            "a filter above this process has a listener (of a container, or of another trace), and the kernel takes one only"
                .to_owned(),
        ),
        ("seccomp", Errno::EACCES) if !spec.no_new_privs.value && lacks(CAP_SYS_ADMIN) => {
            missing(CAP_SYS_ADMIN).map(|reason| format!("{reason}, which a filter needs with new privileges"))
        }
        ("seccomp", Errno::EINVAL) if plan.seccomp.as_ref().is_some_and(Filter::reads_scratch) => {
            Some("the program reads scratch memory, which the kernel refuses before it was written".to_owned())
        }
        ("close_range", Errno::ENOSYS) => Some("this kernel has no close_range(2): Linux 5.9 or later is needed".to_owned()),
        ("keyctl", Errno::EDQUOT) => Some(
            "this user has as many keys as the kernel allows: sysctl kernel.keys.maxkeys, or --keyring host".to_owned(),
        ),
        ("prlimit64", Errno::EPERM) => {
            missing(CAP_SYS_RESOURCE).map(|reason| format!("{reason}: a hard limit can be lowered, not raised"))
        }
        ("setpriority", Errno::EACCES | Errno::EPERM) => {
            missing(CAP_SYS_NICE).or_else(|| user.then(|| "the box is in a user namespace".to_owned()))
                .map(|reason| format!("{reason}: the nice value can be raised, not lowered"))
        }
        ("setgroups" | "setresgid", Errno::EPERM) => missing(CAP_SETGID),
        ("setresuid", Errno::EPERM) => missing(CAP_SETUID),
        ("setgroups" | "setresgid" | "setresuid", Errno::EINVAL) if let Some(join) = &spec.join => Some(format!(
            "the user namespace of the box {} has no such id: one that is started with --userns auto has many",
            join.value.name
        )),
        ("setresuid", Errno::EAGAIN) => Some("the user has reached a limit of processes: ulimit -u".to_owned()),
        ("prctl" | "capset", Errno::EPERM) if !user => missing(CAP_SETPCAP),
        ("fcntl", Errno::EBADF) => Some("the caller has no such descriptor open".to_owned()),
        ("chdir", Errno::ENOENT) => spec.workdir.as_ref().and_then(|workdir| missing_parent(&workdir.value)),
        (_, Errno::EPERM) if user && is_filtered() => Some(FILTERED.to_owned()),
        ("openat2" | "openat", Errno::ELOOP | Errno::ENOTDIR) if spec.rootfs.is_some() => mount_point(step, spec),
        ("openat2" | "openat", Errno::ENOENT) if spec.rootfs.is_none() && !spec.mounts.is_empty() => Some(
            "without a root filesystem of the box's own nothing is made: make the directory, or mount on one that is there"
                .to_owned(),
        ),
        ("open_tree", Errno::ENOENT) if step.action.starts_with("make a mount of ") => {
            Some("nothing is made on the host: make it first".to_owned())
        }
        ("open_tree" | "move_mount" | "mount_setattr" | "fsopen" | "fsmount", Errno::ENOSYS) => {
            Some(format!("this kernel has no {}(2), or a filter forbids it", step.call.name))
        }
        ("execveat", Errno::ENOENT) if plan.role.is_some() && has_security_module("tomoyo") => Some(
            "the kernel's TOMOYO looks for the file in /dev/fd, which this box has not: leave out --proc off and --dev none"
                .to_owned(),
        ),
        ("pivot_root", Errno::EINVAL) if is_initramfs() => Some(
            "the root here is the initial ramfs, from which the kernel does not pivot: switch_root to another first"
                .to_owned(),
        ),
        _ => None,
    }
}

/// One of the directories for the kernel's filesystems that is none.
fn mount_point(step: &Step, spec: &Spec) -> Option<String> {
    let rootfs = &spec.rootfs.as_ref()?.value.path;
    let name = ["proc", "sys", "dev"]
        .into_iter()
        .find(|name| *step.action == format!("find /{name} in the root"))?;
    let path = rootfs.join(name);
    let found = path.symlink_metadata().ok()?;
    let what = if found.is_symlink() {
        "a symbolic link"
    } else if found.is_dir() {
        return None;
    } else {
        "no directory"
    };
    Some(format!(
        "{} is {what}, and a mount point must be a directory",
        shown(&path)
    ))
}

fn missing_parent(path: &Path) -> Option<String> {
    let missing = path.ancestors().take_while(|part| !part.exists()).last()?;
    (missing != path).then(|| {
        format!(
            "{} does not exist either",
            quoted_bare(missing.as_os_str().as_bytes())
        )
    })
}

/// A limit of memory that is too little for the set-up, which is limited already. execve(2) says E2BIG if it
/// gets no memory for the arguments, a tmpfs of Linux 5.10 ENOSPC.
fn memory(spec: &Spec) -> Option<String> {
    /// What docker asks for at least, and several times what we have seen needed.
    const PLENTY: u64 = 6 << 20;
    let limit = spec.limits.memory.as_ref()?;
    (limit.value < PLENTY).then(|| {
        format!(
            "the box is set up within its limit of memory, and {} leaves too little: 6m is enough",
            limit.origin
        )
    })
}
