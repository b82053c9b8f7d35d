// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox pause`.

use std::ffi::OsString;

use super::boxes::{each, some};
use super::words::{self, Asked, NoOptions};
use crate::{Failure, named, render};

pub(super) const HELP: &str = "\
Usage: clonebox pause NAME...
Stops all processes of boxes, until clonebox unpause.

A box can be paused if it has a cgroup, that is, if it was started with a limit
(-m, --cpus, --pids-limit...). On version 1 of cgroups a box that is paused
takes no signal, not even SIGKILL; clonebox kill and stop let it go on first.
";

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let names = match words::read::<NoOptions>("pause", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(_, names) => names,
    };
    some("pause", &names)?;
    let registry = named::registry()?;
    Ok(each(names, |name| Ok(registry.find(&name)?.pause()?)))
}
