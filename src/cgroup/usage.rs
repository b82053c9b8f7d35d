// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a box has used of its limits.

use std::time::Duration;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::read;

use super::{Cgroup, Directory};

/// What the kernel has counted for a box with limits. What it has not, because no limit asked for that
/// controller or the kernel is too old, is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsUsage {
    /// A process of the box was killed because its memory was used up.
    pub oom_killed: Option<bool>,
    /// The limit of memory, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// The most memory that was used at once, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// The time of processors that all processes have used.
    pub cpu: Option<Duration>,
    /// How often the box had to wait for its share of the processors, and how long.
    pub throttled: Option<(u64, Duration)>,
    /// The most processes and threads that there were at once.
    pub pids_peak: Option<u64>,
}

impl Cgroup {
    /// Reads what has been counted, before the removal.
    pub(crate) fn usage(&self) -> LimitsUsage {
        let mut usage = LimitsUsage::default();
        for directory in &self.directories {
            for controller in &directory.place.controllers {
                match *controller {
                    "memory" => directory.memory(&mut usage),
                    "cpu" => directory.cpu(&mut usage),
                    "pids" => usage.pids_peak = directory.number("pids.peak"),
                    _ => {}
                }
            }
        }
        usage
    }
}

/// The number behind a name, where each line has one of each.
pub(super) fn field_of(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(name)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

impl Directory {
    /// What a file says, which the kernel tells in one read(2).
    fn text<'a>(&self, name: &str, buffer: &'a mut [u8; 4096]) -> Option<&'a str> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(&*self.lock, name, flags, Mode::empty()).ok()?;
        let length = read(&file, buffer).ok()?;
        str::from_utf8(buffer.get(..length)?).ok()
    }

    fn number(&self, name: &str) -> Option<u64> {
        let mut buffer = [0; 4096];
        self.text(name, &mut buffer)?.trim().parse().ok()
    }

    /// A number in a file of names and numbers.
    fn field(&self, file: &str, name: &str) -> Option<u64> {
        let mut buffer = [0; 4096];
        field_of(self.text(file, &mut buffer)?, name)
    }

    fn memory(&self, usage: &mut LimitsUsage) {
        let (events, limit, peak) = if self.place.unified {
            ("memory.events", "memory.max", "memory.peak")
        } else {
            (
                "memory.oom_control",
                "memory.limit_in_bytes",
                "memory.max_usage_in_bytes",
            )
        };
        usage.oom_killed = self.field(events, "oom_kill").map(|kills| kills > 0);
        usage.memory_limit_bytes = self.number(limit);
        usage.memory_peak_bytes = self.number(peak);
    }

    fn cpu(&self, usage: &mut LimitsUsage) {
        let (used, throttled) = if self.place.unified {
            (
                self.field("cpu.stat", "usage_usec")
                    .map(Duration::from_micros),
                self.field("cpu.stat", "throttled_usec")
                    .map(Duration::from_micros),
            )
        } else {
            (
                self.number("cpuacct.usage").map(Duration::from_nanos),
                self.field("cpu.stat", "throttled_time")
                    .map(Duration::from_nanos),
            )
        };
        usage.cpu = used;
        usage.throttled = self.field("cpu.stat", "nr_throttled").zip(throttled);
    }
}
