// SPDX-License-Identifier: MIT OR Apache-2.0
//! In process, from launch to reaped, from programs that carry memory, threads and mounts: a plain box, and one with
//! a root filesystem.

use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;

use clonebox::{Command, Pool};

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
const PLAIN: [&str; 7] = [
    "std", "bare", "floor", "template", "command", "pool", "reexec",
];
/// The first are ways of benches/rootfs.rs.
const IN_ROOT: [&str; 4] = ["floor-once", "template-once", "command", "pool"];
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
    for (resident_mib, mounts) in budget.carried() {
        let load = Load {
            resident_mib,
            threads: 0,
            mounts,
        };
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
    let pool = Pool::new(&Command::new(target).prepare()?, 4)?;
    let _resident = Resident::new(load.resident_mib);
    let busy = Busy::new(load.threads);
    answer(|line| {
        if let Some(words) = line.strip_prefix(rate::ASK) {
            return rate::answer(words, target);
        }
        let mut answers = Vec::new();
        for name in line.split_whitespace() {
            // What stands in the pool is made before, as it would be in a program that has time between launches.
            pool.wait_until_full();
            let launch = || match name {
                "std" => ended(std::process::Command::new(target).status()?),
                "pool" => ended(pool.spawn()?.wait()?),
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
    let pool = roots.template().map(|template| Pool::new(template, 4));
    let pool = pool.transpose()?;
    let _resident = Resident::new(load.resident_mib);
    answer(|line| {
        let mut answers = Vec::new();
        // Nobody is timed with the caches that another worker has left.
        roots.launch(roots::Way::Floor);
        for name in line.split_whitespace() {
            if let Some(pool) = &pool {
                pool.wait_until_full();
            }
            let launch = || match (name, &pool) {
                ("pool", Some(pool)) => ended(pool.spawn()?.wait()?),
                _ => {
                    roots.launch(roots::Way::of_name(name).ok_or("a way that is none")?);
                    Ok(())
                }
            };
            answers.push(clock::measured(launch)?);
        }
        Ok(pairs(&answers))
    })
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
