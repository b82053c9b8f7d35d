// SPDX-License-Identifier: MIT OR Apache-2.0
//! The raw numbers, and the order in which they come.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::support::Result;
use crate::support::host::Fact;
use crate::support::stats::Samples;

/// What is measured under the same conditions, in turn: a group of the page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    /// `library`, `library-root`, `rate`, `command` or `root`.
    pub(crate) kind: String,
    pub(crate) resident_mib: usize,
    pub(crate) threads: usize,
    pub(crate) mounts: usize,
    pub(crate) at_once: usize,
}

/// One run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    /// From the launch until it is reaped, in microseconds.
    pub(crate) wall_us: f64,
    /// User and system time, of the launcher too where that is not another program.
    pub(crate) cpu_us: f64,
    /// What the process that was started had at most; 0 where that was not looked at.
    pub(crate) peak_kib: f64,
}

/// What all runs of one contender in one group are.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) wall: Samples,
    pub(crate) cpu: Samples,
    pub(crate) peak: Samples,
}

#[derive(Debug)]
pub(crate) struct Runs {
    pub(crate) facts: Vec<Fact>,
    all: Vec<(Group, String, Run)>,
    order: Order,
}

impl Runs {
    pub(crate) fn new(facts: Vec<Fact>) -> Self {
        Self {
            facts,
            all: Vec::new(),
            order: Order(0x9e37_79b9_7f4a_7c15),
        }
    }

    pub(crate) fn add(&mut self, group: &Group, name: &str, run: Run) {
        // As it is written: whoever reads the numbers later makes the same page of them.
        let run = Run {
            wall_us: (run.wall_us * 10.0).round() / 10.0,
            cpu_us: run.cpu_us.round(),
            peak_kib: run.peak_kib.round(),
        };
        self.all.push((group.clone(), name.to_owned(), run));
    }

    /// A fact, once.
    pub(crate) fn note(&mut self, name: String, value: &str) {
        if !self.facts.iter().any(|(known, _)| *known == name) {
            self.facts.push((name, value.to_owned()));
        }
    }

    /// So many things in the order of the next round.
    pub(crate) fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.order.below(last + 1));
        }
        order
    }

    /// Each group, and in it each contender.
    pub(crate) fn groups(&self) -> BTreeMap<Group, BTreeMap<String, Summary>> {
        let mut groups: BTreeMap<Group, BTreeMap<String, Summary>> = BTreeMap::new();
        for (group, name, run) in &self.all {
            let group = groups.entry(group.clone()).or_default();
            let summary = group.entry(name.clone()).or_default();
            summary.wall.push(run.wall_us);
            summary.cpu.push(run.cpu_us);
            if run.peak_kib > 0.0 {
                summary.peak.push(run.peak_kib);
            }
        }
        groups
    }

    pub(crate) fn write(&self, path: &Path) -> Result {
        let mut text = String::new();
        for (name, value) in &self.facts {
            writeln!(text, "# {name}: {value}")?;
        }
        text.push_str(
            "kind,resident_mib,threads,mounts,at_once,contender,wall_us,cpu_us,peak_kib\n",
        );
        for (group, name, run) in &self.all {
            let Group {
                kind,
                resident_mib,
                threads,
                mounts,
                at_once,
            } = group;
            let Run {
                wall_us,
                cpu_us,
                peak_kib,
            } = run;
            writeln!(
                text,
                "{kind},{resident_mib},{threads},{mounts},{at_once},{name},{wall_us:.1},{cpu_us:.0},{peak_kib:.0}"
            )?;
        }
        Ok(fs::write(path, text)?)
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)?;
        let mut runs = Self::new(Vec::new());
        for line in text.lines() {
            if let Some((name, value)) = line
                .strip_prefix("# ")
                .and_then(|line| line.split_once(": "))
            {
                runs.facts.push((name.to_owned(), value.to_owned()));
                continue;
            }
            let words: Vec<&str> = line.split(',').collect();
            let [
                kind,
                resident_mib,
                threads,
                mounts,
                at_once,
                name,
                wall,
                cpu,
                peak,
            ] = words[..]
            else {
                return Err(format!("{}: {line}", path.display()).into());
            };
            if kind == "kind" {
                continue;
            }
            let group = Group {
                kind: kind.to_owned(),
                resident_mib: resident_mib.parse()?,
                threads: threads.parse()?,
                mounts: mounts.parse()?,
                at_once: at_once.parse()?,
            };
            let run = Run {
                wall_us: wall.parse()?,
                cpu_us: cpu.parse()?,
                peak_kib: peak.parse()?,
            };
            runs.add(&group, name, run);
        }
        Ok(runs)
    }
}

/// A generator (xorshift64) that says the same each time: whoever measures again meets the same order.
#[derive(Debug)]
struct Order(u64);

impl Order {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % end
    }
}
