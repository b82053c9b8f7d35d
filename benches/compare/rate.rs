// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boxes a second with all processors: one program with a thread for each, against as many copies of the floor, each
//! a program of its own that shares nothing with the others.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use clonebox::{Command, Pool};

use crate::library::ended;
use crate::runs::{Group, Run, Runs};
use crate::support::Result;
use crate::support::load::Load;
use crate::support::target::Target;
use crate::ways::{Way, Ways};
use crate::workers::Worker;
use crate::{Budget, WHOLE};

/// How a line begins that asks a worker for it: then the way, how many threads, how many milliseconds.
pub(crate) const ASK: &str = "rate ";
/// Of copies, and of one program.
const WAYS: [&str; 4] = ["floor", "template", "command", "pool"];
const ROUNDS: usize = 30;

pub(crate) fn measure(budget: Budget, target: &Target, runs: &mut Runs) -> Result {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let group = Group {
        kind: "rate".to_owned(),
        resident_mib: 0,
        threads: processors,
        mounts: 0,
        at_once: processors,
    };
    let workers = (0..processors).map(|_| Worker::start(Load::default(), target.exit()));
    let mut workers = workers.collect::<Result<Vec<_>>>()?;
    let time = if budget.time < WHOLE.time { 50 } else { 500 };
    for _ in 0..budget.rounds.min(ROUNDS) {
        for index in runs.shuffled(WAYS.len()) {
            let name = WAYS[index];
            let (copies, threads) = if name == "floor" {
                (processors, 1)
            } else {
                (1, processors)
            };
            for worker in &mut workers[..copies] {
                worker.tell(&format!("{ASK}{name} {threads} {time}"))?;
            }
            let mut a_second = 0.0;
            for worker in &mut workers[..copies] {
                a_second += worker.hear(1)?[0];
            }
            let run = Run {
                wall_us: 1e6 / a_second,
                ..Run::default()
            };
            runs.add(&group, name, run);
        }
    }
    Ok(())
}

/// Boxes a second.
pub(crate) fn answer(words: &str, target: &Path) -> Result<String> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let [name, threads, time] = words[..] else {
        return Err("three words are wanted".into());
    };
    let time = Duration::from_millis(time.parse()?);
    let a_second = match name {
        "floor" => {
            let mut ways = Ways::new(target)?;
            launches(time, || {
                ways.launch(Way::Floor);
                Ok(())
            })?
        }
        "template" => {
            let template = Command::new(target).prepare()?;
            together(threads, time, || ended(template.spawn()?.wait()?))?
        }
        "command" => {
            let command = Command::new(target);
            together(threads, time, || ended(command.spawn()?.wait()?))?
        }
        "pool" => {
            let pool = Pool::new(&Command::new(target).prepare()?, 16)?;
            together(threads, time, || ended(pool.spawn()?.wait()?))?
        }
        _ => return Err("a way that is none".into()),
    };
    Ok(format!("{a_second:.2}"))
}

fn together(threads: &str, time: Duration, launch: impl Fn() -> Result + Sync) -> Result<f64> {
    let one = || launches(time, &launch).map_err(|error| error.to_string());
    let count: usize = threads.parse()?;
    let rates = thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(one)).collect();
        let ends = threads.into_iter().map(|thread| thread.join());
        ends.map(|end| end.map_err(|_| "a thread has panicked".to_owned())?)
            .collect::<std::result::Result<Vec<f64>, String>>()
    })?;
    Ok(rates.iter().sum())
}

/// How many a second one thread launches and reaps.
fn launches(time: Duration, mut launch: impl FnMut() -> Result) -> Result<f64> {
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < time {
        launch()?;
        count += 1;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}
