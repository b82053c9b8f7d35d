// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of a subcommand: options and operands in any order; after `--` operands only.

use std::ffi::OsString;

use argh::{ArgsInfo, FromArgs};

use crate::args::{Known, known};
use crate::typed::Word;
use crate::usage::UsageError;
use crate::words::{Options, is_option, utf8};

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked<A> {
    /// `--help`
    Help,
    /// What the subcommand does, with its options and operands.
    This(A, Vec<String>),
}

/// Reads the words of the subcommand of this name.
pub(super) fn read<A: ArgsInfo + FromArgs>(
    name: &str,
    words: Vec<OsString>,
) -> Result<Asked<A>, UsageError> {
    let (options, operands) = match split(name, words, known::<A>)? {
        Asked::Help => return Ok(Asked::Help),
        Asked::This(options, operands) => (options, operands),
    };
    let command = format!("clonebox {name}");
    let options: Vec<&str> = options.iter().flat_map(Word::pieces).collect();
    let args = A::from_args(&[&command], &options)
        .map_err(|exit| UsageError::new(exit.output.trim().replace('\n', " ")))?;
    Ok(Asked::This(args, operands))
}

/// Splits the words of a subcommand that knows these options into options and operands.
pub(super) fn split(
    name: &str,
    words: Vec<OsString>,
    known: fn() -> Vec<Known>,
) -> Result<Asked<Vec<Word>>, UsageError> {
    let command = format!("clonebox {name}");
    let mut options = Options::new(&command, known);
    let mut operands = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            for word in words.by_ref() {
                operands.push(utf8(word)?);
            }
        } else if word == "--help" || word == "-h" {
            return Ok(Asked::Help);
        } else if is_option(&word) {
            options.read(word, &mut words)?;
        } else {
            operands.push(utf8(word)?);
        }
    }
    Ok(Asked::This(options.into_words(), operands))
}

/// The options of a subcommand that has none.
#[derive(ArgsInfo, Debug, FromArgs, PartialEq, Eq)]
#[argh(description = "nothing")]
pub(super) struct NoOptions {}

#[cfg(test)]
mod tests {
    use super::*;

    /// One.
    #[derive(ArgsInfo, Debug, FromArgs, PartialEq, Eq)]
    struct Signal {
        /// a signal
        #[argh(option, short = 's')]
        signal: Option<String>,
    }

    fn words(words: &[&str]) -> Result<Asked<Signal>, UsageError> {
        read("kill", words.iter().map(OsString::from).collect())
    }

    #[test]
    fn options_and_operands_stand_in_any_order() {
        let found = |signal: Option<&str>, operands: &[&str]| {
            let signal = signal.map(str::to_owned);
            let operands = operands.iter().map(ToString::to_string).collect();
            Ok(Asked::This(Signal { signal }, operands))
        };
        assert_eq!(
            words(&["a", "-s", "INT", "b"]),
            found(Some("INT"), &["a", "b"])
        );
        assert_eq!(words(&["a", "--", "-s"]), found(None, &["a", "-s"]));
        assert_eq!(words(&["a", "-h", "--nonsense"]), Ok(Asked::Help));
        let error = words(&["--name"]).unwrap_err().to_string();
        assert!(error.contains("try clonebox kill --help"), "{error}");
    }
}
