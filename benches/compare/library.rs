// SPDX-License-Identifier: MIT OR Apache-2.0
//! In process, from launch to reaped, from programs that carry memory, threads and mounts: a plain box, and one with
//! a root filesystem.

use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;

use clonebox::{Command, Pool, Template};

use crate::Budget;
use crate::burden::{Busy, Resident};
use crate::mounts::Mounts;
use crate::rate;
use crate::roots::{self, Roots};
use crate::runs::{Group, Run, Runs};
use crate::support::Result;
use crate::support::clock;
use crate::support::load::Load;
use crate::support::target::Target;
use crate::ways::{Way, Ways};
use crate::workers::Worker;

/// Not one that copies page tables: it takes as long as all others together, and benches/startup.rs has it.
const PLAIN: [&str; 8] = [
    "std",
    "bare",
    "floor",
    "template",
    "command",
    "pool",
    "pool-later",
    "reexec",
];
/// The first are ways of benches/rootfs.rs.
const IN_ROOT: [&str; 5] = [
    "floor-once",
    "template-once",
    "command",
    "pool",
    "pool-later",
];
/// hakoniwa's worker has one way only.
const HAKONIWA: &str = "hakoniwa";

/// `others` is the program that launches with hakoniwa, if it could be built.
pub(crate) fn measure(
    budget: Budget,
    target: &Target,
    others: Option<&Path>,
    runs: &mut Runs,
) -> Result {
    for (resident_mib, threads) in budget.parents {
        let load = Load {
            resident_mib,
            threads,
            mounts: 0,
        };
        in_turn(budget, ("library", load), &PLAIN, target, None, runs)?;
    }
    let Ok(roots) = Roots::new(target.exit().parent().ok_or("a path")?) else {
        return Ok(());
    };
    let mut names = IN_ROOT.to_vec();
    if roots.template().is_none() {
        runs.note(
            "not measured, templates with mounts of their own".to_owned(),
            "they cannot be made here",
        );
        names = vec!["command"];
    }
    drop(roots);
    for load in budget.carried() {
        in_turn(budget, ("library-root", load), &names, target, others, runs)?;
    }
    Ok(())
}

/// One program, and the other if there is one, which of them first is a matter of chance.
fn in_turn(
    budget: Budget,
    (kind, load): (&str, Load),
    ways: &[&str],
    target: &Target,
    others: Option<&Path>,
    runs: &mut Runs,
) -> Result {
    let group = Group {
        kind: kind.to_owned(),
        resident_mib: load.resident_mib,
        threads: load.threads.max(1),
        mounts: load.mounts,
        at_once: 1,
    };
    let mut worker = Worker::start(load, target.exit())?;
    let other = others.map(|program| Worker::start_program(program, load, target.exit()));
    let mut other = other.transpose()?;
    let began = Instant::now();
    let mut round = 0;
    while round < budget.rounds && (began.elapsed() < budget.time || round == 0) {
        let order = runs.shuffled(ways.len());
        let names: Vec<&str> = order.into_iter().map(|index| ways[index]).collect();
        let second = runs.shuffled(2)[0] == 0;
        for turn in [false, true] {
            let (names, numbers) = match &mut other {
                _ if turn == second => (names.clone(), worker.ask_for(&names, 2)?),
                Some(other) => (vec![HAKONIWA], other.ask_for(&[HAKONIWA], 2)?),
                None => continue,
            };
            for (name, pair) in names.iter().zip(numbers.chunks(2)) {
                let run = Run {
                    wall_us: pair[0],
                    cpu_us: pair[1],
                    peak_kib: 0.0,
                };
                runs.add(&group, name, run);
            }
        }
        round += 1;
    }
    Ok(())
}

/// A worker: for each line of names it answers with a line of times, two of each.
pub(crate) fn work(load: Load, target: &Path) -> Result {
    if load.mounts > 0 {
        return work_in_root(load, target);
    }
    let mut ways = Ways::new(target)?;
    let pools = Pools::new(&Command::new(target).prepare()?)?;
    let _resident = Resident::new(load.resident_mib);
    let busy = Busy::new(load.threads);
    answer(|line| {
        if let Some(words) = line.strip_prefix(rate::ASK) {
            return rate::answer(words, target);
        }
        let mut answers = Vec::new();
        for name in line.split_whitespace() {
            pools.wait_until_full();
            let launch = || match (name, pools.of_name(name)) {
                ("std", _) => ended(std::process::Command::new(target).status()?),
                (_, Some(pool)) => ended(pool.spawn()?.wait()?),
                _ => {
                    ways.launch(Way::of_name(name).ok_or("a way that is none")?);
                    Ok(())
                }
            };
            answers.push(busy.during(|| clock::measured(launch))?);
        }
        Ok(pairs(&answers))
    })
}

/// The same with a root filesystem, and a host with so many mounts.
fn work_in_root(load: Load, target: &Path) -> Result {
    let root = target.parent().ok_or("no root filesystem")?;
    let mut mounts = Mounts::own(root.with_file_name("mounts"))?;
    mounts.fill(load.mounts)?;
    let mut roots = Roots::new(root)?;
    let pools = roots.template().map(Pools::new).transpose()?;
    let _resident = Resident::new(load.resident_mib);
    let busy = Busy::new(load.threads);
    answer(|line| {
        let mut answers = Vec::new();
        // Nobody is timed with the caches that another worker has left.
        roots.launch(roots::Way::Floor);
        for name in line.split_whitespace() {
            if let Some(pools) = &pools {
                pools.wait_until_full();
            }
            let pool = pools.as_ref().and_then(|pools| pools.of_name(name));
            let launch = || match pool {
                Some(pool) => ended(pool.spawn()?.wait()?),
                None => {
                    roots.launch(roots::Way::of_name(name).ok_or("a way that is none")?);
                    Ok(())
                }
            };
            answers.push(busy.during(|| clock::measured(launch))?);
        }
        Ok(pairs(&answers))
    })
}

/// Pools of the same boxes: one that waits for the end of a box's mounts, and one that does not.
struct Pools {
    now: Pool,
    later: Pool,
}

impl Pools {
    fn new(template: &Template) -> Result<Self> {
        let mut later = template.clone();
        later.unmount_later(true);
        Ok(Self {
            now: Pool::new(template, 4)?,
            later: Pool::new(&later, 4)?,
        })
    }

    /// What stands is made before it is asked for, as it would be in a program that has time between launches.
    fn wait_until_full(&self) {
        self.now.wait_until_full();
        self.later.wait_until_full();
    }

    fn of_name(&self, name: &str) -> Option<&Pool> {
        match name {
            "pool" => Some(&self.now),
            "pool-later" => Some(&self.later),
            _ => None,
        }
    }
}

fn answer(mut answer: impl FnMut(&str) -> Result<String>) -> Result {
    for line in stdin().lock().lines() {
        writeln!(stdout(), "{}", answer(&line?)?)?;
    }
    Ok(())
}

fn pairs(answers: &[(f64, f64)]) -> String {
    let pairs = answers
        .iter()
        .map(|(wall, cpu)| format!("{wall:.1} {cpu:.1}"));
    pairs.collect::<Vec<_>>().join(" ")
}

pub(crate) fn ended(status: std::process::ExitStatus) -> Result {
    if status.success() {
        Ok(())
    } else {
        Err(format!("a program has ended with {status}").into())
    }
}
