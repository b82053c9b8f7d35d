// SPDX-License-Identifier: MIT OR Apache-2.0
//! What works here for this caller, what does not, and the way out.
//!
//! Whatever can be tried is tried: the boxes are started, up to an execve(2) of a program that is not there,
//! and a system call is asked for nothing. The kernel's version is shown and decides nothing.

mod boxes;
mod caller;
mod cgroup;
mod kernel;
mod userns;

use std::fmt;

use serde_json::{Value, json};

/// How well something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// As it should.
    Ok,
    /// Not as well as elsewhere; boxes can do without it.
    Limited,
    /// Not at all.
    Missing,
}

impl Health {
    /// `ok`, `limited` or `missing`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is about: `boxes`, `caller`, `user namespaces`, `cgroups` or `kernel`.
    pub topic: &'static str,
    /// What was looked at; within a topic no two are called the same.
    pub name: &'static str,
    /// How well it works.
    pub health: Health,
    /// What was seen: one line.
    pub detail: String,
    /// What would help: of everything that is not as it should be.
    pub fix: Option<String>,
}

impl Finding {
    fn ok(topic: &'static str, name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            topic,
            name,
            health: Health::Ok,
            detail: detail.into(),
            fix: None,
        }
    }

    /// It is not as it should be: there is no way to say so without what would help.
    fn with(self, health: Health, fix: impl Into<String>) -> Self {
        Self {
            health,
            fix: Some(fix.into()),
            ..self
        }
    }
}

/// What works here, for the calling process.
///
/// ```
/// let diagnosis = clonebox::Diagnosis::examine();
/// for finding in &diagnosis.findings {
///     println!("{:<8} {}: {}", finding.health, finding.name, finding.detail);
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The kernel's release, to be shown.
    pub kernel: String,
    /// The effective user id of the caller.
    pub uid: u32,
    /// All that was looked at; what belongs to one topic stands together.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// Looks at the host and at the calling process, and tries boxes of every kind. It takes some
    /// milliseconds a box, makes a directory in the one for temporary files, and leaves nothing.
    pub fn examine() -> Self {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        let mut findings = boxes::examine();
        findings.extend(caller::examine());
        findings.extend(userns::examine());
        findings.extend(cgroup::examine());
        findings.extend(kernel::examine());
        Self {
            kernel: release.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned()),
            uid: nix::unistd::geteuid().as_raw(),
            findings,
        }
    }

    /// Whether this caller can start a plain box.
    pub fn can_start(&self) -> bool {
        let mut plain = self.findings.iter();
        plain.any(|finding| finding.name == boxes::PLAIN && finding.health == Health::Ok)
    }

    /// An object with `kernel`, `uid`, `can_start` and `findings`, each with `topic`, `name`, `health` (`ok`,
    /// `limited` or `missing`), `detail` and `fix` (`null` if it is `ok`).
    pub fn to_json(&self) -> Value {
        let findings = self.findings.iter().map(|finding| {
            json!({
                "topic": finding.topic,
                "name": finding.name,
                "health": finding.health.word(),
                "detail": finding.detail,
                "fix": finding.fix,
            })
        });
        json!({
            "kernel": self.kernel,
            "uid": self.uid,
            "can_start": self.can_start(),
            "findings": findings.collect::<Vec<_>>(),
        })
    }
}
