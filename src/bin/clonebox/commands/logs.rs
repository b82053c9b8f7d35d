// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox logs`: what a detached box has written.

use std::ffi::OsString;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use clonebox::{BoxState, LogReader, Written};

use super::boxes::one;
use super::words::{self, Asked};
use crate::{Failure, named, render};

pub(super) const HELP: &str = "\
Usage: clonebox logs [-f] NAME
Prints what a box that was started with --detach has written.

  -f, --follow   go on until the box has ended

What it wrote to standard error is printed on standard error. A log has a size:
what is older is forgotten (--log-size).
";

/// How often a log is looked at. Our own choice: short for a person, long for a processor.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Prints a log.
#[derive(ArgsInfo, Debug, FromArgs)]
struct Args {
    /// go on
    #[argh(switch, short = 'f')]
    follow: bool,
}

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let (args, names): (Args, _) = match words::read("logs", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(args, names) => (args, names),
    };
    let registry = named::registry()?;
    let entry = one("logs", &names, &registry)?;
    let mut log = entry.log()?;
    loop {
        // Asked before the log is read: what a box wrote before its end is in it then.
        let state = registry.find(entry.name()).map(|entry| entry.state());
        match print(&mut log) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
            Err(error) => return Err(Failure::Io("print the log", error)),
        }
        if !args.follow || matches!(state, Err(_) | Ok(BoxState::Ended(_))) {
            return Ok(0);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Prints all that there is.
fn print(log: &mut LogReader) -> io::Result<()> {
    while let Some((stream, bytes)) = log.piece()? {
        match stream {
            Written::Stdout => io::stdout().write_all(&bytes)?,
            Written::Stderr => io::stderr().write_all(&bytes)?,
        }
    }
    io::stdout().flush()
}
