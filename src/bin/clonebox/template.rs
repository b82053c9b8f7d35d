// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--template`: a box whose options and mounts somebody has written down and made before.

use std::ffi::OsString;
use std::path::Path;

use clonebox::{MountKind, Origin, Spec, Templates, Writes};

use crate::convert::{self, Options};
use crate::typed::{Typed, Word};
use crate::usage::UsageError;
use crate::words::{self, Request};
use crate::{Failure, named};

/// The templates of the caller.
pub(crate) fn templates() -> Result<Templates, Failure> {
    Ok(Templates::of(&named::registry()?))
}

/// The template that is asked for.
pub(crate) fn asked(options: &[Word]) -> Option<String> {
    let word = options.iter().find(|word| word.option == "--template");
    word.and_then(|word| word.value.clone())
}

/// What the words of the template, and those of the command line after them, mean.
pub(crate) fn options(name: &str, words: Vec<OsString>) -> Result<Options, Failure> {
    let template = templates()?.find(name)?;
    let own = template.words().iter().map(OsString::from);
    let Request::Run { options, command } = words::read(own.chain(words))? else {
        let message = format!("the words of the template {name} are those of no box");
        return Err(UsageError::new(message).into());
    };
    let mut options = convert::options(&Typed::parse(options)?, command)?;
    options.template = Some(template);
    Ok(options)
}

/// Options as they are kept: what profiles and files said is in the place of their words.
pub(crate) fn kept(options: &[Word]) -> Vec<String> {
    let words = options.iter().map(|word| match &word.value {
        Some(value) => format!("{}={value}", word.option),
        None => word.option.to_owned(),
    });
    words.collect()
}

/// What a template is created with: it must mean the same whenever and wherever it is used.
pub(crate) fn lasting(args: &Typed, spec: &Spec) -> Result<(), UsageError> {
    for option in [
        "--template",
        "--file",
        "--fd",
        "--detach",
        "--timings",
        "--report",
    ] {
        if args.words().iter().any(|word| word.option == option) {
            let message = format!("template create: {option} is for a launch, not for a template");
            return Err(UsageError::new(message));
        }
    }
    for file in &args.env_file {
        absolute(Path::new(file), &Origin::text(format!("--env-file {file}")))?;
    }
    if let Some(file) = args
        .seccomp
        .as_ref()
        .filter(|word| *word != "default" && *word != "off")
    {
        absolute(Path::new(file), &Origin::text(format!("--seccomp {file}")))?;
    }
    if let Some(rootfs) = &spec.rootfs {
        absolute(&rootfs.value.path, &rootfs.origin)?;
        if let Writes::Keep(upper) = &rootfs.value.writes {
            absolute(upper, &rootfs.origin)?;
        }
    }
    for mount in &spec.mounts {
        match &mount.value.kind {
            MountKind::Bind { source, .. } => absolute(source, &mount.origin)?,
            MountKind::Overlay { lower, upper } => {
                let upper = upper.iter().flat_map(|(upper, work)| [upper, work]);
                for path in lower.iter().chain(upper) {
                    absolute(path, &mount.origin)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn absolute(path: &Path, origin: &Origin) -> Result<(), UsageError> {
    if path.is_absolute() {
        return Ok(());
    }
    let message = format!(
        "{origin}: a template is used from any directory: expected a path that begins with /"
    );
    Err(UsageError::new(message))
}
