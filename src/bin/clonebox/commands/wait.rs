// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox wait`: waits for the end of boxes.

use std::ffi::OsString;

use super::boxes::{each, some};
use super::words::{self, Asked, NoOptions};
use crate::usage::UsageError;
use crate::{Failure, named, render};

pub(super) const HELP: &str = "\
Usage: clonebox wait NAME...
Waits for the end of boxes and prints the exit code of each.

The code is what clonebox exits with: the command's, or 128+N after signal N.
";

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let names = match words::read::<NoOptions>("wait", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(_, names) => names,
    };
    some("wait", &names)?;
    let registry = named::registry()?;
    Ok(each(names, |name| {
        let mut entry = registry.find(&name)?;
        // A box that is only starting becomes another record, or none.
        while entry.pid().is_none() {
            entry.wait(None)?;
            entry = registry.find(&name)?;
        }
        let end = entry.wait(None)?.unwrap_or_default();
        let code = end["exit_code"].as_u64().ok_or_else(|| {
            UsageError::new(format!(
                "the box {} has ended, and nobody has seen how",
                entry.name()
            ))
        })?;
        match render::page(&format!("{code}\n")) {
            0 => Ok(()),
            _ => Err(Failure::Io(
                "print the exit code",
                std::io::Error::last_os_error(),
            )),
        }
    }))
}
