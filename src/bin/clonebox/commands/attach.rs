// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox attach`: at the terminal of a detached box.

use std::ffi::OsString;
use std::io;

use clonebox::{Attached, Supervisor};

use super::boxes::one;
use super::words::{self, Asked, NoOptions};
use crate::{Failure, named, render};

pub(super) const HELP: &str = "\
Usage: clonebox attach NAME
Shows what a box that was started with --detach writes, until it ends.

On the terminal of a box (--tty new) what is typed is the box's; ^P ^Q leaves
it, and it goes on. A box without one has no input, and ^C leaves it. What it
wrote before is in clonebox logs. The exit code is the box's, or 0.
";

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let names = match words::read::<NoOptions>("attach", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(_, names) => names,
    };
    let entry = one("attach", &names, &named::registry()?)?;
    let socket = entry.attach()?;
    let supervisor = Supervisor::new().map_err(|error| Failure::Io("take signals", error))?;
    match supervisor.attach(&socket) {
        Ok(Attached::Ended(code)) => Ok(code),
        Ok(Attached::Left) => Ok(0),
        Ok(_) => Err(Failure::Io(
            "stay with the box",
            io::Error::other("its keeper is gone, or this terminal is too slow: see clonebox logs"),
        )),
        Err(error) => Err(Failure::Io("stay with the box", error)),
    }
}
