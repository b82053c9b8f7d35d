// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the numbers are held against.

use std::fmt;

use super::load::Load;
use super::results::Measured;

/// The fact that says how much memory the supervisor has resident, in KiB.
pub(crate) const RSS: &str = "resident KiB of clonebox";

/// The ways of benches/startup.rs, and what they are.
pub(crate) const STARTUP: &[(&str, &str)] = &[
    ("bare", "vfork and exec, no box"),
    ("floor", "floor: the box's system calls, written straight"),
    ("template", "**clonebox**, `Template::spawn`"),
    ("command", "**clonebox**, `Command::spawn`"),
    ("reexec", "re-exec through /proc/self/exe"),
    ("fork", "clone with a copy of the page tables"),
];

/// Those of benches/command.rs.
pub(crate) const COMMAND: &[(&str, &str)] = &[
    ("target", "the program alone, no box"),
    ("c", "static C program with the same system calls"),
    ("clonebox-musl", "**clonebox**, static, musl"),
    ("clonebox", "**clonebox**, static, glibc"),
    ("tutorial", "static Rust program that executes itself"),
    ("unshare", "`unshare -u -p -m -f --mount-proc`"),
    ("bwrap", "bwrap, an equal box"),
    ("crun", "`crun run`"),
    ("runc", "`runc run`"),
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
pub(crate) fn all(startup: Option<&Measured>, command: Option<&Measured>) -> Vec<Verdict> {
    let at = |mib, way: &str| startup.and_then(|one| one.median(Load::resident(mib), way));
    let whole = |way: &str| command.and_then(|one| one.median(Load::default(), way));
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
    let kib = command.and_then(|one| one.fact(RSS)?.parse::<f64>().ok());
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
            "command at most 0.7 of unshare",
            over(whole("clonebox"), whole("unshare")),
            0.7,
        ),
        most(
            "command at most 0.35 of bwrap",
            over(whole("clonebox"), whole("bwrap")),
            0.35,
        ),
        most(
            "musl build at most 1.3 of the static C program",
            over(whole("clonebox-musl"), whole("c")),
            1.3,
        ),
        Verdict {
            unit: " MiB",
            ..most(
                "supervisor resident at most 1.5 MiB, without a pty",
                kib.map(|kib| kib / 1024.0),
                1.5,
            )
        },
    ]
}
