// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox config`: the options that are in force, as a file for `--config`.

use std::ffi::OsString;

use crate::convert;
use crate::typed::{Typed, Word};
use crate::usage::UsageError;
use crate::words::{self, Request};
use crate::{Failure, config, help, render};

pub(super) const HELP: &str = "\
Usage: clonebox config [OPTIONS] [--] [COMMAND [ARG...]]
Prints the options that are in force, in the form that --config reads.

The options are those of clonebox --help; what --profile and --config stand for
takes their place: clonebox config --profile untrusted --memory 1g > box.toml.
What is wrong with them is an error, as it is where a box is started.
";

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let (options, mut command) = match words::read(words.into_iter())? {
        Request::Help => return Ok(render::page(HELP)),
        Request::Version => return Ok(render::page(&help::version())),
        Request::Run { options, command } => (options, command),
    };
    let text = config::write(&options);
    if command.is_empty() {
        command.push("/bin/sh".into());
    }
    check(options, command)?;
    Ok(render::page(&text))
}

/// Reads the values. A plan that is only printed opens no file for a report.
fn check(mut options: Vec<Word>, command: Vec<OsString>) -> Result<(), UsageError> {
    options.retain(|word| word.option != "--explain");
    options.push(Word {
        option: "--explain",
        value: Some("text".to_owned()),
        place: None,
    });
    let options = convert::options(&Typed::parse(options)?, command)?;
    let violations = options.spec.validate();
    if violations.is_empty() {
        return Ok(());
    }
    let violations: Vec<String> = violations.iter().map(ToString::to_string).collect();
    Err(UsageError::new(violations.join("; ")))
}
