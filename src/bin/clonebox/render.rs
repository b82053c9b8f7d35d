// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything that the command prints.

use std::env;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};

use clonebox::{Arch, Notice, Outcome, RefusedCall, StepTiming, Violation};
use nix::errno::Errno;

use crate::Failure;

/// Prints a page on standard output. A reader that has gone away has read enough.
pub(crate) fn page(text: &str) -> u8 {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => crate::EXIT_FAILED,
        _ => 0,
    }
}

/// Prints why there is no box.
pub(crate) fn failure(failure: &Failure) {
    match failure {
        Failure::Usage(error) => complain(&error.to_string()),
        Failure::Io(action, error) => complain(&format!("cannot {action}: {error}")),
        Failure::Box(error) => {
            error.to_string().lines().for_each(complain);
            let detail = error.detail();
            if !detail.is_empty() {
                write(&format!("{}\n", styled(DIM, &detail)));
            }
        }
    }
}

/// Prints a way out, below why there is no box.
pub(crate) fn hint(text: &str) {
    let line = format!("  {:<12} {text}", "hint");
    write(&format!("{}\n", styled(DIM, &line)));
}

/// Prints what the user may want to know of a running box.
pub(crate) fn notice(notice: Notice) {
    match notice {
        Notice::Ignored(signal) => say(&format!(
            "the command has no handler for {signal}, which it ignores as PID 1: send it again within a second to kill \
             the box, or start it with --init"
        )),
        Notice::Disconnected => say("pasta has ended: the box has no network any more"),
        Notice::KilledBySecondSignal => say("the box was killed by the second signal"),
        _ => {}
    }
}

/// Limits that were asked for and are not set.
pub(crate) fn missed(limits: &[Violation]) {
    for limit in limits {
        say(&format!("warning: {limit}"));
    }
}

/// Why a box has ended that used up its memory.
pub(crate) fn out_of_memory(outcome: &Outcome) {
    let Some(limits) = outcome.limits.filter(|_| outcome.is_out_of_memory()) else {
        return;
    };
    // The peak of version 2 is told since Linux 5.19.
    let told = [
        ("limit", limits.memory_limit_bytes),
        ("peak", limits.memory_peak_bytes),
    ];
    let told: Vec<String> = told
        .into_iter()
        .filter_map(|(name, bytes)| {
            let mib = (bytes? as f64 / f64::from(1 << 20)).round();
            Some(format!("{name} {mib} MiB"))
        })
        .collect();
    say(&format!(
        "killed by the kernel: out of memory ({})",
        told.join(", ")
    ));
}

/// Why a box has ended that made a forbidden call.
pub(crate) fn killed_by_filter(outcome: &Outcome) {
    if !outcome.is_killed_by_filter() {
        return;
    }
    let Some(call) = outcome.forbidden_call else {
        say(
            "killed by SIGSYS: a system call that the seccomp filter forbids (--seccomp-trace tells which)",
        );
        return;
    };
    let name = call
        .name()
        .map_or(String::new(), |name| format!("{name}, "));
    let arch = call.arch.map_or("an unknown architecture", Arch::name);
    say(&format!(
        "killed by SIGSYS: the seccomp filter forbids {name}system call {} of {arch}",
        call.number
    ));
}

/// What a traced filter would have refused.
pub(crate) fn refused(calls: &[RefusedCall]) {
    if calls.is_empty() {
        say("the seccomp filter would have refused nothing");
        return;
    }
    say("the seccomp filter would have refused:");
    let width = calls.iter().map(|call| call.name.len()).max().unwrap_or(0);
    for call in calls {
        let arch = call.arch.map_or("of an unknown architecture", Arch::name);
        let answer = answer(call);
        let times = if call.times == 1 {
            "once".to_owned()
        } else {
            format!("{} times", call.times)
        };
        write(&format!(
            "  {:width$}  {answer:12}  {arch}, {times}\n",
            call.name
        ));
    }
}

/// What the filter would have said.
pub(crate) fn answer(call: &RefusedCall) -> String {
    match call.errno() {
        Some(errno) => format!("{:?}", Errno::from_raw(errno)),
        None => match call.answer & libc::SECCOMP_RET_ACTION_FULL {
            libc::SECCOMP_RET_KILL_PROCESS | libc::SECCOMP_RET_KILL_THREAD => "kill".to_owned(),
            libc::SECCOMP_RET_TRAP => "SIGSYS".to_owned(),
            other => format!("{other:#x}"),
        },
    }
}

/// A table of how long each step took.
pub(crate) fn timings(steps: &[StepTiming]) -> String {
    let mut table = String::new();
    let mut total = std::time::Duration::ZERO;
    for StepTiming { call, time } in steps {
        total += *time;
        // Writing to a String does not fail.
        let _ = writeln!(table, "{:>10.1} µs  {call}", time.as_secs_f64() * 1e6);
    }
    let _ = writeln!(table, "{:>10.1} µs  in all", total.as_secs_f64() * 1e6);
    table
}

/// Says what is wrong: at a terminal so that it can be told from what the command has printed.
fn complain(line: &str) {
    let line = format!("clonebox: {line}");
    write(&format!("{}\n", styled(BOLD, &line)));
}

const BOLD: &str = "1";
const DIM: &str = "2";

/// Text in a style of ECMA-48, if standard error is a terminal that shows any and its user has nothing
/// against it: NO_COLOR, which counts if it is not empty.
fn styled(style: &str, text: &str) -> String {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if refused || !shows_styles() {
        return text.to_owned();
    }
    format!("\x1b[{style}m{text}\x1b[0m")
}

/// Whether standard error is a terminal that understands more than characters.
fn shows_styles() -> bool {
    let is_dumb = env::var_os("TERM").is_none_or(|name| name.is_empty() || name == "dumb");
    !is_dumb && io::stderr().is_terminal()
}

/// How far something is that takes long: a line at a terminal for as long as it takes, and nowhere else.
#[derive(Debug)]
pub(crate) struct Progress {
    shows: bool,
    is_shown: bool,
}

/// The beginning of the line, and nothing on it: ECMA-48.
const ERASE: &str = "\r\x1b[K";

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            shows: !quiet && shows_styles(),
            is_shown: false,
        }
    }

    /// Shows a line in the place of the one before.
    pub(crate) fn show(&mut self, line: fmt::Arguments<'_>) {
        if self.shows {
            let erase = if self.is_shown { ERASE } else { "" };
            write(&format!("{erase}clonebox: {line}"));
            self.is_shown = true;
        }
    }

    /// Takes the line away, before anything else is printed.
    pub(crate) fn erase(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            write(ERASE);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.erase();
    }
}

fn say(line: &str) {
    write(&format!("clonebox: {line}\n"));
}

/// Writes to standard error in one piece. There is nowhere to say that it failed.
fn write(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
