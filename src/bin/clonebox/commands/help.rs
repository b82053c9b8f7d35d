// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox help`: the page of clonebox, of a subcommand, or of a topic; the manual page.

use std::ffi::OsString;

use argh::{ArgsInfo, FromArgs};

use super::words::{self, Asked};
use crate::reference::{man, topic};
use crate::usage::UsageError;
use crate::{Failure, help, render};

pub(super) const HELP: &str = "\
Usage: clonebox help [SUBCOMMAND|TOPIC|OPTION|--man]
Prints the page of clonebox, of a subcommand, or about a topic or an option.

A TOPIC is a heading of clonebox --help: box, files, limits, namespaces,
privileges, life, looking; or profiles. An OPTION stands without its dashes:
help tty.

      --man    the manual page: clonebox help --man | man -l -
";

/// The options of help.
#[derive(ArgsInfo, Debug, FromArgs, PartialEq, Eq)]
struct Options {
    /// the manual page
    #[argh(switch)]
    man: bool,
}

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let (options, operands) = match words::read::<Options>("help", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(options, operands) => (options, operands),
    };
    let page = match (options.man, operands.as_slice()) {
        (true, []) => man::page(),
        (true, _) => return Err(UsageError::new("help --man takes no subcommand").into()),
        (false, []) => help::TEXT.to_owned(),
        (false, [name]) => about(name)?,
        (false, _) => return Err(UsageError::new("help takes one subcommand").into()),
    };
    Ok(render::page(&page))
}

fn about(name: &str) -> Result<String, UsageError> {
    if let Some(subcommand) = super::find(name.as_ref()) {
        return Ok(subcommand.help.to_owned());
    }
    topic::page(name).ok_or_else(|| {
        let known = super::ALL.iter().map(|known| known.name.to_owned());
        let known: Vec<String> = known.collect();
        let (name, known, topics) = (
            name.escape_default(),
            known.join(", "),
            topic::names().join(", "),
        );
        UsageError::new(format!(
            "there is no subcommand {name}; there are {known}; and the topics {topics}"
        ))
    })
}
