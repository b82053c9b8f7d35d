// SPDX-License-Identifier: MIT OR Apache-2.0
//! In process, from launch to reaped: the ways of benches/startup.rs, std's and a pool's, from programs that carry
//! memory and threads.

use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;

use clonebox::{Command, Pool};

use crate::Budget;
use crate::burden::{Busy, Resident};
use crate::commands::micros;
use crate::runs::{Group, Run, Runs};
use crate::support::Result;
use crate::support::load::Load;
use crate::support::target::Target;
use crate::ways::{Way, Ways};
use crate::workers::Worker;

/// Not one that copies page tables: it takes as long as all others together, and benches/startup.rs has it.
const WAYS: [&str; 7] = [
    "std", "bare", "floor", "template", "command", "pool", "reexec",
];

pub(crate) fn measure(budget: Budget, target: &Target, runs: &mut Runs) -> Result {
    for (resident_mib, threads) in budget.parents {
        let load = Load {
            resident_mib,
            threads,
            mounts: 0,
        };
        let group = Group {
            kind: "library".to_owned(),
            resident_mib,
            threads: threads.max(1),
            mounts: 0,
            at_once: 1,
        };
        let mut worker = Worker::start(load, target.exit())?;
        let mut round = 0;
        while round < budget.rounds && (worker.spent() < budget.time || round == 0) {
            let order = runs.shuffled(WAYS.len());
            let names: Vec<&str> = order.into_iter().map(|index| WAYS[index]).collect();
            let numbers = worker.ask_for(&names, 2)?;
            for (name, pair) in names.iter().zip(numbers.chunks(2)) {
                let run = Run {
                    wall_us: pair[0],
                    cpu_us: pair[1],
                    peak_kib: 0.0,
                };
                runs.add(&group, name, run);
            }
            round += 1;
        }
    }
    Ok(())
}

/// A worker: for each line of names it answers with a line of times, two of each.
pub(crate) fn work(load: Load, target: &Path) -> Result {
    let mut ways = Ways::new(target)?;
    let pool = Pool::new(&Command::new(target).prepare()?, 4)?;
    let _resident = Resident::new(load.resident_mib);
    let busy = Busy::new(load.threads);
    for line in stdin().lock().lines() {
        let line = line?;
        let mut answers = Vec::new();
        for name in line.split_whitespace() {
            // What stands in the pool is made before, as it would be in a program that has time between launches.
            pool.wait_until_full();
            let (wall, cpu) = busy.during(|| measured(name, &mut ways, &pool, target))?;
            answers.push(format!("{wall:.1} {cpu:.1}"));
        }
        writeln!(stdout(), "{}", answers.join(" "))?;
    }
    Ok(())
}

fn measured(name: &str, ways: &mut Ways, pool: &Pool, target: &Path) -> Result<(f64, f64)> {
    let (before, began) = (cpu(), Instant::now());
    let success = match name {
        "std" => std::process::Command::new(target).status()?.success(),
        "pool" => pool.spawn()?.wait()?.success(),
        _ => {
            ways.launch(Way::of_name(name).ok_or("a way that is none")?);
            true
        }
    };
    let wall = began.elapsed().as_secs_f64() * 1e6;
    if !success {
        return Err(format!("{name} has failed").into());
    }
    Ok((wall, cpu() - before))
}

/// The time that this process's threads but the busy ones, and its children, have used: of the thread that
/// launches, and of all that has been reaped.
fn cpu() -> f64 {
    let of = |who| {
        // SAFETY: numbers, for all of which 0 is a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes a struct rusage, which lives during the call.
        unsafe { libc::getrusage(who, &raw mut usage) };
        micros(usage.ru_utime) + micros(usage.ru_stime)
    };
    of(libc::RUSAGE_THREAD) + of(libc::RUSAGE_CHILDREN)
}
