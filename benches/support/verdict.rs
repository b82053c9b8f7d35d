// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the numbers are held against.

use std::fmt;

use super::load::Load;
use super::results::All;

/// The fact that says how much memory a build of clonebox has resident while its box sleeps, in KiB.
pub(crate) fn resident(build: &str) -> String {
    format!("resident KiB of {build}")
}

/// The ways of benches/startup.rs, and what they are.
pub(crate) const STARTUP: &[(&str, &str)] = &[
    ("bare", "vfork and exec, no box"),
    ("floor", "floor: the box's system calls, written straight"),
    ("template", "**clonebox**, `Template::spawn`"),
    ("command", "**clonebox**, `Command::spawn`"),
    ("reexec", "re-exec through /proc/self/exe"),
    ("fork", "clone with a copy of the page tables"),
];

/// Those of benches/rootfs.rs.
pub(crate) const ROOTFS: &[(&str, &str)] = &[
    (
        "unsealed",
        "the box's system calls, written straight, without the sealed program",
    ),
    ("floor", "floor: the same with it"),
    ("template", "**clonebox**, `Template::spawn`"),
    ("command", "**clonebox**, `Command::spawn`"),
    ("floor-limits", "floor with limits"),
    (
        "template-limits",
        "**clonebox** with limits, `Template::spawn`",
    ),
    (
        "command-limits",
        "**clonebox** with limits, `Command::spawn`",
    ),
    (
        "floor-once",
        "floor of a template: its mounts are there, a launch copies them",
    ),
    (
        "template-once",
        "**clonebox** with mounts that are made once, `Template::spawn`",
    ),
];

/// Those of benches/command.rs without a root filesystem.
pub(crate) const COMMAND: &[(&str, &str)] = &[
    ("target", "the program alone, no box"),
    ("c", "static C program with the same system calls, musl"),
    (
        "c-glibc",
        "static C program with the same system calls, glibc",
    ),
    (
        "clonebox-musl",
        "**clonebox**, static, musl: as it is installed",
    ),
    (
        "clonebox",
        "**clonebox**, static, glibc: as `cargo build --release` makes it",
    ),
    ("tutorial", "static Rust program that executes itself"),
    ("unshare", "`unshare -u -p -m -f --mount-proc`"),
    ("bwrap", "bwrap, an equal box"),
    ("crun", "`crun run`"),
    ("runc", "`runc run`"),
];

/// Those with one.
pub(crate) const IN_ROOT: &[(&str, &str)] = &[
    (
        "clonebox-root",
        "**clonebox**, musl, with a root filesystem",
    ),
    ("crun-root", "`crun run`, the same mounts"),
    ("runc-root", "`runc run`, the same mounts"),
    (
        "clonebox-limits",
        "**clonebox**, musl, with a root filesystem and limits",
    ),
    (
        "clonebox-userns",
        "**clonebox**, musl, with a root filesystem whose ids are mapped",
    ),
    ("crun-limits", "`crun run`, the same mounts and limits"),
    ("runc-limits", "`runc run`, the same mounts and limits"),
];

/// One target: a line of a table.
#[derive(Debug)]
pub(crate) struct Verdict {
    target: &'static str,
    measured: Option<f64>,
    limit: f64,
    unit: &'static str,
    /// Whether the measured number must not be below the limit; it must not be above otherwise.
    at_least: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(measured) = self.measured else {
            return write!(f, "| {} | not measured | |", self.target);
        };
        let met = if self.at_least {
            measured >= self.limit
        } else {
            measured <= self.limit
        };
        let word = if met { "met" } else { "**missed**" };
        write!(
            f,
            "| {} | {measured:.2}{} | {word} |",
            self.target, self.unit
        )
    }
}

/// All targets of the project.
pub(crate) fn all(all: &All) -> Vec<Verdict> {
    let at = |mib, way: &str| all.startup.as_ref()?.median(Load::resident(mib), way);
    let with = |mounts, way: &str| all.rootfs.as_ref()?.median(Load::mounts(mounts), way);
    let whole = |way: &str| all.command.as_ref()?.median(Load::default(), way);
    let loaded = |mounts, way: &str| all.command.as_ref()?.median(Load::mounts(mounts), way);
    let there = |way: &str| all.vm_command.as_ref()?.median(Load::mounts(20), way);
    let over = |one: Option<f64>, other: Option<f64>| Some(one? / other?);
    let most = |target, measured, limit| Verdict {
        target,
        measured,
        limit,
        unit: "",
        at_least: false,
    };
    let least = |target, measured, limit| Verdict {
        at_least: true,
        unit: "×",
        ..most(target, measured, limit)
    };
    let ratio = |target, way, other, limit| most(target, over(whole(way), whole(other)), limit);
    let mib = |build: &str| {
        let kib = all.command.as_ref()?.fact(&resident(build))?;
        Some(kib.parse::<f64>().ok()? / 1024.0)
    };
    let memory = |target, build| Verdict {
        unit: " MiB",
        ..most(target, mib(build), 1.5)
    };
    vec![
        most(
            "`Template::spawn` at most 1.10 of its floor",
            over(at(0, "template"), at(0, "floor")),
            1.10,
        ),
        most(
            "`Command::spawn` at most 1.10 of its floor",
            over(at(0, "command"), at(0, "floor")),
            1.10,
        ),
        most(
            "with 4 GiB resident at most 1.10 of with nothing",
            over(at(4096, "template"), at(0, "template")),
            1.10,
        ),
        least(
            "at least 2 times as fast as re-exec, with nothing resident",
            over(at(0, "reexec"), at(0, "template")),
            2.0,
        ),
        least(
            "at least 50 times as fast as a copying clone, with 1 GiB resident",
            over(at(1024, "fork"), at(1024, "template")),
            50.0,
        ),
        most(
            "with a root filesystem, `Template::spawn` at most 1.10 of its floor",
            over(with(20, "template"), with(20, "floor")),
            1.10,
        ),
        most(
            "with a root filesystem, `Command::spawn` at most 1.10 of its floor",
            over(with(20, "command"), with(20, "floor")),
            1.10,
        ),
        most(
            "with a root filesystem and 2,000 host mounts, `Template::spawn` at most 1.10 of its floor",
            over(with(2000, "template"), with(2000, "floor")),
            1.10,
        ),
        most(
            "with mounts that are made once, `Template::spawn` at most 1.10 of its floor",
            over(with(20, "template-once"), with(20, "floor-once")),
            1.10,
        ),
        most(
            "with mounts that are made once, 2,000 host mounts at most 1.15 of 20",
            over(with(2000, "template-once"), with(20, "template-once")),
            1.15,
        ),
        most(
            "with a root filesystem and limits, `Template::spawn` at most 1.10 of its floor",
            over(with(20, "template-limits"), with(20, "floor-limits")),
            1.10,
        ),
        ratio(
            "command as installed (musl) at most 0.7 of unshare",
            "clonebox-musl",
            "unshare",
            0.7,
        ),
        ratio(
            "command as installed (musl) at most 0.35 of bwrap",
            "clonebox-musl",
            "bwrap",
            0.35,
        ),
        ratio(
            "command as installed (musl) at most 1.3 of the static C program",
            "clonebox-musl",
            "c",
            1.3,
        ),
        ratio(
            "command built for glibc at most 1.3 of the static C program with glibc",
            "clonebox",
            "c-glibc",
            1.3,
        ),
        ratio(
            "command built for glibc at most 0.7 of unshare",
            "clonebox",
            "unshare",
            0.7,
        ),
        ratio(
            "command built for glibc at most 0.35 of bwrap",
            "clonebox",
            "bwrap",
            0.35,
        ),
        ratio(
            "with a root filesystem at most 1/5 of crun",
            "clonebox-root",
            "crun-root",
            0.2,
        ),
        ratio(
            "with a root filesystem at most 1/20 of runc",
            "clonebox-root",
            "runc-root",
            0.05,
        ),
        ratio(
            "with a root filesystem and limits at most 1/5 of crun",
            "clonebox-limits",
            "crun-limits",
            0.2,
        ),
        ratio(
            "with a root filesystem and limits at most 1/20 of runc",
            "clonebox-limits",
            "runc-limits",
            0.05,
        ),
        most(
            "with 2,000 host mounts and a root filesystem at most 1/5 of crun",
            over(loaded(2000, "clonebox-root"), loaded(2000, "crun-root")),
            0.2,
        ),
        most(
            "on version 2 of cgroups, with a root filesystem and limits, at most 1/5 of crun",
            over(there("clonebox-limits"), there("crun-limits")),
            0.2,
        ),
        most(
            "on version 2 of cgroups, with a root filesystem and limits, at most 1/20 of runc",
            over(there("clonebox-limits"), there("runc-limits")),
            0.05,
        ),
        memory(
            "supervisor as installed (musl) resident at most 1.5 MiB, without a pty",
            "clonebox-musl",
        ),
        memory(
            "supervisor built for glibc resident at most 1.5 MiB, without a pty",
            "clonebox",
        ),
    ]
}
