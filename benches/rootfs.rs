// SPDX-License-Identifier: MIT OR Apache-2.0
//! From launch to reaped, in process, of a box with a root filesystem, with more and more mounts in the
//! host's table, without and with limits: clonebox, and its floor.
//!
//! ```text
//! cargo bench --bench rootfs                      interleaved; prints the medians
//! cargo bench --bench rootfs -- --test            a quick proof that everything runs
//! cargo bench --bench rootfs -- --measure DIR     also writes DIR/rootfs.csv and DIR/README.md
//! ```

mod floor;
mod mounts;
#[expect(dead_code, reason = "other benches use the rest")]
mod roots;
mod support;
mod workers;

use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::time::Duration;

use mounts::Mounts;
use roots::{Roots, Way};
use support::load::Load;
use support::results::{self, Measured};
use support::target::Target;
use support::{Mode, Result, skip, verdict};
use workers::Worker;

const LOADS: [Load; 3] = [Load::mounts(20), Load::mounts(200), Load::mounts(2000)];
const SMALL_LOADS: [Load; 2] = [Load::mounts(20), Load::mounts(60)];

/// How many times each way is measured, and for how long at most for each number of mounts.
const ROUNDS: usize = 400;
const AT_MOST: Duration = Duration::from_secs(25);

fn main() -> Result {
    if let Some((load, root)) = workers::asked() {
        return work(load, &root);
    }
    let mode = Mode::read();
    if let Mode::Render(dir) = mode {
        return results::render(&dir);
    }
    let target = Target::new()?;
    if let Err(missing) = support::can_make_boxes(target.exit()) {
        return skip(&missing);
    }
    let root = target.exit().parent().ok_or("no root filesystem")?;
    let mut roots = match Roots::new(root) {
        Ok(roots) => roots,
        Err(error) => return skip(&error.to_string()),
    };
    for (floor, plan) in roots.calls()? {
        assert_eq!(
            floor, plan,
            "the floor does not make the calls of a box with a root filesystem"
        );
    }
    let (loads, rounds) = if mode.is_test() {
        (&SMALL_LOADS[..], 2)
    } else {
        (&LOADS[..], support::rounds(ROUNDS))
    };
    let measured = measure(loads, rounds, root, &roots.ways())?;
    if let Mode::Measure(dir) = mode {
        measured.write(&dir.join("rootfs.csv"))?;
        return results::render(&dir);
    }
    for &load in loads {
        for (way, said) in verdict::ROOTFS {
            let us = measured.median(load, way).unwrap_or(0.0);
            writeln!(stdout(), "{:<18} {us:>7.0} µs  {said}", load.to_string())?;
        }
    }
    Ok(())
}

/// All ways in turn, with each number of mounts in turn. Each is a process of its own, which has a table of
/// mounts of its own.
fn measure(loads: &[Load], rounds: usize, root: &Path, ways: &[Way]) -> Result<Measured> {
    let mut measured = Measured::of_host(support::host::facts());
    let mut workers = loads
        .iter()
        .map(|&load| Worker::start(load, root))
        .collect::<Result<Vec<_>>>()?;
    for round in 0..rounds {
        for worker in &mut workers {
            let load = worker.load();
            if worker.spent() > AT_MOST {
                continue;
            }
            let mut names: Vec<&str> = ways.iter().map(|way| way.name()).collect();
            names.rotate_left(round % ways.len());
            for (name, us) in names.iter().zip(worker.ask(&names)?) {
                measured.add(load, name, us);
            }
        }
    }
    Ok(measured)
}

/// A worker: for each line of names it answers with a line of times.
fn work(load: Load, root: &Path) -> Result {
    let mut mounts = Mounts::own(root.with_file_name("mounts"))?;
    mounts.fill(load.mounts)?;
    let mut roots = Roots::new(root)?;
    for line in stdin().lock().lines() {
        let line = line?;
        // Nobody is timed with the caches that another worker has left.
        roots.launch(Way::Floor);
        let ways = line.split_whitespace().filter_map(Way::of_name);
        let times = ways.map(|way| roots.launch(way).as_secs_f64() * 1e6);
        let times: Vec<String> = times.map(|us| format!("{us:.1}")).collect();
        writeln!(stdout(), "{}", times.join(" "))?;
    }
    Ok(())
}
