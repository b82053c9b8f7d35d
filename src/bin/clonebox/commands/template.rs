// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox template`: mounts that are made once, for boxes that are started later.

use std::ffi::OsString;

use clonebox::{Command, HostFacts, PinnedTemplate, Spec, compile_template};

use super::boxes::{each, some};
use super::words::{self as operands, Asked, NoOptions};
use crate::convert::{self, Form};
use crate::table::{self, Table};
use crate::template::{kept, lasting, templates};
use crate::typed::Typed;
use crate::usage::UsageError;
use crate::words::{self, Request, utf8};
use crate::{EXIT_FAILED, Failure, render};

pub(super) const HELP: &str = "\
Usage: clonebox template create NAME OPTIONS | ls | rm NAME...
Makes the mounts of a root filesystem once, for clonebox --template NAME.

  create   NAME, and options of clonebox --help, --rootfs or --rootfs-overlay
           among them; with --explain what would be done
  ls       the templates of the caller
  rm       removes them; boxes that run keep their mounts

A box of a template starts in the same time however much is mounted on the
host: clonebox --template NAME [OPTIONS] [--] COMMAND [ARG...]. What is
mounted on the host afterwards it does not see. OPTIONS may be anything but
other mounts. Templates are root's, outside of user namespaces: only there are
mounts that no process has to hold. No daemon does, either: a file below
/run/clonebox does, until template rm or until the machine is down.
";

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let mut words = words.into_iter();
    let verb = words.next();
    let rest: Vec<OsString> = words.collect();
    match verb.as_ref().and_then(|verb| verb.to_str()) {
        Some("create") => create(rest),
        Some("ls") => list(rest),
        Some("rm") => remove(rest),
        Some("-h" | "--help") => Ok(render::page(HELP)),
        _ => Err(UsageError::new(
            "expected template create, template ls or template rm: try clonebox template --help",
        )
        .into()),
    }
}

fn create(words: Vec<OsString>) -> Result<u8, Failure> {
    let mut words = words.into_iter().map(utf8);
    let name = match words.next().transpose()? {
        Some(word) if word == "-h" || word == "--help" => return Ok(render::page(HELP)),
        Some(name) if !name.starts_with('-') => name,
        _ => return Err(UsageError::new("template create needs a NAME, then options").into()),
    };
    let words = words.collect::<Result<Vec<String>, _>>()?;
    // A program, of which nothing is made here.
    let whole = words.iter().cloned().chain(["--".into(), "/".into()]);
    let (options, command) = match words::read(whole.map(OsString::from))? {
        Request::Run { options, command } => (options, command),
        _ => return Ok(render::page(HELP)),
    };
    if command.len() != 1 {
        let message = "template create takes no COMMAND: clonebox --template NAME -- COMMAND does";
        return Err(UsageError::new(message).into());
    }
    let words = kept(&options);
    let typed = Typed::parse(options)?;
    let asked = convert::options(&typed, command)?;
    lasting(&typed, &asked.spec)?;
    if let Some(form) = asked.explain {
        return explain(&asked.spec, form);
    }
    templates()?.create(&name, &words, &Command::from(asked.spec))?;
    Ok(0)
}

/// What would make the mounts. Where nothing is made once, a launch makes all.
fn explain(spec: &Spec, form: Form) -> Result<u8, Failure> {
    let Ok(plans) = compile_template(spec, &HostFacts::gather(spec)) else {
        // What is wrong with it is told before anything is made.
        Command::from(spec.clone()).prepare()?;
        return Ok(EXIT_FAILED);
    };
    let plan = plans.once.ok_or_else(|| {
        UsageError::new("these boxes make all their mounts themselves: there is nothing to keep")
    })?;
    Ok(match form {
        Form::Text => render::page(&plan.to_string()),
        Form::Json => render::page(&format!("{:#}\n", plan.to_json())),
    })
}

fn list(words: Vec<OsString>) -> Result<u8, Failure> {
    match operands::read::<NoOptions>("template", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(_, operands) if operands.is_empty() => {}
        Asked::This(..) => return Err(UsageError::new("template ls takes no names").into()),
    }
    let mut table = Table::new(["NAME", "AGE", "OPTIONS"]);
    for template in templates()?.entries()? {
        table.row(row(&template));
    }
    Ok(render::page(&table.to_string()))
}

fn row(template: &PinnedTemplate) -> [String; 3] {
    [
        template.name().to_owned(),
        table::age(template.created().elapsed().unwrap_or_default()),
        table::words(template.words()),
    ]
}

fn remove(words: Vec<OsString>) -> Result<u8, Failure> {
    let names = match operands::read::<NoOptions>("template", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(_, names) => names,
    };
    some("template rm", &names)?;
    let templates = templates()?;
    Ok(each(names, |name| Ok(templates.remove(&name)?)))
}
