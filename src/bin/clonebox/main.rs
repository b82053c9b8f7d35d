// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command: words in, a box, its exit code out.
//!
//! ```text
//! argv ─▶ words (split, normalise) ─▶ Args (argh) ─▶ Spec ─▶ clonebox ─▶ render, exit code
//! ```

#![cfg_attr(not(test), no_main)]
#![cfg_attr(fuzzing, expect(dead_code, reason = "a fuzzer only reads the words"))]

#[cfg(any(target_env = "musl", test))]
mod arena;
mod args;
#[cfg(any(test, fuzzing))]
#[path = "../../../tests/properties/choices.rs"]
#[expect(dead_code, reason = "not all decisions are needed")]
mod choices;
mod commands;
mod config;
mod confine;
mod convert;
mod descriptors;
mod detach;
#[cfg(not(fuzzing))]
mod entry;
mod footprint;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod help;
mod limits;
mod mounts;
mod named;
mod network;
mod privileges;
mod profile;
mod reference;
mod render;
mod report;
mod seccomp;
mod suggest;
mod table;
mod template;
mod typed;
mod usage;
mod words;

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::Arc;

use clonebox::{
    Command, Enforced, Namespace, Outcome, PinnedTemplate, RefusedCall, Supervisor, Template,
    TemplateMounts, Tty,
};

use convert::Options;
use report::Sink;
use typed::Typed;
use usage::UsageError;
use words::Request;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: arena::Arena = arena::Arena::new();

/// What clonebox itself exits with when it fails, as docker does.
const EXIT_FAILED: u8 = 125;

/// What it exits with if there is no such program, as shells do.
const EXIT_NOT_FOUND: u8 = 127;

/// Does what the words ask for: the exit code of the process.
fn run_and_report(mut words: impl Iterator<Item = OsString> + Clone) -> u8 {
    run(words.clone()).unwrap_or_else(|failure| {
        render::failure(&failure);
        let code = failure.exit_code();
        if code == EXIT_NOT_FOUND
            && let Some(name) = words.next().as_deref().and_then(suggest::subcommand)
        {
            render::hint(&format!(
                "there is a subcommand {name}: clonebox help {name}"
            ));
        }
        code
    })
}

/// Why there is no exit code of a program.
#[derive(Debug)]
enum Failure {
    /// The words make no sense.
    Usage(UsageError),
    /// There is no box.
    Box(clonebox::Error),
    /// The command could not do its own part.
    Io(&'static str, std::io::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Box(error) => error.exit_code(),
            Self::Usage(_) | Self::Io(..) => EXIT_FAILED,
        }
    }
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<clonebox::Error> for Failure {
    fn from(error: clonebox::Error) -> Self {
        Self::Box(error)
    }
}

fn run(words: impl Iterator<Item = OsString>) -> Result<u8, Failure> {
    privileges::refuse_set_id()?;
    let mut words = words.peekable();
    match words.peek().and_then(|word| commands::find(word)) {
        Some(subcommand) => (subcommand.run)(words.skip(1).collect()),
        None => run_box(words),
    }
}

/// Runs a program in a box, as the words ask for.
fn run_box(words: impl Iterator<Item = OsString>) -> Result<u8, Failure> {
    let words: Vec<OsString> = words.collect();
    let (options, command) = match words::read(words.iter().cloned())? {
        Request::Help => return Ok(render::page(help::TEXT)),
        Request::Version => return Ok(render::page(&help::version())),
        Request::Run { command, .. } if command.is_empty() => {
            return Err(words::no_command().into());
        }
        Request::Run { options, command } => (options, command),
    };
    let options = match template::asked(&options) {
        Some(name) => template::options(&name, words)?,
        None => convert::options(&Typed::parse(options)?, command)?,
    };
    match options.explain {
        Some(form) => explain(&options, form),
        None => supervise(options),
    }
}

fn explain(options: &Options, form: convert::Form) -> Result<u8, Failure> {
    let spec = Arc::clone(&options.spec);
    let template = match options.detach {
        Some(how) => detach::template(spec, how, options.template.as_ref())?,
        None => for_one_launch(spec, options.template.as_ref())?,
    };
    Ok(match form {
        convert::Form::Text => render::page(&template.plan().to_string()),
        convert::Form::Json => render::page(&format!("{:#}\n", template.plan().to_json())),
    })
}

/// One launch makes its mounts itself, unless somebody has made them before.
fn for_one_launch(
    spec: Arc<clonebox::Spec>,
    template: Option<&PinnedTemplate>,
) -> Result<Template, clonebox::Error> {
    prepare(&mut Command::from(spec), template)
}

fn prepare(
    command: &mut Command,
    template: Option<&PinnedTemplate>,
) -> Result<Template, clonebox::Error> {
    match template {
        Some(template) => command.prepare_pinned(template),
        None => command
            .template_mounts(TemplateMounts::EachLaunch)
            .prepare(),
    }
}

/// Keeps the box's end to be seen: for a caller that ignores SIGCHLD, which is inherited, the kernel waits
/// itself.
fn wait_for_children() {
    // SAFETY: no handler is installed, and the process has one thread.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

fn supervise(options: Options) -> Result<u8, Failure> {
    wait_for_children();
    if let Some(how) = options.detach {
        return detach::run(options, how);
    }
    let Options {
        spec,
        quiet,
        timeout,
        report,
        timings,
        template,
        ..
    } = options;
    let mut supervisor = Supervisor::new().map_err(|error| Failure::Io("take signals", error))?;
    if let Some(timeout) = timeout {
        supervisor.timeout(timeout);
    }
    supervisor.when_settled(footprint::give_up_file_pages);
    if spec.tty.value == Tty::Inherit && spec.namespaces.pid.value == Namespace::Private {
        supervisor.wait_for_foreground();
    }
    let outcome = start(spec, template.as_ref(), &supervisor, timings, quiet);
    // The signals stay taken until the process ends: one that comes late must not change how.
    std::mem::forget(supervisor);
    if let Some(report) = report {
        report
            .write(&report::of(&outcome))
            .map_err(|error| Failure::Io("write the report", error))?;
    }
    outcome.map(|ended| ended.outcome.exit_code())
}

/// A box that has ended.
#[derive(Debug)]
struct Ended {
    outcome: Outcome,
    /// The mount points that were made in its root filesystem.
    made: Vec<PathBuf>,
    /// What a traced filter would have refused.
    refused: Option<Vec<RefusedCall>>,
    /// What Landlock has restricted.
    landlock: Option<Enforced>,
}

fn start(
    spec: Arc<clonebox::Spec>,
    pinned: Option<&PinnedTemplate>,
    supervisor: &Supervisor,
    timings: Option<Sink>,
    quiet: bool,
) -> Result<Ended, Failure> {
    let named = spec.name.is_some();
    // Its memory goes with the process.
    let template = ManuallyDrop::new(for_one_launch(spec, pinned)?);
    if !quiet {
        render::missed(template.plan().missed());
    }
    // A box without a name leaves no trace.
    let mut claim = match named {
        true => Some(named::registry()?.claim(&template)?),
        false => None,
    };
    let mut child = template.spawn()?;
    if let Some(claim) = &mut claim {
        claim.started(&child).inspect_err(|_| end(&mut child))?;
    }
    privileges::drop_unneeded(template.plan().has_cgroups());
    if let Some((sink, steps)) = timings.zip(child.timings()) {
        sink.write(&render::timings(&steps))
            .map_err(|error| Failure::Io("write the timings", error))?;
    }
    let outcome = supervisor
        .supervise(&mut child, |notice| {
            if !quiet {
                render::notice(notice);
            }
        })
        .map_err(|error| Failure::Io("wait for the box", error))?;
    render::out_of_memory(&outcome);
    render::killed_by_filter(&outcome);
    let refused = child.refused();
    refused.iter().for_each(|calls| render::refused(calls));
    if let Some(mut claim) = claim {
        // Who waits for it is told how it has ended; if that fails, only that.
        let _ = claim.ended(&outcome);
    }
    let plan = template.plan();
    Ok(Ended {
        refused,
        outcome,
        made: plan.makes().to_vec(),
        landlock: plan.landlock(),
    })
}

/// Ends a box that cannot be looked after.
fn end(child: &mut clonebox::Child) {
    let _ = child.kill();
    let _ = child.wait();
}
