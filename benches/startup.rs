// SPDX-License-Identifier: MIT OR Apache-2.0
//! From launch to reaped, in process: clonebox, its floor, and other ways to make the same box.
//!
//! ```text
//! cargo bench --bench startup                      criterion, one way after the other
//! cargo bench --bench startup -- --test            a quick proof that everything runs
//! cargo bench --bench startup -- --measure DIR     interleaved; writes DIR/startup.csv
//! cargo bench --bench startup -- --render DIR      DIR/README.md and DIR/startup.svg from the numbers
//! ```
//!
//! Ratios are taken from the interleaved numbers: what comes one after the other in criterion meets
//! another machine each time.

mod burden;
mod floor;
mod support;
mod ways;
mod workers;

use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};

use burden::{Busy, Resident};
use support::load::Load;
use support::results::{self, Measured};
use support::target::Target;
use support::{Mode, Result, skip};
use ways::{Way, Ways};
use workers::Worker;

const LOADS: [Load; 6] = [
    Load::resident(0),
    Load::resident(256),
    Load::resident(1024),
    Load::resident(4096),
    busy(8),
    busy(64),
];
const SMALL_LOADS: [Load; 3] = [Load::resident(0), Load::resident(16), busy(2)];

const fn busy(threads: usize) -> Load {
    Load {
        resident_mib: 0,
        threads,
        mounts: 0,
    }
}

/// How many times each way is measured, and for how long at most for each load.
const ROUNDS: usize = 600;
const AT_MOST: Duration = Duration::from_secs(25);
/// A copying clone of much memory is slow, and needs no statistics: one for so many rounds.
const FORK_EVERY: usize = 20;

fn main() -> Result {
    if ways::is_child() {
        ways::become_child();
    }
    if let Some((load, target)) = workers::asked() {
        return work(load, &target);
    }
    let mode = Mode::read();
    if let Mode::Render(dir) = mode {
        return results::render(&dir);
    }
    let target = Target::new()?;
    let mut ways = match Ways::new(target.exit()) {
        Ok(ways) => ways,
        Err(error) => return skip(&error.to_string()),
    };
    if let Err(missing) = support::can_make_boxes(target.exit()) {
        return skip(&missing);
    }
    let (floor, plan) = ways.calls();
    assert_eq!(
        floor, plan,
        "the floor does not make the calls of a plain box"
    );
    match mode {
        Mode::Measure(dir) => {
            measure(&LOADS, support::rounds(ROUNDS), &target)?.write(&dir.join("startup.csv"))?;
            results::render(&dir)
        }
        _ => {
            criterion(&mut ways);
            if matches!(mode, Mode::Test) {
                let dir = tempfile::tempdir()?;
                measure(&SMALL_LOADS, 2, &target)?.write(&dir.path().join("startup.csv"))?;
                results::render(dir.path())?;
            }
            Ok(())
        }
    }
}

/// One way after the other, one load after the other.
fn criterion(ways: &mut Ways) {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    let loads = if Mode::read().is_test() {
        &SMALL_LOADS[..]
    } else {
        &LOADS
    };
    for load in loads {
        let _resident = Resident::new(load.resident_mib);
        let busy = Busy::new(load.threads);
        let mut group = criterion.benchmark_group(load.to_string());
        busy.during(|| all(&mut group, ways));
        group.finish();
    }
    criterion.final_summary();
}

fn all(group: &mut BenchmarkGroup<'_, WallTime>, ways: &mut Ways) {
    for way in Way::ALL {
        group.bench_function(way.name(), |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| ways.launch(way)).sum());
        });
    }
}

/// All ways in turn, under each load in turn. Each load is a process of its own, because memory and
/// threads are slow to get.
fn measure(loads: &[Load], rounds: usize, target: &Target) -> Result<Measured> {
    let mut measured = Measured::of_host(support::host::facts());
    let mut workers = loads
        .iter()
        .map(|&load| Worker::start(load, target.exit()))
        .collect::<Result<Vec<_>>>()?;
    for round in 0..rounds {
        for worker in &mut workers {
            let load = worker.load();
            let fork = load.resident_mib == 0 || round % FORK_EVERY == 0;
            let mut names: Vec<&str> = Way::ALL
                .into_iter()
                .filter(|&way| fork || way != Way::Fork)
                .map(Way::name)
                .collect();
            let first = round % names.len();
            names.rotate_left(first);
            if worker.spent() < AT_MOST {
                for (name, us) in names.iter().zip(worker.ask(&names)?) {
                    measured.add(load, name, us);
                }
            }
        }
    }
    Ok(measured)
}

/// A worker: for each line of names it answers with a line of times.
fn work(load: Load, target: &Path) -> Result {
    let mut ways = Ways::new(target)?;
    let _resident = Resident::new(load.resident_mib);
    let busy = Busy::new(load.threads);
    for line in stdin().lock().lines() {
        let line = line?;
        let times = busy.during(|| {
            // Nobody is timed with the caches that another worker has left.
            ways.launch(Way::Bare);
            ways.launch(Way::Floor);
            let ways = line
                .split_whitespace()
                .filter_map(Way::of_name)
                .map(|way| ways.launch(way).as_secs_f64() * 1e6);
            ways.map(|us| format!("{us:.1}")).collect::<Vec<_>>()
        });
        writeln!(stdout(), "{}", times.join(" "))?;
    }
    Ok(())
}
