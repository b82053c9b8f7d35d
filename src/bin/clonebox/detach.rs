// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--detach`: a box that goes on without whoever has started it.
//!
//! ```text
//! clonebox ── fork ──▶ keeper ── clone(CLONE_VM) ──▶ box
//!    │                   │  the program runs: its name is written to the pipe
//!    ◀── name ───────────┘  a session of its own, no stream and no descriptor of the caller
//! prints it, exits 0        log, report, record, cgroups; waits
//! ```
//!
//! Whoever is to see the end of a box must be its parent, and must not be the process that the caller waits
//! for: so there are two. The command forks for that, before it has done anything: it is a process of one
//! thread that has touched some hundred pages, and its copy is small for the same reason. The box itself is
//! launched by the keeper as every box is.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use clonebox::{
    Claim, Command, Origin, ParentDeath, PinnedTemplate, Setting, Spec, Stdio, Supervisor,
    Template, Tty,
};
use nix::fcntl::OFlag;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, chdir, fork, pipe2, setsid};

use crate::convert::Options;
use crate::usage::UsageError;
use crate::{
    EXIT_FAILED, Ended, Failure, descriptors, end, footprint, named, prepare, privileges, render,
    report,
};

/// What of a log is kept, if nothing else was asked for.
const LOG_BYTES: u64 = 2 << 20;

/// Who is there for a detached box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detach {
    /// A process that keeps what it writes and sees its end.
    Kept,
    /// Nobody.
    Bare,
}

/// Reads `--detach`.
pub(crate) fn parse(word: &str) -> Result<Detach, &'static str> {
    match word {
        "kept" => Ok(Detach::Kept),
        "bare" => Ok(Detach::Bare),
        _ => Err("expected --detach or --detach=bare"),
    }
}

/// What a detached box is without the streams of the caller.
pub(crate) fn template(
    mut spec: Arc<Spec>,
    how: Detach,
    pinned: Option<&PinnedTemplate>,
) -> Result<Template, Failure> {
    let own = Arc::make_mut(&mut spec);
    match (own.tty.value, how) {
        (Tty::Inherit, _) | (Tty::New, Detach::Bare) => {
            let message = format!(
                "{}: a detached box does not have the caller's terminal",
                own.tty.origin
            );
            return Err(UsageError::new(message).into());
        }
        (Tty::Auto, _) => own.tty = Setting::new(Tty::None, Origin::text("--detach")),
        _ => {}
    }
    if how == Detach::Bare {
        own.parent_death = Setting::new(ParentDeath::Survive, Origin::text("--detach=bare"));
    }
    let has_terminal = spec.tty.value == Tty::New;
    let mut command = Command::from(spec);
    if !has_terminal {
        let output = || {
            if how == Detach::Kept {
                Stdio::piped()
            } else {
                Stdio::null()
            }
        };
        command
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output());
    }
    Ok(prepare(&mut command, pinned)?)
}

/// Starts a detached box, and prints its name when its program runs.
// Its frame would be a page of the stack of every start.
#[inline(never)]
pub(crate) fn run(options: Options, how: Detach) -> Result<u8, Failure> {
    match how {
        Detach::Bare => bare(options),
        Detach::Kept => kept(options),
    }
}

fn bare(options: Options) -> Result<u8, Failure> {
    if options.report.is_some() || options.timeout.is_some() {
        let message = "--detach=bare: nobody is there for --report and --timeout; --detach keeps a process that is";
        return Err(UsageError::new(message).into());
    }
    if let Some(trace) = &options.spec.seccomp.trace {
        let message = format!(
            "{trace}: with --detach=bare nobody is there to answer; --detach keeps a process that is"
        );
        return Err(UsageError::new(message).into());
    }
    let template = template(options.spec, Detach::Bare, options.template.as_ref())?;
    if !options.quiet {
        render::missed(template.plan().missed());
    }
    let mut claim = named::registry()?.claim(&template)?;
    claim.detached();
    let mut child = template.spawn()?;
    claim.started(&child).inspect_err(|_| end(&mut child))?;
    claim.leave();
    Ok(render::page(&format!("{}\n", child.name())))
}

fn kept(options: Options) -> Result<u8, Failure> {
    let failed = |errno: nix::Error| Failure::Io("make a process that keeps the box", errno.into());
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
    // SAFETY: the process has one thread, so the copy may do whatever this one may.
    match unsafe { fork() }.map_err(failed)? {
        ForkResult::Child => {
            drop(read);
            // What went wrong before the program ran has been said to the caller; later nobody listens.
            keep(options, write.into()).map(|()| 0)
        }
        ForkResult::Parent { child } => {
            drop(write);
            let mut name = String::new();
            match File::from(read).read_to_string(&mut name) {
                Ok(1..) => Ok(render::page(&name)),
                _ => match waitpid(child, None) {
                    Ok(WaitStatus::Exited(_, code)) => {
                        Ok(u8::try_from(code).unwrap_or(EXIT_FAILED))
                    }
                    _ => Err(Failure::Io(
                        "start the box",
                        io::Error::other("its keeper was killed"),
                    )),
                },
            }
        }
    }
}

/// The life of a keeper.
fn keep(mut options: Options, ready: File) -> Result<(), Failure> {
    let report = options.report.take();
    let (ended, claim) = match until_end(options, ready) {
        Ok((ended, claim)) => (Ok(ended), Some(claim)),
        Err(failure) => (Err(failure), None),
    };
    if let Some(report) = report {
        report
            .write(&report::of(&ended))
            .map_err(|error| Failure::Io("write the report", error))?;
    }
    // Whoever waits for the end finds the report there.
    if let (Ok(ended), Some(mut claim)) = (&ended, claim) {
        let _ = claim.ended(&ended.outcome);
        claim.leave();
    }
    ended.map(drop)
}

/// Starts a box and stays with it.
fn until_end(options: Options, mut ready: File) -> Result<(Ended, Claim), Failure> {
    let mut supervisor = Supervisor::new().map_err(|error| Failure::Io("take signals", error))?;
    if let Some(timeout) = options.timeout {
        supervisor.timeout(timeout);
    }
    let template = template(options.spec, Detach::Kept, options.template.as_ref())?;
    if !options.quiet {
        render::missed(template.plan().missed());
    }
    let mut claim = named::registry()?.claim(&template)?;
    claim.detached();
    let mut log = claim.log(options.log_bytes.unwrap_or(LOG_BYTES))?;
    let door = claim.door()?;
    let mut child = template.spawn()?;
    claim.started(&child).inspect_err(|_| end(&mut child))?;
    privileges::drop_unneeded(template.plan().has_cgroups());
    if let Some((sink, steps)) = options.timings.zip(child.timings()) {
        sink.write(&render::timings(&steps))
            .map_err(|error| Failure::Io("write the timings", error))?;
    }
    leave_caller().map_err(|error| Failure::Io("leave the caller", error))?;
    // A caller that has gone away has no use for the name.
    let _ = ready.write_all(format!("{}\n", child.name()).as_bytes());
    drop(ready);
    footprint::give_up_file_pages();
    let outcome = supervisor
        // A log on a filesystem that is full has a gap; the box goes on.
        .keep(&mut child, Some(door), |stream, bytes| {
            let _ = log.append(stream, bytes);
        })
        .map_err(|error| Failure::Io("wait for the box", error))?;
    let ended = Ended {
        refused: child.refused(),
        outcome,
        made: template.plan().makes().to_vec(),
        landlock: template.plan().landlock(),
    };
    Ok((ended, claim))
}

/// Gives up what is the caller's: session, directory, streams, descriptors.
fn leave_caller() -> io::Result<()> {
    // It fails for the leader of a process group, which a copy is not.
    setsid()?;
    chdir("/")?;
    let null: OwnedFd = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?
        .into();
    descriptors::replace_standard_streams(&null)?;
    descriptors::close_inherited()
}
