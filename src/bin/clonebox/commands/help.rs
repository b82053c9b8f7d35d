// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox help`: the page of clonebox, or of a subcommand.

use std::ffi::OsString;

use super::words::{self, Asked, NoOptions};
use crate::usage::UsageError;
use crate::{Failure, help, render};

pub(super) const HELP: &str = "\
Usage: clonebox help [SUBCOMMAND]
Prints the page of clonebox, or of a subcommand.
";

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let operands = match words::read::<NoOptions>("help", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(_, operands) => operands,
    };
    let page = match operands.as_slice() {
        [] => help::TEXT,
        [name] => match super::find(name.as_ref()) {
            Some(subcommand) => subcommand.help,
            None => {
                let known: Vec<&str> = super::ALL.iter().map(|known| known.name).collect();
                let (name, known) = (name.escape_default(), known.join(", "));
                let message = format!("there is no subcommand {name}; there are {known}");
                return Err(UsageError::new(message).into());
            }
        },
        _ => return Err(UsageError::new("help takes one subcommand").into()),
    };
    Ok(render::page(page))
}
