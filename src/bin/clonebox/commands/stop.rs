// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox stop`: asks boxes to end, and makes them.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};
use clonebox::{BoxState, Entry};

use super::boxes::{each, each_in_turn, has_ended, kill, signal, some};
use super::words::{self, Asked};
use crate::usage::UsageError;
use crate::{Failure, convert, named, render, typed};

pub(super) const HELP: &str = "\
Usage: clonebox stop [OPTIONS] NAME... | --all
Asks boxes to end with SIGTERM, and kills those that have not after a time.

  -t, --timeout TIME    how long they have (10s)
  -s, --signal SIGNAL   what asks them (TERM)
      --all             all boxes of the caller
  -q, --quiet           does not tell at a terminal how far it is

It returns when they have ended. All are asked at once. As PID 1 a program
ignores a signal that it has no handler for: start such with --init.
";

/// What docker has.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stops boxes.
#[derive(ArgsInfo, Debug, FromArgs)]
struct Args {
    /// time to end
    #[argh(option, short = 't')]
    timeout: Option<String>,
    /// signal
    #[argh(option, short = 's')]
    signal: Option<String>,
    /// all boxes
    #[argh(switch)]
    all: bool,
    /// say nothing but errors
    #[argh(switch, short = 'q')]
    quiet: bool,
}

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let (args, names): (Args, _) = match words::read("stop", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(args, names) => (args, names),
    };
    let signal = signal(args.signal.as_deref().unwrap_or("TERM"))?;
    let timeout = match args.timeout.as_deref() {
        // No time at all is a wish as well.
        Some("0") => Duration::ZERO,
        word => typed::optional("--timeout", word, convert::duration)?
            .map_or(PATIENCE, |timeout| timeout.value),
    };
    let registry = named::registry()?;
    let mut asked = Vec::new();
    let mut ask = |entry: Entry| {
        match entry.signal(signal) {
            Ok(()) => asked.push(entry),
            // That is what is wanted.
            Err(_) if has_ended(&entry) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    };
    let code = if args.all {
        if !names.is_empty() {
            return Err(UsageError::new("stop takes names or --all, not both").into());
        }
        let mut entries = registry.entries()?;
        entries.retain(|entry| matches!(entry.state(), BoxState::Running | BoxState::Paused));
        each(entries, ask)
    } else {
        some("stop", &names)?;
        each(names, |name| ask(registry.find(&name)?))
    };
    let until = Instant::now().checked_add(timeout);
    let ends = each_in_turn(asked, args.quiet, "stopping", |entry| end(&entry, until));
    Ok(code.max(ends))
}

fn end(entry: &Entry, until: Option<Instant>) -> Result<(), Failure> {
    match entry.wait(until)? {
        Some(_) => Ok(()),
        None => kill(entry),
    }
}
