// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox run`: what clonebox does without the word, also for programs that are called like a
//! subcommand.

use std::ffi::OsString;

use crate::Failure;

pub(super) const HELP: &str = "\
Usage: clonebox run [OPTIONS] [--] COMMAND [ARG...]
Runs a program in a box, as clonebox does without the word run.

The options are those of clonebox --help. With the word, COMMAND may be called
like a subcommand: clonebox run help.
";

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    crate::run_box(words.into_iter())
}
