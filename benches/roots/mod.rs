// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ways to start a program in a root filesystem, each from the launch until it is reaped.

mod cgroup;
mod once;
mod straight;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use clonebox::{Command, Rootfs, Setting, Spec, Template, TemplateMounts, Writes};
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{pipe2, read, write};

use crate::floor::{Enter, Launcher, NAMESPACES, pidfd_of_self, spawned};
use crate::support::Result;
use cgroup::Layout;
use straight::{Straight, View};

/// The program of the root filesystem.
pub(crate) const PROGRAM: &str = "/exit";
/// The program that clonebox executes from a sealed file. The floor does the same, with the same one.
static SEALED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));
/// Below this the child has its own numbers.
const OWN_NUMBERS: i32 = 7;

/// A way to start the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The box's system calls, written straight, without the sealed program.
    Unsealed,
    /// The same with it.
    Floor,
    /// `Template::spawn`.
    Template,
    /// `Command::spawn`.
    Command,
    /// The last three, with limits.
    FloorLimits,
    TemplateLimits,
    CommandLimits,
    /// The floor of a template: its mounts are there, and a launch has a copy of them.
    FloorOnce,
    /// `Template::spawn` with such mounts.
    TemplateOnce,
}

impl Way {
    const ALL: [Self; 9] = [
        Self::Unsealed,
        Self::Floor,
        Self::Template,
        Self::Command,
        Self::FloorLimits,
        Self::TemplateLimits,
        Self::CommandLimits,
        Self::FloorOnce,
        Self::TemplateOnce,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unsealed => "unsealed",
            Self::Floor => "floor",
            Self::Template => "template",
            Self::Command => "command",
            Self::FloorLimits => "floor-limits",
            Self::TemplateLimits => "template-limits",
            Self::CommandLimits => "command-limits",
            Self::FloorOnce => "floor-once",
            Self::TemplateOnce => "template-once",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }
}

/// A box in clonebox's words, and what is compared with it.
struct Kind {
    straight: Straight,
    template: Template,
    command: Command,
}

impl Kind {
    fn new(root: &Path, spec: Spec, view: View, mounts: TemplateMounts) -> Result<Self> {
        let mut command = Command::from(spec);
        let template = command.template_mounts(mounts).prepare()?;
        Ok(Self {
            straight: Straight::new(root, PROGRAM, template.plan(), view),
            template,
            command,
        })
    }
}

/// All ways to start the program of one root filesystem.
pub(crate) struct Roots {
    plain: Kind,
    limited: Kind,
    /// With mounts that all launches have in common, where templates can have them.
    once: Option<Kind>,
    /// Keeps the floor's such mounts.
    _namespace: OwnedFd,
    sealed: OwnedFd,
    layout: Layout,
    launcher: Launcher,
}

impl Roots {
    pub(crate) fn new(root: &Path) -> Result<Self> {
        let mut spec = Spec::new(PROGRAM);
        spec.rootfs = Some(Setting::default_of(Rootfs {
            path: root.to_owned(),
            writes: Writes::Through,
        }));
        let mut limited = spec.clone();
        limited.limits.memory = Some(Setting::default_of(cgroup::MEMORY));
        limited.limits.pids = Some(Setting::default_of(cgroup::PIDS));
        let layout = Layout::of_host();
        let view = |limits| View {
            unified: layout.unified,
            limits,
        };
        let mounts = TemplateMounts::EachLaunch;
        let mut once = Kind::new(root, spec.clone(), view(false), TemplateMounts::Once)?;
        let namespace = above(once::namespace(root)?);
        once.straight.shared = Some(namespace.as_raw_fd());
        let plain = Kind::new(root, spec, view(false), mounts)?;
        if plain
            .template
            .plan()
            .steps()
            .any(|step| step.name() == "setns")
        {
            return Err(
                "this kernel copies no mounts for a root filesystem, as the floor does".into(),
            );
        }
        Ok(Self {
            plain,
            limited: Kind::new(root, limited, view(true), mounts)?,
            once: Some(once).filter(|once| once.template.shares_mounts()),
            _namespace: namespace,
            sealed: sealed()?,
            layout,
            launcher: Launcher::new(),
        })
    }

    /// For each kind of box: the names of the calls that the floor makes, and of those in
    /// clonebox's plan. Whoever changes the plan changes the floor with it, or measures apples.
    pub(crate) fn calls(&mut self) -> Result<Vec<(Vec<&'static str>, Vec<&'static str>)>> {
        let cgroups = self.layout.make()?;
        self.limited.straight.doors = cgroups.doors();
        cgroups.remove();
        let kinds = [Some(&self.plain), Some(&self.limited), self.once.as_ref()];
        let calls = kinds.into_iter().flatten().map(|kind| {
            let plan = kind.template.plan().steps();
            (
                kind.straight.calls(),
                plan.map(|step| step.name()).collect(),
            )
        });
        Ok(calls.collect())
    }

    /// The ways that there are here.
    pub(crate) fn ways(&self) -> Vec<Way> {
        let needs_once = [Way::FloorOnce, Way::TemplateOnce];
        let mut ways = Way::ALL.to_vec();
        ways.retain(|way| self.once.is_some() || !needs_once.contains(way));
        ways
    }

    fn once(&self) -> &Kind {
        self.once.as_ref().expect("one of the ways that there are")
    }

    /// The template whose launches have mounts in common.
    pub(crate) fn template(&self) -> Option<&Template> {
        self.once.as_ref().map(|kind| &kind.template)
    }

    /// Starts the program and waits for its end.
    pub(crate) fn launch(&mut self, way: Way) -> Duration {
        let began = Instant::now();
        let status = match way {
            Way::Unsealed => self.floor(way, straight::enter_unsealed),
            Way::Floor | Way::FloorLimits | Way::FloorOnce => self.floor(way, straight::enter),
            Way::Template => spawned(self.plain.template.spawn()),
            Way::TemplateLimits => spawned(self.limited.template.spawn()),
            Way::TemplateOnce => spawned(self.once().template.spawn()),
            Way::Command => spawned(self.plain.command.spawn()),
            Way::CommandLimits => spawned(self.limited.command.spawn()),
        };
        let time = began.elapsed();
        assert!(status.success(), "{way:?}: {status}");
        time
    }

    /// The same calls as a launch of clonebox, in the parent too.
    fn floor(&mut self, way: Way, enter: Enter<Straight>) -> ExitStatus {
        let limits = way == Way::FloorLimits;
        let cgroups = limits.then(|| self.layout.make().expect("cgroups can be made"));
        let kind = match way {
            Way::FloorLimits => &mut self.limited,
            Way::FloorOnce => self.once.as_mut().expect("one of the ways that there are"),
            _ => &mut self.plain,
        };
        let parent = above(pidfd_of_self());
        let (report, theirs) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        let theirs = above(theirs);
        kind.straight.parent.revents = 0;
        kind.straight.lent = [&parent, &self.sealed, &theirs].map(AsRawFd::as_raw_fd);
        if let Some(cgroups) = &cgroups {
            kind.straight.doors = cgroups.doors();
        }
        let unified: Option<BorrowedFd<'_>> = cgroups.as_ref().and_then(|made| made.unified());
        let mut namespaces = NAMESPACES;
        if !limits {
            namespaces |= libc::CLONE_NEWCGROUP as u64;
        }
        if kind.straight.shared.is_some() {
            namespaces &= !(libc::CLONE_NEWNS as u64);
        }
        let straight = &kind.straight;
        self.launcher.start(namespaces, unified, straight, enter);
        drop((parent, theirs));
        // The program has been executed when nobody can write to the pipe any more.
        let mut word = [0; 12];
        assert_eq!(read(&report, &mut word), Ok(0), "the program is not there");
        let status = self.launcher.wait();
        cgroups.into_iter().for_each(cgroup::Cgroups::remove);
        status
    }
}

fn sealed() -> Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let fd = memfd_create("bench-sealed", flags)?;
    write(fd.as_fd(), SEALED)?;
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(above(fd))
}

/// The same with a number that the child does not use for something else.
fn above(fd: OwnedFd) -> OwnedFd {
    if fd.as_raw_fd() >= OWN_NUMBERS {
        return fd;
    }
    let number = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(OWN_NUMBERS)).expect("a descriptor");
    // SAFETY: the descriptor is new and nobody else's.
    unsafe { OwnedFd::from_raw_fd(number) }
}
