// SPDX-License-Identifier: MIT OR Apache-2.0
//! What subcommands about boxes have in common: the boxes that are meant, one error for each that
//! fails, and the words for signals.

use std::time::{Duration, Instant};

use clonebox::{BoxState, Entry, Registry};
use nix::sys::signal::Signal;

use crate::render::Progress;
use crate::usage::UsageError;
use crate::{EXIT_FAILED, Failure, render};

/// Refuses an empty list of names.
pub(super) fn some(command: &str, names: &[String]) -> Result<(), Failure> {
    if names.is_empty() {
        return Err(UsageError::new(format!(
            "{command} needs the name of a box: see clonebox ps"
        ))
        .into());
    }
    Ok(())
}

/// The one box that a subcommand is about.
pub(super) fn one(command: &str, names: &[String], registry: &Registry) -> Result<Entry, Failure> {
    some(command, names)?;
    match names {
        [name] => Ok(registry.find(name)?),
        _ => Err(UsageError::new(format!("{command} takes the name of one box")).into()),
    }
}

/// Does something for each, also after one has failed: the exit code.
pub(super) fn each<T>(all: Vec<T>, mut act: impl FnMut(T) -> Result<(), Failure>) -> u8 {
    let mut code = 0;
    for one in all {
        if let Err(failure) = act(one) {
            render::failure(&failure);
            code = EXIT_FAILED;
        }
    }
    code
}

/// The same where each takes time: at a terminal a line tells how many boxes this is done to, and to how many it is done.
pub(super) fn each_in_turn<T>(
    all: Vec<T>,
    quiet: bool,
    doing: &str,
    mut act: impl FnMut(T) -> Result<(), Failure>,
) -> u8 {
    let count = all.len();
    let mut progress = Progress::new(quiet);
    let mut done = 0;
    each(all, |one| {
        match count {
            1 => progress.show(format_args!("{doing} 1 box")),
            _ => progress.show(format_args!("{doing} {count} boxes: {done} done")),
        }
        done += 1;
        let result = act(one);
        // The error, if it is one, comes next.
        progress.erase();
        result
    })
}

/// Kills a box and waits for its end, which the kernel tells when all of its processes have been waited for.
pub(super) fn kill(entry: &Entry) -> Result<(), Failure> {
    /// Our own choice: most of a large box's memory is given back in that time.
    const WITHIN: Duration = Duration::from_secs(10);
    match entry.signal(libc::SIGKILL) {
        // One that ends meanwhile is what is wanted.
        Err(error) if !has_ended(entry) => return Err(error.into()),
        _ => {}
    }
    match entry.wait(Instant::now().checked_add(WITHIN))? {
        Some(_) => Ok(()),
        None => Err(UsageError::new(format!(
            "the box {} was killed and has not ended within {} s: the kernel still takes it down, or nobody waits for a \
             process that has joined it",
            entry.name(),
            WITHIN.as_secs()
        ))
        .into()),
    }
}

pub(super) fn has_ended(entry: &Entry) -> bool {
    matches!(entry.state(), BoxState::Ended(_))
}

/// A signal by name, with or without `SIG`, or by number.
pub(super) fn signal(word: &str) -> Result<i32, UsageError> {
    let upper = word.to_ascii_uppercase();
    let name = format!("SIG{}", upper.strip_prefix("SIG").unwrap_or(&upper));
    let named = name.parse::<Signal>().ok().map(|signal| signal as i32);
    let number = word.parse().ok().filter(|number| (1..=64).contains(number));
    named.or(number).ok_or_else(|| {
        let shown = word.escape_default();
        UsageError::new(format!(
            "{shown} is no signal: expected a name, as TERM or SIGHUP, or a number up to 64"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for word in ["TERM", "SIGTERM", "term", "15"] {
            assert_eq!(signal(word), Ok(15), "{word}");
        }
        for wrong in ["", "0", "65", "-9", "SIG", "SIGSIGTERM", "x"] {
            assert!(signal(wrong).is_err(), "{wrong}");
        }
    }
}
