// SPDX-License-Identifier: MIT OR Apache-2.0
//! The comparison: clonebox as a command, a template, a library and a pool, with all that starts programs in a like
//! way and is installed.
//!
//! ```text
//! cargo bench --bench compare                      some ten minutes, as root; prints the tables
//! cargo bench --bench compare -- --test            a quick proof that everything runs
//! cargo bench --bench compare -- --measure DIR     also writes DIR/compare.csv, DIR/compare.svg, docs/evaluation.md
//! cargo bench --bench compare -- --render DIR      the plot and the page from the numbers
//! ```
//!
//! Everything that is compared runs in turn, in an order that a seeded generator shuffles in each round. Each
//! run is a line of the raw numbers.

mod burden;
#[path = "compare/commands.rs"]
mod commands;
#[expect(dead_code, reason = "other benches use the rest")]
mod contenders;
mod floor;
#[path = "compare/hakoniwa.rs"]
mod hakoniwa;
#[path = "compare/library.rs"]
mod library;
mod mounts;
#[path = "compare/page.rs"]
mod page;
#[path = "compare/peak.rs"]
mod peak;
#[path = "compare/plot.rs"]
mod plot;
#[path = "compare/questions.rs"]
mod questions;
#[path = "compare/rate.rs"]
mod rate;
#[expect(dead_code, reason = "other benches use the rest")]
mod roots;
#[path = "compare/runs.rs"]
mod runs;
#[path = "compare/support.rs"]
mod support;
#[path = "compare/targets.rs"]
mod targets;
#[expect(dead_code, reason = "other benches use the rest")]
mod ways;
#[expect(dead_code, reason = "other benches use the rest")]
mod workers;

use std::env;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use runs::Runs;
use support::Result;
use support::load::Load;
use support::target::Target;

/// How long each group of what is compared is measured, at most.
#[derive(Clone, Copy, Debug)]
struct Budget {
    time: Duration,
    rounds: usize,
    /// How many run at once where many do.
    at_once: usize,
    mounts: [usize; 3],
    /// Resident memory in MiB, and threads, of the programs that launch.
    parents: [(usize, usize); 4],
}

impl Budget {
    /// Memory, threads and host mounts of programs that launch with a root filesystem.
    fn carried(self) -> [Load; 6] {
        let [few, more, many] = self.mounts;
        let [_, (some_mib, _), (most_mib, _), (_, threads)] = self.parents;
        let load = |resident_mib, threads, mounts| Load {
            resident_mib,
            threads,
            mounts,
        };
        [
            load(0, 0, few),
            load(0, 0, more),
            load(0, 0, many),
            load(some_mib, 0, few),
            load(most_mib, 0, few),
            load(0, threads, few),
        ]
    }
}

const WHOLE: Budget = Budget {
    time: Duration::from_secs(30),
    // More would make the raw numbers too long to keep.
    rounds: 1000,
    at_once: 8,
    mounts: [20, 200, 2000],
    parents: [(0, 0), (1024, 0), (4096, 0), (0, 64)],
};
const SMOKE: Budget = Budget {
    time: Duration::from_secs(2),
    rounds: 2,
    at_once: 2,
    mounts: [20, 30, 40],
    parents: [(0, 0), (8, 0), (16, 0), (0, 2)],
};

fn main() -> Result {
    if ways::is_child() {
        ways::become_child();
    }
    if let Some((load, target)) = workers::asked() {
        return library::work(load, &target);
    }
    let words: Vec<String> = env::args().skip(1).collect();
    let after = |option: &str| {
        let at = words.iter().position(|word| word == option)?;
        words.get(at + 1).map(PathBuf::from)
    };
    if let Some(dir) = after("--render") {
        return render(&Runs::read(&dir.join("compare.csv"))?, &dir);
    }
    let test = words.iter().any(|word| word == "--test");
    let target = Target::new()?;
    if let Err(error) = clonebox::Command::new(target.exit()).status() {
        writeln!(stdout(), "skipped: boxes cannot be made here: {error}")?;
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        writeln!(stdout(), "skipped: what is compared needs root")?;
        return Ok(());
    }
    let budget = if test { SMOKE } else { WHOLE };
    let mut runs = Runs::new(support::host::facts());
    // A test fetches nothing.
    let others = hakoniwa::program(!test);
    if let Err(why) = &others {
        writeln!(stdout(), "skipped: hakoniwa: {why}")?;
        let why = why.lines().next().unwrap_or_default();
        runs.note("not measured, hakoniwa".to_owned(), why);
    }
    rate::measure(budget, &target, &mut runs)?;
    library::measure(budget, &target, others.as_deref().ok(), &mut runs)?;
    commands::measure(budget, &target, &mut runs)?;
    if let Some(dir) = after("--measure") {
        runs.write(&dir.join("compare.csv"))?;
        return render(&runs, &dir);
    }
    let page = page::page(&runs);
    let dir = tempfile::tempdir()?;
    let raw = dir.path().join("compare.csv");
    runs.write(&raw)?;
    let read = Runs::read(&raw)?;
    assert_eq!(
        plot::svg(&read)?,
        plot::svg(&runs)?,
        "the numbers are read as they were written"
    );
    assert_eq!(read.facts, runs.facts);
    stdout().write_all(page.as_bytes())?;
    Ok(())
}

fn render(runs: &Runs, dir: &Path) -> Result {
    std::fs::write(dir.join("compare.svg"), plot::svg(runs)?)?;
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/evaluation.md");
    Ok(std::fs::write(docs, page::page(runs))?)
}
