// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox inspect`: all that is known of a box.

use std::ffi::OsString;

use super::boxes::one;
use super::words::{self, Asked, NoOptions};
use crate::{Failure, named, render};

pub(super) const HELP: &str = "\
Usage: clonebox inspect NAME
Prints as JSON what is known of a box: as clonebox ps, the plan, and the kernel.

What the kernel has of its first process at this moment is in \"kernel\": its
namespaces (\"shared\" with the caller or not), mounts, ids, capabilities,
no_new_privs, seccomp, and the files of its cgroups. The plan is the one that it
was started by, as of clonebox --explain=json.
";

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let names = match words::read::<NoOptions>("inspect", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(_, names) => names,
    };
    let entry = one("inspect", &names, &named::registry()?)?;
    Ok(render::page(&format!("{:#}\n", entry.inspect())))
}
