// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox unpause`.

use std::ffi::OsString;

use super::boxes::{each, some};
use super::words::{self, Asked, NoOptions};
use crate::{Failure, named, render};

pub(super) const HELP: &str = "\
Usage: clonebox unpause NAME...
Lets boxes go on that were paused.
";

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let names = match words::read::<NoOptions>("unpause", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(_, names) => names,
    };
    some("unpause", &names)?;
    let registry = named::registry()?;
    Ok(each(names, |name| Ok(registry.find(&name)?.unpause()?)))
}
