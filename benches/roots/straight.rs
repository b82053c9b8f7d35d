// SPDX-License-Identifier: MIT OR Apache-2.0
//! The child's system calls of a box with a root filesystem, written straight.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use clonebox::Plan;

use crate::floor::child::{Kernel, Linux, Privileges, attach, call, exit, own_mounts, own_name};

/// Where the child has what the launch lends it.
const REPORT: usize = 3;
const PARENT: usize = 4;
const INIT: usize = 5;
/// The null device, by which files of /proc are covered.
const NULL: usize = 6;

const LOOK_UP: usize = (libc::O_PATH | libc::O_CLOEXEC | libc::O_DIRECTORY) as usize;
const CAREFUL: usize = (libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC) as usize;
const STRICT: usize = (libc::MS_NOSUID | libc::MS_NOEXEC) as usize;
const READ_ONLY: usize = libc::MS_RDONLY as usize;
const BIND: usize = libc::MS_BIND as usize;
const RECURSIVE: usize = libc::MS_REC as usize;
const REMOUNT: usize = libc::MS_REMOUNT as usize;
const EMPTY_PATH: usize = libc::AT_EMPTY_PATH as usize;

const READ_ONLY_IN_PROC: [&CStr; 5] = [c"bus", c"fs", c"irq", c"sys", c"sysrq-trigger"];
const MASKED_FILES: [&CStr; 7] = [
    c"interrupts",
    c"kcore",
    c"keys",
    c"latency_stats",
    c"sched_debug",
    c"timer_list",
    c"timer_stats",
];
const MASKED_IN_PROC: [&CStr; 3] = [c"acpi", c"asound", c"scsi"];
const MASKED_IN_SYS: [&CStr; 2] = [c"firmware", c"devices/virtual/powercap"];
const DEVICES: [(&CStr, u32, u32); 6] = [
    (c"null", 1, 3),
    (c"zero", 1, 5),
    (c"full", 1, 7),
    (c"random", 1, 8),
    (c"urandom", 1, 9),
    (c"tty", 5, 0),
];
const LINKS: [(&CStr, &CStr); 5] = [
    (c"ptmx", c"pts/ptmx"),
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
];

/// What is in /sys/fs/cgroup of the box. The namespace for it is made by the clone, or, with limits, by the
/// child when it is in its cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Its cgroup of version 2.
    pub(super) unified: bool,
    /// It has limits; of version 1 it sees the hierarchies that have them.
    pub(super) limits: bool,
}

/// What the child needs, ready for the kernel.
pub(super) struct Straight {
    /// The parent's pidfd, at the number that it has in the child.
    pub(super) parent: libc::pollfd,
    /// What the launch lends: the parent's pidfd, the sealed program, where it reports to.
    pub(super) lent: [RawFd; 3],
    /// What the box sees of cgroups.
    pub(super) view: View,
    /// The mount namespace that all launches have in common, if there is one.
    pub(super) shared: Option<RawFd>,
    /// The files through which it enters cgroups of version 1.
    pub(super) doors: Vec<RawFd>,
    root: CString,
    /// What the sealed program is told, which ends in the words of the program itself.
    words: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    /// Owns what `words` and `envp` point to.
    _strings: Vec<CString>,
    privileges: Privileges,
}

impl Straight {
    pub(super) fn new(root: &Path, program: &str, plan: &Plan, view: View) -> Self {
        let text = |bytes: &[u8]| CString::new(bytes).unwrap_or_default();
        let told = ["exec", "3", "none", "1", program, program];
        let words: Vec<CString> = told.iter().map(|word| text(word.as_bytes())).collect();
        let environment: Vec<CString> = std::env::vars_os()
            .map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect();
        let array = |strings: &[CString]| {
            let addresses = strings.iter().map(|string| string.as_ptr());
            addresses.chain([ptr::null()]).collect()
        };
        Self {
            parent: libc::pollfd {
                fd: PARENT as RawFd,
                events: libc::POLLIN,
                revents: 0,
            },
            lent: [-1; 3],
            view,
            shared: None,
            doors: Vec::new(),
            root: text(root.as_os_str().as_bytes()),
            words: array(&words),
            envp: array(&environment),
            _strings: words.into_iter().chain(environment).collect(),
            privileges: Privileges::of(plan),
        }
    }

    /// The names of the calls, to be compared with the plan's.
    pub(super) fn calls(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        make_box(&mut names, self);
        names.push("execveat");
        names
    }
}

/// Makes the box and executes the sealed program, which executes the box's: behind the launcher's own
/// executable nobody could follow /proc/self/exe (CVE-2019-5736).
pub(super) extern "C" fn enter(straight: &Straight) -> ! {
    make_box(&mut Linux, straight);
    let (words, envp) = (
        straight.words.as_ptr().addr(),
        straight.envp.as_ptr().addr(),
    );
    let args = [INIT, c"".as_ptr().addr(), words, envp, EMPTY_PATH];
    call(libc::SYS_execveat, args);
    exit()
}

/// The same without the sealed program: what it costs is the difference.
pub(super) extern "C" fn enter_unsealed(straight: &Straight) -> ! {
    make_box(&mut Linux, straight);
    // SAFETY: the words of the sealed program are before those of the box's, which has one and a NULL.
    let argv = unsafe { straight.words.as_ptr().add(straight.words.len() - 2) };
    // SAFETY: the element is one of the array.
    let program = unsafe { *argv }.addr();
    call(
        libc::SYS_execve,
        [program, argv.addr(), straight.envp.as_ptr().addr()],
    );
    exit()
}

/// mount(2) of something that not every kernel has.
#[inline(always)]
fn try_mount(kernel: &mut impl Kernel, args: [usize; 5]) {
    let result = kernel.make("mount", libc::SYS_mount, args);
    if result < 0 && result != -(libc::ENOENT as isize) {
        exit();
    }
}

/// An address of a constant.
fn at(text: &'static CStr) -> usize {
    text.as_ptr().addr()
}

#[inline(always)]
fn make_box<K: Kernel>(kernel: &mut K, straight: &Straight) {
    for (lent, (number, flags)) in straight.lent.into_iter().zip([
        (PARENT, libc::O_CLOEXEC),
        (INIT, libc::O_CLOEXEC),
        (REPORT, 0),
    ]) {
        kernel.call(
            "dup3",
            libc::SYS_dup3,
            [lent as usize, number, flags as usize],
        );
    }
    // A number that the null device will have.
    let args = [straight.lent[2] as usize, NULL, libc::O_CLOEXEC as usize];
    kernel.call("dup3", libc::SYS_dup3, args);
    let enter_cgroups = |kernel: &mut K| enter_cgroups(kernel, straight);
    attach(kernel, &straight.parent, enter_cgroups);
    own_name(kernel);
    match straight.shared {
        Some(namespace) => take_root(kernel, straight, namespace as usize),
        None => put_root(kernel, straight),
    }
    let close = [INIT + 1, u32::MAX as usize, 0];
    kernel.call("close_range", libc::SYS_close_range, close);
    straight.privileges.lose(kernel);
}

/// A copy of the mounts that are there, and what is new in each box.
#[inline(always)]
fn take_root(kernel: &mut impl Kernel, straight: &Straight, namespace: usize) {
    let flags = libc::CLONE_NEWNS as usize;
    kernel.call("setns", libc::SYS_setns, [namespace, flags]);
    kernel.call("unshare", libc::SYS_unshare, [flags]);
    let umask = kernel.call("umask", libc::SYS_umask, [0]);
    let args = [libc::AT_FDCWD as usize, at(c"/"), LOOK_UP];
    let root = kernel.call("openat", libc::SYS_openat, args);
    mount_all(kernel, root, straight.view);
    kernel.call("close", libc::SYS_close, [root]);
    kernel.call("chdir", libc::SYS_chdir, [at(c"/")]);
    kernel.call("umask", libc::SYS_umask, [umask]);
}

/// The root, what is new in each box, and the end of what was the root before.
#[inline(always)]
fn put_root(kernel: &mut impl Kernel, straight: &Straight) {
    own_mounts(kernel);
    let (cwd, umask, root) = make_root(kernel, &straight.root);
    mount_all(kernel, root, straight.view);
    kernel.call("close", libc::SYS_close, [cwd]);
    kernel.call("fchdir", libc::SYS_fchdir, [root]);
    kernel.call("close", libc::SYS_close, [root]);
    kernel.call("pivot_root", libc::SYS_pivot_root, [at(c"."), at(c".")]);
    let detach = [at(c"."), libc::MNT_DETACH as usize];
    kernel.call("umount2", libc::SYS_umount2, detach);
    kernel.call("chdir", libc::SYS_chdir, [at(c"/")]);
    kernel.call("umask", libc::SYS_umask, [umask]);
}

#[inline(always)]
fn mount_all(kernel: &mut impl Kernel, root: usize, view: View) {
    mount_dev(kernel, root);
    mount_proc(kernel, root);
    mount_sys(kernel, root);
    mount_cgroups(kernel, view);
}

#[inline(always)]
fn enter_cgroups(kernel: &mut impl Kernel, straight: &Straight) {
    for &door in &straight.doors {
        kernel.call("write", libc::SYS_write, [door as usize, at(c"0"), 1]);
    }
    if straight.view.limits {
        let args = [libc::CLONE_NEWCGROUP as usize];
        kernel.call("unshare", libc::SYS_unshare, args);
    }
}

/// A mount of the directory on itself; the caller's working directory and umask, and the root.
#[inline(always)]
fn make_root(kernel: &mut impl Kernel, path: &CStr) -> (usize, usize, usize) {
    let here = libc::AT_FDCWD as usize;
    let cwd = kernel.call("openat", libc::SYS_openat, [here, at(c"."), LOOK_UP]);
    let args = [here, path.as_ptr().addr(), LOOK_UP];
    let rootfs = kernel.call("openat", libc::SYS_openat, args);
    let umask = kernel.call("umask", libc::SYS_umask, [0]);
    let flags = libc::OPEN_TREE_CLONE as usize | libc::OPEN_TREE_CLOEXEC as usize;
    let flags = flags | EMPTY_PATH | libc::AT_RECURSIVE as usize;
    let root = kernel.call("open_tree", libc::SYS_open_tree, [rootfs, at(c""), flags]);
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    let args = [root, at(c""), rootfs, at(c""), flags as usize];
    kernel.call("move_mount", libc::SYS_move_mount, args);
    kernel.call("close", libc::SYS_close, [rootfs]);
    (cwd, umask, root)
}

/// Finds a directory of the root that is no link.
#[inline(always)]
fn find(kernel: &mut impl Kernel, root: usize, name: &'static CStr) -> usize {
    let inside = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS | libc::RESOLVE_NO_SYMLINKS;
    let how = [LOOK_UP as u64, 0, inside];
    let args = [root, at(name), how.as_ptr().addr(), 24];
    kernel.call("openat2", libc::SYS_openat2, args)
}

#[inline(always)]
fn enter_directory(kernel: &mut impl Kernel, directory: usize) {
    kernel.call("fchdir", libc::SYS_fchdir, [directory]);
    kernel.call("close", libc::SYS_close, [directory]);
}

#[inline(always)]
fn cover(kernel: &mut impl Kernel, names: &[&'static CStr]) {
    for name in names {
        let (tmpfs, data) = (at(c"tmpfs"), at(c"nr_blocks=1,nr_inodes=1"));
        let args = [tmpfs, at(name), tmpfs, CAREFUL | READ_ONLY, data];
        try_mount(kernel, args);
    }
}

#[inline(always)]
fn mount_proc(kernel: &mut impl Kernel, root: usize) {
    let mut structure = [0u64; 32];
    let place = find(kernel, root, c"proc");
    enter_directory(kernel, place);
    let args = [at(c"proc"), at(c"."), at(c"proc"), CAREFUL, 0];
    kernel.call("mount", libc::SYS_mount, args);
    let place = find(kernel, root, c"proc");
    enter_directory(kernel, place);
    let args = [at(c"."), structure.as_mut_ptr().addr()];
    kernel.call("statfs", libc::SYS_statfs, args);
    for name in READ_ONLY_IN_PROC {
        let name = at(name);
        try_mount(kernel, [name, name, 0, BIND | RECURSIVE, 0]);
        let args = [0, name, 0, REMOUNT | BIND | READ_ONLY | CAREFUL, 0];
        try_mount(kernel, args);
    }
    let dev = find(kernel, root, c"dev");
    let flags = (libc::O_PATH | libc::O_CLOEXEC | libc::O_NOFOLLOW) as usize;
    let null = kernel.call("openat", libc::SYS_openat, [dev, at(c"null"), flags]);
    kernel.call("close", libc::SYS_close, [dev]);
    let args = [
        null,
        at(c""),
        EMPTY_PATH,
        libc::STATX_TYPE as usize,
        structure.as_mut_ptr().addr(),
    ];
    kernel.call("statx", libc::SYS_statx, args);
    let args = [null, NULL, libc::O_CLOEXEC as usize];
    kernel.call("dup3", libc::SYS_dup3, args);
    kernel.call("close", libc::SYS_close, [null]);
    for name in MASKED_FILES {
        try_mount(kernel, [at(c"self/fd/6"), at(name), 0, BIND, 0]);
    }
    cover(kernel, &MASKED_IN_PROC);
}

#[inline(always)]
fn mount_sys(kernel: &mut impl Kernel, root: usize) {
    let place = find(kernel, root, c"sys");
    enter_directory(kernel, place);
    let args = [at(c"sysfs"), at(c"."), at(c"sysfs"), CAREFUL | READ_ONLY, 0];
    kernel.call("mount", libc::SYS_mount, args);
    let place = find(kernel, root, c"sys");
    let attributes = libc::MOUNT_ATTR_RDONLY
        | libc::MOUNT_ATTR_NOSUID
        | libc::MOUNT_ATTR_NODEV
        | libc::MOUNT_ATTR_NOEXEC;
    let attributes = [attributes, 0, libc::MS_PRIVATE, 0];
    let flags = EMPTY_PATH | libc::AT_RECURSIVE as usize;
    let args = [place, at(c""), flags, attributes.as_ptr().addr(), 32];
    kernel.call("mount_setattr", libc::SYS_mount_setattr, args);
    enter_directory(kernel, place);
    cover(kernel, &MASKED_IN_SYS);
}

#[inline(always)]
fn mount_cgroups(kernel: &mut impl Kernel, view: View) {
    if !view.unified && !view.limits {
        return;
    }
    let place = at(c"fs/cgroup");
    if view.unified {
        let kind = at(c"cgroup2");
        kernel.call("mount", libc::SYS_mount, [kind, place, kind, CAREFUL, 0]);
    } else {
        let tmpfs = at(c"tmpfs");
        let args = [tmpfs, place, tmpfs, CAREFUL, at(c"mode=755")];
        kernel.call("mount", libc::SYS_mount, args);
        for (place, name) in [
            (c"fs/cgroup/memory", c"memory"),
            (c"fs/cgroup/pids", c"pids"),
        ] {
            let (here, place, kind) = (libc::AT_FDCWD as usize, at(place), at(c"cgroup"));
            kernel.call("mkdirat", libc::SYS_mkdirat, [here, place, 0o755]);
            let args = [kind, place, kind, CAREFUL | READ_ONLY, at(name)];
            kernel.call("mount", libc::SYS_mount, args);
        }
    }
    let args = [0, place, 0, REMOUNT | BIND | READ_ONLY | CAREFUL, 0];
    kernel.call("mount", libc::SYS_mount, args);
}

#[inline(always)]
fn mount_dev(kernel: &mut impl Kernel, root: usize) {
    let place = find(kernel, root, c"dev");
    enter_directory(kernel, place);
    let tmpfs = at(c"tmpfs");
    let flags = STRICT | libc::MS_STRICTATIME as usize;
    let args = [tmpfs, at(c"."), tmpfs, flags, at(c"mode=755,size=65536k")];
    kernel.call("mount", libc::SYS_mount, args);
    let dev = find(kernel, root, c"dev");
    kernel.call("fchdir", libc::SYS_fchdir, [dev]);
    for (name, major, minor) in DEVICES {
        let mode = (libc::S_IFCHR | 0o666) as usize;
        let args = [dev, at(name), mode, libc::makedev(major, minor) as usize];
        kernel.call("mknodat", libc::SYS_mknodat, args);
    }
    for (name, target) in LINKS {
        kernel.call(
            "symlinkat",
            libc::SYS_symlinkat,
            [at(target), dev, at(name)],
        );
    }
    let terminals = c"newinstance,ptmxmode=0666,mode=0620,gid=5";
    let shared = c"mode=1777,size=65536k";
    for (name, kind, flags, data) in [
        (c"pts", c"devpts", STRICT, terminals),
        (c"shm", c"tmpfs", CAREFUL, shared),
    ] {
        kernel.call("mkdirat", libc::SYS_mkdirat, [dev, at(name), 0o755]);
        let args = [at(kind), at(name), at(kind), flags, at(data)];
        kernel.call("mount", libc::SYS_mount, args);
    }
    kernel.call("close", libc::SYS_close, [dev]);
}
