// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox completion`: what makes a shell complete the words of clonebox.

use std::ffi::OsString;

use super::words::{self, Asked, NoOptions};
use crate::reference::{bash, fish, zsh};
use crate::usage::UsageError;
use crate::{Failure, render};

pub(super) const HELP: &str = "\
Usage: clonebox completion bash|zsh|fish
Prints what makes a shell complete the words of clonebox.

  source <(clonebox completion bash)    in .bashrc; the same in .zshrc,
  clonebox completion fish | source     after compinit; in config.fish
";

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let operands = match words::read::<NoOptions>("completion", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(_, operands) => operands,
    };
    let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
    let script = match operands[..] {
        ["bash"] => bash::script(),
        ["zsh"] => zsh::script(),
        ["fish"] => fish::script(),
        _ => return Err(UsageError::new("completion takes one shell: bash, zsh or fish").into()),
    };
    Ok(render::page(&script))
}
