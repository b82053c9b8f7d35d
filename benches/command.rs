// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole commands, from spawn to reaped: clonebox, and others that make the same box or a similar one.
//!
//! ```text
//! cargo bench --bench command                      interleaved; prints the medians
//! cargo bench --bench command -- --test            a quick proof that everything runs
//! cargo bench --bench command -- --measure DIR     also writes DIR/command.csv and DIR/README.md
//! ```
//!
//! `CLONEBOX_MUSL` names a clonebox that was built for the musl target, to be measured as well.

mod contenders;
mod mounts;
mod support;

use std::fs;
use std::io::{Write, stdout};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use contenders::Contender;
use support::load::Load;
use support::results::{self, Measured};
use support::target::{self, Target};
use support::{Mode, Result, skip, verdict};

/// A program that sleeps until it is killed: pause(2), or a ppoll(2) of nothing; registers are 0 at
/// the start.
#[cfg(target_arch = "x86_64")]
const SLEEP: &[u8] = b"\xb8\x22\0\0\0\x0f\x05";
#[cfg(target_arch = "aarch64")]
const SLEEP: &[u8] = b"\x28\x09\x80\xd2\x01\0\0\xd4";

const ROUNDS: usize = 1500;
/// With a root filesystem, and so many mounts in the table, in this order: they are added.
const LOADS: [Load; 3] = [Load::mounts(20), Load::mounts(200), Load::mounts(2000)];
const SMALL_LOADS: [Load; 3] = [Load::mounts(20), Load::mounts(30), Load::mounts(40)];
const ROUNDS_WITH_MOUNTS: usize = 450;
/// Runtimes that take tens of milliseconds need no statistics: they are measured so often, in the rounds that
/// come at equal distances.
const SLOW_ROUNDS: usize = 100;

fn main() -> Result {
    let mode = Mode::read();
    if let Mode::Render(dir) = mode {
        return results::render(&dir);
    }
    let target = Target::new()?;
    if let Err(missing) = support::can_make_boxes(target.exit()) {
        return skip(&missing);
    }
    let dir = tempfile::tempdir()?;
    let mut mounts = contenders::own_mounts(dir.path())?;
    let (mut contenders, missing) = contenders::all(target.exit(), dir.path())?;
    for (name, why) in missing {
        writeln!(stdout(), "skipped: {name}: {why}")?;
    }
    let test = mode.is_test();
    let (rounds, loads) = if test {
        (2, &SMALL_LOADS)
    } else {
        (support::rounds(ROUNDS), &LOADS)
    };
    let mut measured = of_host(&contenders, dir.path())?;
    measure(&mut contenders, Load::default(), rounds, &mut measured)?;
    contenders.retain(|contender| contender.has_root());
    for &load in loads {
        mounts.fill(load.mounts)?;
        let rounds = rounds.min(ROUNDS_WITH_MOUNTS);
        measure(&mut contenders, load, rounds, &mut measured)?;
    }
    if let Mode::Measure(dir) = mode {
        measured.write(&dir.join("command.csv"))?;
        return results::render(&dir);
    }
    for (name, _) in [verdict::COMMAND, verdict::IN_ROOT].concat() {
        for load in measured.loads() {
            if let Some(us) = measured.median(load, name) {
                writeln!(stdout(), "{name:<16} {us:>9.0} µs  {load}")?;
            }
        }
    }
    for (build, _) in contenders::builds() {
        let kib = measured.fact(&verdict::resident(build)).unwrap_or("?");
        writeln!(stdout(), "{build:<14} {kib:>9} KiB")?;
    }
    Ok(())
}

/// What is known before anything is measured.
fn of_host(contenders: &[Contender], dir: &Path) -> Result<Measured> {
    let mut facts = support::host::facts();
    facts.extend(contenders::facts());
    facts.extend(contenders.iter().filter_map(|one| one.fact.clone()));
    let sleeper = dir.join("sleep");
    target::write(&sleeper, SLEEP)?;
    for (build, program) in contenders::builds() {
        let kib = resident_kib(&program, &sleeper)?;
        facts.push((verdict::resident(build), kib.to_string()));
    }
    Ok(Measured::of_host(facts))
}

/// All contenders in turn.
fn measure(
    contenders: &mut [Contender],
    load: Load,
    rounds: usize,
    measured: &mut Measured,
) -> Result {
    let slow_every = (rounds / SLOW_ROUNDS).max(1);
    for round in 0..rounds {
        let first = round % contenders.len();
        contenders.rotate_left(first);
        for contender in contenders.iter_mut() {
            if contender.slow && round % slow_every != 0 {
                continue;
            }
            let us = contender.run()?.as_secs_f64() * 1e6;
            measured.add(load, contender.name, us);
        }
        contenders.rotate_right(first);
    }
    Ok(())
}

/// What clonebox has resident while its box sleeps.
fn resident_kib(program: &Path, sleeper: &Path) -> Result<u64> {
    let mut clonebox = Command::new(program)
        .arg("--")
        .arg(sleeper)
        .stdin(Stdio::null())
        .spawn()?;
    let pid = clonebox.id();
    let sleeps = wait_for(|| {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        let child = children
            .split(' ')
            .next()
            .filter(|child| !child.is_empty())?;
        let program = fs::read_link(format!("/proc/{child}/exe")).ok()?;
        (program == sleeper).then_some(())
    });
    // What it does after the start it has done by then.
    thread::sleep(Duration::from_millis(100));
    let kib = sleeps.and_then(|()| rss_kib(Path::new(&format!("/proc/{pid}/status"))));
    clonebox.kill()?;
    clonebox.wait()?;
    kib.ok_or_else(|| "cannot see the supervisor's memory".into())
}

fn rss_kib(status: &Path) -> Option<u64> {
    let status = fs::read_to_string(status).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn wait_for(mut ready: impl FnMut() -> Option<()>) -> Option<()> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        if ready().is_some() {
            return Some(());
        }
        thread::sleep(Duration::from_millis(1));
    }
    None
}
