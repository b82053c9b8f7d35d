// SPDX-License-Identifier: MIT OR Apache-2.0
//! A plan in words: what would be done, without doing it.

use std::fmt;

use serde_json::{Value, json};

use super::call::{FlagNames, show_flags};
use super::cgroup::CLONE_INTO_CGROUP;
use super::step::{CLONE_CLEAR_SIGHAND, CloneCall, Plan};

const CLONE_FLAGS: FlagNames = &[
    ("CLONE_VM", libc::CLONE_VM as u64),
    ("CLONE_VFORK", libc::CLONE_VFORK as u64),
    ("CLONE_PIDFD", libc::CLONE_PIDFD as u64),
    ("CLONE_CHILD_CLEARTID", libc::CLONE_CHILD_CLEARTID as u64),
    ("CLONE_CLEAR_SIGHAND", CLONE_CLEAR_SIGHAND),
    ("CLONE_INTO_CGROUP", CLONE_INTO_CGROUP),
    ("CLONE_NEWUSER", libc::CLONE_NEWUSER as u64),
    ("CLONE_NEWNS", libc::CLONE_NEWNS as u64),
    ("CLONE_NEWUTS", libc::CLONE_NEWUTS as u64),
    ("CLONE_NEWPID", libc::CLONE_NEWPID as u64),
    ("CLONE_NEWIPC", libc::CLONE_NEWIPC as u64),
    ("CLONE_NEWNET", libc::CLONE_NEWNET as u64),
    ("CLONE_NEWCGROUP", libc::CLONE_NEWCGROUP as u64),
];

impl CloneCall {
    /// The call in the form of strace(1), reduced to what a plan decides.
    pub(crate) fn show(&self) -> String {
        let mut flags = String::new();
        // Writing to a String does not fail.
        let _ = show_flags(CLONE_FLAGS, self.flags, &mut flags);
        if self.clone3 {
            format!("clone3({{flags={flags}, exit_signal=SIGCHLD}})")
        } else {
            format!("clone(flags={flags}|SIGCHLD)")
        }
    }
}

/// A line a step: number, call, who asked for it.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in &self.cgroups.groups {
            group.fmt(f)?;
        }
        writeln!(f, "     {}", self.clone.show())?;
        for (namespace, origin) in &self.clone.origins {
            writeln!(f, "       {namespace:<54} {origin}")?;
        }
        for (index, step) in self.steps().enumerate() {
            writeln!(f, "{:>4} {:<56} {}", index + 1, step.call(), step.origin())?;
        }
        Ok(())
    }
}

impl Plan {
    /// The plan for a program: an object with `name`, `cgroups` (of each the `parent` and the `files`, each
    /// with `file`, `value` and `origin`), `clone` (`call`, and `namespaces` with the
    /// `origin` of each) and `steps`, each with `step` (counted from 1), `action`, `call` and `origin`.
    pub fn to_json(&self) -> Value {
        let namespaces = self.clone.origins.iter().map(
            |(namespace, origin)| json!({ "namespace": namespace, "origin": origin.to_string() }),
        );
        let steps = self.steps().enumerate().map(|(index, step)| {
            json!({
                "step": index + 1,
                "action": step.action(),
                "call": step.call(),
                "origin": step.origin().to_string(),
            })
        });
        let cgroups = self.cgroups.groups.iter().map(|group| {
            let files = group.files.iter().map(|file| {
                json!({ "file": file.name, "value": file.value, "origin": file.origin.to_string() })
            });
            let parent = group.parents.first().cloned().unwrap_or_default();
            let parent = group.mount.join(parent);
            json!({
                "parent": parent.to_string_lossy(),
                "files": files.collect::<Vec<_>>(),
            })
        });
        json!({
            "name": self.name,
            "cgroups": cgroups.collect::<Vec<_>>(),
            "clone": { "call": self.clone.show(), "namespaces": namespaces.collect::<Vec<_>>() },
            "steps": steps.collect::<Vec<_>>(),
        })
    }
}
