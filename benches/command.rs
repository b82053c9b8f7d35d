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
/// Runtimes that take tens of milliseconds need no statistics: one of them for so many rounds.
const SLOW_EVERY: usize = 15;

fn main() -> Result {
    let mode = Mode::read();
    if let Mode::Render(dir) = mode {
        return results::render(&dir);
    }
    let target = Target::new()?;
    if let Err(missing) = support::can_make_boxes(target.exit()) {
        return skip(&missing);
    }
    contenders::own_mounts()?;
    let dir = tempfile::tempdir()?;
    let (mut contenders, missing) = contenders::all(target.exit(), dir.path())?;
    for (name, why) in missing {
        writeln!(stdout(), "skipped: {name}: {why}")?;
    }
    let rounds = if mode.is_test() { 2 } else { ROUNDS };
    let measured = measure(&mut contenders, rounds, dir.path())?;
    if let Mode::Measure(dir) = mode {
        measured.write(&dir.join("command.csv"))?;
        return results::render(&dir);
    }
    for contender in &contenders {
        let us = measured
            .median(Load::default(), contender.name)
            .unwrap_or(0.0);
        writeln!(stdout(), "{:<14} {us:>9.0} µs", contender.name)?;
    }
    for (build, _) in contenders::builds() {
        let kib = measured.fact(&verdict::resident(build)).unwrap_or("?");
        writeln!(stdout(), "{build:<14} {kib:>9} KiB")?;
    }
    Ok(())
}

/// All contenders in turn.
fn measure(contenders: &mut [Contender], rounds: usize, dir: &Path) -> Result<Measured> {
    let mut facts = support::host::facts();
    facts.extend(contenders::facts());
    facts.extend(contenders.iter().filter_map(|one| one.fact.clone()));
    let sleeper = dir.join("sleep");
    target::write(&sleeper, SLEEP)?;
    for (build, program) in contenders::builds() {
        let kib = resident_kib(&program, &sleeper)?;
        facts.push((verdict::resident(build), kib.to_string()));
    }
    let mut measured = Measured::of_host(facts);
    for round in 0..rounds {
        let first = round % contenders.len();
        contenders.rotate_left(first);
        for contender in contenders.iter_mut() {
            if contender.slow && round % SLOW_EVERY != 0 {
                continue;
            }
            let us = contender.run()?.as_secs_f64() * 1e6;
            measured.add(Load::default(), contender.name, us);
        }
        contenders.rotate_right(first);
    }
    Ok(measured)
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
