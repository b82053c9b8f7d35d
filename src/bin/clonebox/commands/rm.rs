// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox rm`: forgets boxes that have ended.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};
use clonebox::{BoxState, Entry};

use super::boxes::{each_in_turn, has_ended, kill, some};
use super::words::{self, Asked};
use crate::{Failure, named, render};

pub(super) const HELP: &str = "\
Usage: clonebox rm [OPTIONS] NAME...
Forgets boxes that have ended, their logs and how they ended.

  -f, --force   kill those that run; a name that no box has is no error
  -q, --quiet   does not tell at a terminal how far it is
";

/// Forgets boxes.
#[derive(ArgsInfo, Debug, FromArgs)]
struct Args {
    /// also those that run
    #[argh(switch, short = 'f')]
    force: bool,
    /// say nothing but errors
    #[argh(switch, short = 'q')]
    quiet: bool,
}

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let (args, names): (Args, _) = match words::read("rm", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(args, names) => (args, names),
    };
    some("rm", &names)?;
    let registry = named::registry()?;
    Ok(each_in_turn(names, args.quiet, "removing", |name| {
        if args.force {
            let Ok(entry) = registry.find(&name) else {
                return Ok(());
            };
            if matches!(entry.state(), BoxState::Running | BoxState::Paused) {
                kill(&entry)?;
            }
            until_told(&entry)?;
            // Its launcher may have taken the name away already.
            return registry
                .find(&name)
                .map_or(Ok(()), |entry| Ok(entry.forget()?));
        }
        until_told(&registry.find(&name)?)?;
        Ok(registry.find(&name)?.forget()?)
    }))
}

/// Waits until whoever cares for a box that has ended has written down how.
fn until_told(entry: &Entry) -> Result<(), Failure> {
    /// Our own choice: they have nothing else to do, if they have not been stopped.
    const WITHIN: Duration = Duration::from_secs(10);
    if has_ended(entry) {
        entry.wait(Instant::now().checked_add(WITHIN))?;
    }
    Ok(())
}
