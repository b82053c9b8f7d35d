// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cgroup that is there: of a box that somebody else may have started.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use super::make;
use super::usage::field_of;

/// Where one cgroup of a box is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Version 2.
    pub(crate) unified: bool,
    /// The controllers that the box has it for, by their names on version 2.
    pub(crate) controllers: Vec<&'static str>,
    pub(crate) path: PathBuf,
}

/// What the cgroups of a box have in use at a moment. What none of them counts is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// The limit of memory, in bytes; `None` without one.
    pub memory_limit_bytes: Option<u64>,
    /// The time of processors that all processes have used since the start. Where no controller counts it,
    /// that of the processes which are there, and of those that they have waited for.
    pub cpu: Option<Duration>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

impl Place {
    /// Adds what is in use here.
    pub(crate) fn add_to(&self, load: &mut Load) {
        for controller in &self.controllers {
            match (*controller, self.unified) {
                ("memory", unified) => {
                    let (now, limit) = if unified {
                        ("memory.current", "memory.max")
                    } else {
                        ("memory.usage_in_bytes", "memory.limit_in_bytes")
                    };
                    load.memory_bytes = self.number(now);
                    // Version 1 calls no limit a number that no machine has.
                    load.memory_limit_bytes = self.number(limit).filter(|&limit| limit < 1 << 60);
                }
                ("cpu", true) => {
                    let used = field_of(&self.text("cpu.stat").unwrap_or_default(), "usage_usec");
                    load.cpu = used.map(Duration::from_micros);
                }
                ("cpu", false) => {
                    load.cpu = self.number("cpuacct.usage").map(Duration::from_nanos);
                }
                ("pids", _) => load.pids = self.number("pids.current"),
                _ => {}
            }
        }
        if load.cpu.is_none() {
            load.cpu = self.processes().into_iter().map(time_of).sum();
        }
    }

    /// Writes to one of its files.
    pub(crate) fn write(&self, name: &str, text: &str) -> nix::Result<()> {
        make::write(&self.path.join(name), text)
    }

    /// What one of its files says.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path.join(name)).ok()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.trim().parse().ok()
    }

    /// The process ids that are in it.
    pub(super) fn processes(&self) -> Vec<u32> {
        let list = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        list.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Its files and what they say, as far as they can be read.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let mut files: Vec<(String, String)> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let text = self.text(&name)?;
                Some((name, text.trim_end().to_owned()))
            })
            .collect();
        files.sort();
        files
    }

    /// Removes it, and the directory above if that is ours and empty. Nobody is in it.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_dir(&self.path);
        if let Some(parent) = self
            .path
            .parent()
            .filter(|parent| parent.ends_with("clonebox"))
        {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// What a process has used, and the children that it has waited for: proc_pid_stat(5).
fn time_of(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields = rest.split(' ').skip(11).take(4);
    let ticks: u64 = fields
        .map(|field| field.parse::<u64>().ok())
        .sum::<Option<u64>>()?;
    let a_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    Some(Duration::from_secs_f64(ticks as f64 / a_second as f64))
}
