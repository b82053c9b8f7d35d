// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox kill`: sends a signal to boxes.

use std::ffi::OsString;

use argh::{ArgsInfo, FromArgs};
use clonebox::BoxState;

use super::boxes::{each, has_ended, signal, some};
use super::words::{self, Asked};
use crate::usage::UsageError;
use crate::{Failure, named, render};

pub(super) const HELP: &str = "\
Usage: clonebox kill [-s SIGNAL] NAME... | --all
Sends a signal to the first process of boxes.

  -s, --signal SIGNAL   a name, as TERM, or a number (KILL)
      --all             all boxes of the caller that run

SIGKILL ends a box. As PID 1 its first process ignores every other signal that
it has no handler for. A process id may stand in the place of a name.
";

/// Sends a signal.
#[derive(ArgsInfo, Debug, FromArgs)]
struct Args {
    /// which
    #[argh(option, short = 's')]
    signal: Option<String>,
    /// to all boxes
    #[argh(switch)]
    all: bool,
}

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let (args, names): (Args, _) = match words::read("kill", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(args, names) => (args, names),
    };
    let signal = signal(args.signal.as_deref().unwrap_or("KILL"))?;
    let registry = named::registry()?;
    if !args.all {
        some("kill", &names)?;
        return Ok(each(names, |name| {
            Ok(registry.find(&name)?.signal(signal)?)
        }));
    }
    if !names.is_empty() {
        return Err(UsageError::new("kill takes names or --all, not both").into());
    }
    let mut entries = registry.entries()?;
    entries.retain(|entry| matches!(entry.state(), BoxState::Running | BoxState::Paused));
    Ok(each(entries, |entry| match entry.signal(signal) {
        // It has ended since it was listed.
        Err(_) if has_ended(&entry) => Ok(()),
        result => Ok(result?),
    }))
}
