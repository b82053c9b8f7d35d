// SPDX-License-Identifier: MIT OR Apache-2.0
//! The subcommands: a file for each, and this table of them.
//!
//! The first word of the command line is a subcommand if it is in the table; anything else is the
//! beginning of a box: an option, `--`, or a program. So `clonebox help` prints a page, and
//! `clonebox -- help` and `clonebox run help` run a program of that name.
//!
//! To add one: a file with its page (`HELP`), its options (an argh struct, if it has any) and
//! `run(words) -> Result<exit code, Failure>`; a line in [`ALL`]; a word in `help.rs`.

mod attach;
mod boxes;
mod completion;
mod config;
mod diff;
mod doctor;
mod exec;
mod help;
mod inspect;
mod kill;
mod logs;
mod pause;
mod ps;
mod rm;
mod run;
mod stats;
mod stop;
mod template;
mod unpause;
mod update;
mod wait;
mod words;

use std::ffi::{OsStr, OsString};

use crate::Failure;

/// A subcommand.
#[derive(Debug)]
pub(crate) struct Subcommand {
    /// The word that it is called by.
    pub(crate) name: &'static str,
    /// Its page: the first line is `Usage: clonebox NAME ...`, the second what it does.
    pub(crate) help: &'static str,
    /// Does it with the words that follow: the exit code.
    pub(crate) run: fn(Vec<OsString>) -> Result<u8, Failure>,
}

/// Makes the entry of a file of this folder.
macro_rules! subcommand {
    ($name:ident) => {
        Subcommand {
            name: stringify!($name),
            help: $name::HELP,
            run: $name::run,
        }
    };
}

/// All there are, in the order of the page that lists them.
pub(crate) const ALL: &[Subcommand] = &[
    subcommand!(run),
    subcommand!(exec),
    subcommand!(ps),
    subcommand!(logs),
    subcommand!(attach),
    subcommand!(stop),
    subcommand!(kill),
    subcommand!(wait),
    subcommand!(rm),
    subcommand!(pause),
    subcommand!(unpause),
    subcommand!(update),
    subcommand!(stats),
    subcommand!(inspect),
    subcommand!(diff),
    subcommand!(config),
    subcommand!(template),
    subcommand!(doctor),
    subcommand!(completion),
    subcommand!(help),
];

/// The subcommand that a word is.
pub(crate) fn find(word: &OsStr) -> Option<&'static Subcommand> {
    ALL.iter().find(|subcommand| word == subcommand.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_begins_with_the_usage_and_what_it_does() {
        for Subcommand { name, help, .. } in ALL {
            let usage = format!("Usage: clonebox {name}");
            assert!(help.starts_with(&usage), "{name}: {help}");
            assert!(
                help.lines().nth(1).is_some_and(|line| line.ends_with('.')),
                "{name}"
            );
            assert!(
                help.ends_with('\n') && help.lines().all(|line| line.len() <= 80),
                "{name}"
            );
        }
    }
}
