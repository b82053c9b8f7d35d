// SPDX-License-Identifier: MIT OR Apache-2.0
//! A box that is joined: looking at it, and what the launch has open of it.
//!
//! Its first process is found by what proves that it is that (`pidfd/identity.rs`). What is read of a process id
//! was read of that process if it lives afterwards.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat, makedev, stat};
use nix::sys::statfs::{DEVPTS_SUPER_MAGIC, fstatfs};
use nix::unistd::fchown;

use super::pty::Pty;
use crate::errno;
use crate::pidfd::has_ended;
use crate::plan::{Devpts, JoinFacts};
use crate::spec::{IdMapping, Join, Spec, Tty};

const NAMESPACES: [(&str, i32); 7] = [
    ("user", libc::CLONE_NEWUSER),
    ("mnt", libc::CLONE_NEWNS),
    ("uts", libc::CLONE_NEWUTS),
    ("ipc", libc::CLONE_NEWIPC),
    ("pid", libc::CLONE_NEWPID),
    ("net", libc::CLONE_NEWNET),
    ("cgroup", libc::CLONE_NEWCGROUP),
];

/// See `Documentation/admin-guide/devices.txt` of the kernel.
const PTMX: libc::dev_t = makedev(5, 2);

/// The first process of the box.
pub(super) struct First {
    pub(super) pidfd: OwnedFd,
    directory: OwnedFd,
}

impl First {
    /// Finds it; `ESRCH` if it has ended.
    pub(super) fn find(join: &Join) -> nix::Result<Self> {
        let found = join.process.find().map_err(|error| errno::of(&error))?;
        let pidfd = found.ok_or(Errno::ESRCH)?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let path = format!("/proc/{}", join.process.pid);
        let directory = open(Path::new(&path), flags, Mode::empty());
        if has_ended(&pidfd) {
            return Err(Errno::ESRCH);
        }
        Ok(Self {
            pidfd,
            directory: directory?,
        })
    }

    /// Its root.
    pub(super) fn root(&self) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(self.directory.as_fd(), "root", flags, Mode::empty())
    }

    /// What makes terminals in its root, to look at: that of a devpts.
    fn multiplexer(&self) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let found = openat2(self.root()?, "dev/pts/ptmx", how)?;
        if fstatfs(&found)?.filesystem_type() != DEVPTS_SUPER_MAGIC {
            return Err(Errno::ENODEV);
        }
        let stat = fstat(&found)?;
        let is_device = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
        // A terminal of the same devpts would answer as well, and be one that exists.
        if !is_device || stat.st_rdev != PTMX {
            return Err(Errno::ENODEV);
        }
        Ok(found)
    }

    /// A new terminal of its devpts. What was looked at is opened: what the box puts in its place meanwhile is not.
    pub(super) fn terminal(&self, devpts: Devpts) -> nix::Result<Pty> {
        let found = self.multiplexer()?;
        let path = format!("/proc/self/fd/{}", found.as_raw_fd());
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let pty = Pty::of(open(Path::new(&path), flags, Mode::empty())?)?;
        if let Some(owner) = devpts.owner {
            fchown(&pty.pts, Some(owner.into()), None)?;
        }
        Ok(pty)
    }

    /// Whether its root has another devpts than the caller's.
    fn has_devpts(&self) -> bool {
        let its = self.multiplexer().and_then(|ptmx| fstat(&ptmx));
        its.is_ok_and(|its| stat("/dev/pts/ptmx").map_or(true, |ours| its.st_dev != ours.st_dev))
    }

    fn text(&self, name: &str) -> nix::Result<String> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(self.directory.as_fd(), name, flags, Mode::empty())?;
        let mut text = String::new();
        let read = fs::File::from(file).read_to_string(&mut text);
        read.map_err(|error| errno::of(&error))?;
        Ok(text)
    }

    /// The namespaces that are not the caller's.
    fn namespaces(&self) -> nix::Result<i32> {
        let mut flags = 0;
        for (kind, flag) in NAMESPACES {
            let name = format!("ns/{kind}");
            let its = readlinkat(self.directory.as_fd(), name.as_str())?;
            let ours = fs::read_link(format!("/proc/self/{name}"));
            if ours.map_err(|error| errno::of(&error))?.as_os_str() != its {
                flags |= flag;
            }
        }
        Ok(flags)
    }

    fn mappings(&self, name: &str) -> nix::Result<Vec<IdMapping>> {
        let text = self.text(name)?;
        let mapping = |line: &str| {
            let mut words = line.split_whitespace().map(str::parse);
            let mut next = || words.next()?.ok();
            Some(IdMapping {
                container_id: next()?,
                host_id: next()?,
                size: next()?,
            })
        };
        Ok(text.lines().filter_map(mapping).collect())
    }

    fn look(&self, tty: Tty) -> nix::Result<JoinFacts> {
        let namespaces = self.namespaces()?;
        let mut facts = JoinFacts {
            namespaces,
            devpts: matches!(tty, Tty::Auto | Tty::New) && self.has_devpts(),
            ..JoinFacts::default()
        };
        if namespaces & libc::CLONE_NEWUSER != 0 {
            facts.uids = self.mappings("uid_map")?;
            facts.gids = self.mappings("gid_map")?;
            facts.setgroups = self.text("setgroups")?.trim() == "allow";
        }
        Ok(facts)
    }
}

/// Looks at the box that a description joins.
pub(super) fn gather(spec: &Spec) -> Option<Result<JoinFacts, String>> {
    let join = &spec.join.as_ref()?.value;
    let found = First::find(join).and_then(|first| first.look(spec.tty.value));
    Some(found.map_err(|errno| match errno {
        // The namespaces of a process that is ending are gone before it is.
        Errno::ESRCH | Errno::ENOENT => format!("the box {} has ended", join.name),
        errno => format!("cannot look at the box {}: {}", join.name, errno.desc()),
    }))
}

/// The files through which a process enters a cgroup of the box, and, of version 2, the cgroup itself.
pub(super) fn cgroup(unified: bool, path: &Path) -> nix::Result<(OwnedFd, Option<OwnedFd>)> {
    let name = if unified { "cgroup.procs" } else { "tasks" };
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let door = open(&path.join(name), flags, Mode::empty())?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let into = unified.then(|| open(path, flags, Mode::empty()));
    Ok((door, into.transpose()?))
}
