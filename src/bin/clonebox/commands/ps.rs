// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox ps`: the boxes that have names.

use std::ffi::OsString;

use argh::{ArgsInfo, FromArgs};
use clonebox::{BoxState, Entry};

use super::words::{self, Asked};
use crate::table::{self, Table};
use crate::usage::UsageError;
use crate::{Failure, named, render};

pub(super) const HELP: &str = "\
Usage: clonebox ps [--json]
Lists the boxes of the caller that have names.

  --json   one JSON object a line

MEMORY and CPU are those of its cgroups; - without. A box that was started with
--detach is listed after its end, too, until clonebox rm.
";

/// Lists boxes.
#[derive(ArgsInfo, Debug, FromArgs)]
struct Args {
    /// for programs
    #[argh(switch)]
    json: bool,
}

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let args: Args = match words::read("ps", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(args, operands) if operands.is_empty() => args,
        Asked::This(..) => return Err(UsageError::new("ps takes no names").into()),
    };
    let entries = named::registry()?.entries()?;
    if args.json {
        let lines = entries.iter().map(|entry| format!("{}\n", entry.to_json()));
        return Ok(render::page(&lines.collect::<String>()));
    }
    let mut table = Table::new(["NAME", "PID", "AGE", "STATE", "MEMORY", "CPU", "COMMAND"]);
    for entry in &entries {
        table.row(row(entry));
    }
    Ok(render::page(&table.to_string()))
}

fn row(entry: &Entry) -> [String; 7] {
    let load = entry.load();
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        entry.name().to_owned(),
        or_dash(entry.pid().map(|pid| pid.to_string())),
        table::age(entry.created().elapsed().unwrap_or_default()),
        state(entry.state()),
        or_dash(load.memory_bytes.map(table::bytes)),
        or_dash(load.cpu.map(|time| format!("{:.1}s", time.as_secs_f64()))),
        table::words(entry.command()),
    ]
}

fn state(state: BoxState) -> String {
    match state {
        BoxState::Starting => "starting".to_owned(),
        BoxState::Running => "running".to_owned(),
        BoxState::Paused => "paused".to_owned(),
        BoxState::Ended(Some(code)) => format!("ended ({code})"),
        BoxState::Ended(None) => "ended".to_owned(),
        _ => "elsewhere".to_owned(),
    }
}
