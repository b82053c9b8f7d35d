// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox update`: other limits for boxes that run.

use std::ffi::OsString;

use super::boxes::{each, some};
use super::words::{self, Asked};
use crate::args::{Args, Known, known};
use crate::limits::limits;
use crate::typed::Typed;
use crate::usage::UsageError;
use crate::{Failure, named, render};

pub(super) const HELP: &str = "\
Usage: clonebox update LIMIT... NAME...
Changes limits of boxes that run: of each box all of them, or none.

  -m, --memory SIZE   --memory-reservation SIZE   --memory-swap SIZE
      --cpus N  --cpu-weight N, --cpu-shares N  --cpuset-cpus, --cpuset-mems 0-2
      --pids-limit N   --io-weight N   --cgroup-conf FILE=VALUE

They are those of clonebox --help. A box can be given another limit of a kind
(memory, processors, processes, disks) that it was started with.
";

/// The options of a box that can be changed.
const LIMITS: [&str; 11] = [
    "--memory",
    "--memory-reservation",
    "--memory-swap",
    "--cpus",
    "--cpu-weight",
    "--cpu-shares",
    "--cpuset-cpus",
    "--cpuset-mems",
    "--pids-limit",
    "--io-weight",
    "--cgroup-conf",
];

fn limits_known() -> Vec<Known> {
    let mut known = known::<Args>();
    known.retain(|option| LIMITS.contains(&option.long));
    known
}

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let (options, names) = match words::split("update", words, limits_known)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(options, names) => (options, names),
    };
    if options.is_empty() {
        return Err(UsageError::new("update needs a limit: see clonebox help update").into());
    }
    some("update", &names)?;
    let limits = limits(&Typed::parse(options)?)?;
    let registry = named::registry()?;
    Ok(each(names, |name| {
        Ok(registry.find(&name)?.update(&limits)?)
    }))
}
