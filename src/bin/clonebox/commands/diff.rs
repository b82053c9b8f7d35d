// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox diff`: what a box has written over its root filesystem.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clonebox::Change;

use super::boxes::one;
use super::words::{self, Asked, NoOptions};
use crate::{Failure, named, render};

pub(super) const HELP: &str = "\
Usage: clonebox diff NAME
Lists what a box has added (A), changed (C) and deleted (D) in its root.

It is for boxes that were started with --rootfs-overlay and --upper: what is
written over a root without --upper lies in memory that only the box can reach.
";

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let names = match words::read::<NoOptions>("diff", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(_, names) => names,
    };
    let entry = one("diff", &names, &named::registry()?)?;
    let lines = entry.diff()?.into_iter().map(|(change, path)| {
        let letter = match change {
            Change::Added => 'A',
            Change::Changed => 'C',
            Change::Deleted => 'D',
        };
        format!("{letter} {}\n", path.as_os_str().as_bytes().escape_ascii())
    });
    Ok(render::page(&lines.collect::<String>()))
}
