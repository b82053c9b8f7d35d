// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox stats`: what boxes use, again and again.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::thread;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};
use clonebox::{BoxState, Entry, Registry};
use serde_json::json;

use super::words::{self, Asked};
use crate::table::{self, Table};
use crate::{Failure, convert, named, render, typed};

pub(super) const HELP: &str = "\
Usage: clonebox stats [OPTIONS] [NAME...]
Shows what boxes use, all of the caller's or those that are named.

      --json            one JSON object a line and box
      --once            once; otherwise until interrupted, if standard output is
                        a terminal, or with --interval
      --interval TIME   how often (1s)

The numbers are those of their cgroups: of a box that was started without
limits nothing is known. CPU is in percent of one processor.
";

/// Shows what boxes use.
#[derive(ArgsInfo, Debug, FromArgs)]
struct Args {
    /// for programs
    #[argh(switch)]
    json: bool,
    /// once
    #[argh(switch)]
    once: bool,
    /// how often
    #[argh(option)]
    interval: Option<String>,
}

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let (args, names): (Args, _) = match words::read("stats", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(args, names) => (args, names),
    };
    let interval = typed::optional("--interval", args.interval.as_deref(), convert::duration)?;
    let screen = io::stdout().is_terminal();
    let again = !args.once && (screen || interval.is_some());
    let interval = interval.map_or(Duration::from_secs(1), |interval| interval.value);
    let registry = named::registry()?;
    let mut meter = Meter::default();
    if again {
        // What a processor did is known from the second look on.
        let _ = meter.read(boxes(&registry, &names)?);
        thread::sleep(interval.min(Duration::from_millis(200)));
    }
    loop {
        let samples = meter.read(boxes(&registry, &names)?);
        let page = if args.json {
            samples.iter().map(Sample::line).collect()
        } else if screen && again {
            // Home, the table, and nothing below it: ECMA-48.
            format!("\x1b[H\x1b[J{}", table(&samples))
        } else {
            table(&samples).to_string()
        };
        let code = render::page(&page);
        if code != 0 || !again {
            return Ok(code);
        }
        thread::sleep(interval);
    }
}

fn boxes(registry: &Registry, names: &[String]) -> Result<Vec<Entry>, Failure> {
    let mut entries = if names.is_empty() {
        registry.entries()?
    } else {
        let found: Result<Vec<Entry>, _> = names.iter().map(|name| registry.find(name)).collect();
        found?
    };
    entries.retain(|entry| matches!(entry.state(), BoxState::Running | BoxState::Paused));
    Ok(entries)
}

/// One look at a box.
struct Sample {
    name: String,
    load: clonebox::Load,
    /// Of one processor, since the look before.
    cpu_percent: Option<f64>,
}

impl Sample {
    fn line(&self) -> String {
        let line = json!({
            "name": self.name,
            "memory_bytes": self.load.memory_bytes,
            "memory_limit_bytes": self.load.memory_limit_bytes,
            "cpu_s": self.load.cpu.map(|time| time.as_secs_f64()),
            "cpu_percent": self.cpu_percent,
            "pids": self.load.pids,
        });
        format!("{line}\n")
    }
}

/// What was seen at the last look.
#[derive(Default)]
struct Meter(HashMap<(String, Option<u32>), (Instant, Duration)>);

impl Meter {
    fn read(&mut self, entries: Vec<Entry>) -> Vec<Sample> {
        let samples = entries.into_iter().map(|entry| {
            let (load, now) = (entry.load(), Instant::now());
            let key = (entry.name().to_owned(), entry.pid());
            let before = load.cpu.and_then(|used| self.0.insert(key, (now, used)));
            let cpu_percent = before.zip(load.cpu).map(|((then, before), used)| {
                let wall = now.duration_since(then).as_secs_f64();
                used.saturating_sub(before).as_secs_f64() * 100.0 / wall
            });
            Sample {
                name: entry.name().to_owned(),
                load,
                cpu_percent,
            }
        });
        samples.collect()
    }
}

fn table(samples: &[Sample]) -> Table<5> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let mut table = Table::new(["NAME", "CPU", "MEMORY", "LIMIT", "PIDS"]);
    for Sample {
        name,
        load,
        cpu_percent,
    } in samples
    {
        table.row([
            name.clone(),
            or_dash(cpu_percent.map(|percent| format!("{percent:.1}%"))),
            or_dash(load.memory_bytes.map(table::bytes)),
            or_dash(load.memory_limit_bytes.map(table::bytes)),
            or_dash(load.pids.map(|pids| pids.to_string())),
        ]);
    }
    table
}
