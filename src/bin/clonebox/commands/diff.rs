// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox diff`: what a box has written over its root filesystem.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};
use clonebox::{Change, Entry};

use super::boxes::one;
use super::words::{self, Asked};
use crate::render::Progress;
use crate::{Failure, named, render};

pub(super) const HELP: &str = "\
Usage: clonebox diff [-q] NAME
Lists what a box has added (A), changed (C) and deleted (D) in its root.

  -q, --quiet   does not tell at a terminal how far it is

It is for boxes that were started with --rootfs-overlay and --upper: what is
written over a root without --upper lies in memory that only the box can reach.
";

/// How many names are compared before the number is shown: some hundredths of a second. Our own choice.
const MANY: u64 = 4096;

/// Lists changes.
#[derive(ArgsInfo, Debug, FromArgs)]
struct Args {
    /// say nothing but errors
    #[argh(switch, short = 'q')]
    quiet: bool,
}

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let (args, names): (Args, _) = match words::read("diff", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(args, names) => (args, names),
    };
    let entry = one("diff", &names, &named::registry()?)?;
    let changes = changes(&entry, args.quiet)?;
    let lines = changes.into_iter().map(|(change, path)| {
        let letter = match change {
            Change::Added => 'A',
            Change::Changed => 'C',
            Change::Deleted => 'D',
        };
        format!("{letter} {}\n", path.as_os_str().as_bytes().escape_ascii())
    });
    Ok(render::page(&lines.collect::<String>()))
}

/// What has changed. At a terminal a line tells how far it is.
fn changes(entry: &Entry, quiet: bool) -> Result<Vec<(Change, PathBuf)>, clonebox::Error> {
    let mut progress = Progress::new(quiet);
    let mut count = 0u64;
    entry.diff_with(|_| {
        count += 1;
        if count.is_multiple_of(MANY) {
            progress.show(format_args!("comparing, {count} names so far"));
        }
    })
}
