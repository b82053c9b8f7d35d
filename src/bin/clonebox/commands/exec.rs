// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox exec`: a program in a box that runs.

use std::ffi::OsString;
use std::sync::Arc;

use clonebox::{Origin, Setting};

use crate::args::{Args, Known, Takes, known};
use crate::convert::{self, Options};
use crate::typed::Typed;
use crate::usage::UsageError;
use crate::words::{self, is_option, utf8};
use crate::{Failure, explain, named, render, supervise};

pub(super) const HELP: &str = "\
Usage: clonebox exec [OPTIONS] NAME|PID [--] COMMAND [ARG...]
Runs a program in a box that runs: in its namespaces, limits and root.

  -t, --tty auto|new|inherit|none   a terminal (auto: new if stdin is one)
  -u, --user USER[:GROUP]  run as, by the box's /etc/passwd (the box's user)
  -w, --workdir DIR        working directory (the box's, or /)
  -e, --env NAME[=VALUE]   set, or pass on, a variable
      --env-file FILE      set those of a file
      --env-clear          without the caller's environment
      --cap-add CAP        a capability that the box does not have
      --cap-drop CAP       one less
      --umask OCTAL, --nice N, --fd N      as of clonebox --help
      --timeout TIME, --start-timeout TIME
      --explain[=json], --timings[=FILE], --report FILE
  -q, --quiet              say nothing but errors

The program is confined as the box's own was at its start: capabilities,
no_new_privs, seccomp, Landlock. It is killed when clonebox dies, and when the
box ends. The exit code is the command's, or as of clonebox --help. PID is that
of the box's first process. A box without a name cannot be joined.
";

/// The options of a box that are those of a program as well.
const OPTIONS: [&str; 17] = [
    "--tty",
    "--user",
    "--workdir",
    "--env",
    "--env-file",
    "--env-clear",
    "--cap-add",
    "--cap-drop",
    "--umask",
    "--nice",
    "--fd",
    "--timeout",
    "--start-timeout",
    "--explain",
    "--timings",
    "--report",
    "--quiet",
];

fn options_known() -> Vec<Known> {
    let mut known = known::<Args>();
    known.retain(|option| OPTIONS.contains(&option.long));
    // Docker's.
    known.push(Known {
        long: "--tty",
        short: Some('t'),
        takes: Takes::Optionally("new"),
        repeats: false,
    });
    known
}

/// What the words ask for; nothing if that is help.
fn read(words: Vec<OsString>) -> Result<Option<(String, Options)>, UsageError> {
    let mut options = words::Options::new("clonebox exec", options_known);
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next_if(|word| is_option(word) && word != "--") {
        if word == "--help" || word == "-h" {
            return Ok(None);
        }
        options.read(word, &mut words)?;
    }
    let name = words.next_if(|word| word != "--");
    let name = name.ok_or_else(|| {
        UsageError::new("exec needs the name of a box, and a command: see clonebox ps")
    })?;
    let name = utf8(name)?;
    let dashes = words.next_if(|word| word == "--");
    let command: Vec<OsString> = words.collect();
    if let Some(word) = command
        .first()
        .filter(|word| dashes.is_none() && is_option(word))
    {
        return Err(UsageError::new(format!(
            "{} is no command: options of exec stand before the name of the box",
            word.display()
        )));
    }
    if command.is_empty() {
        return Err(UsageError::new(format!(
            "exec needs a command: try clonebox exec {} -- /bin/sh",
            name.escape_default()
        )));
    }
    let options = convert::options(&Typed::parse(options.into_words())?, command)?;
    Ok(Some((name, options)))
}

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let Some((name, mut options)) = read(words)? else {
        return Ok(render::page(HELP));
    };
    let join = named::registry()?.find(&name)?.join()?;
    let origin = Origin::text(format!("exec {}", name.escape_default()));
    Arc::make_mut(&mut options.spec).join = Some(Setting::new(join, origin));
    match options.explain {
        Some(form) => explain(&options, form),
        None => supervise(options),
    }
}
