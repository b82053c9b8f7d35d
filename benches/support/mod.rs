// SPDX-License-Identifier: MIT OR Apache-2.0
//! What all benches use.

pub(crate) mod host;
pub(crate) mod load;
pub(crate) mod paper;
pub(crate) mod plot;
pub(crate) mod results;
pub(crate) mod stats;
pub(crate) mod target;
pub(crate) mod verdict;

use std::env;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use clonebox::{HostFacts, Spec};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// `CAP_SYS_ADMIN` in `linux/capability.h`.
const CAP_SYS_ADMIN: u8 = 21;

/// What a bench is asked to do.
#[derive(Debug)]
pub(crate) enum Mode {
    /// What `cargo bench` means.
    Bench,
    /// Prove that everything runs.
    Test,
    /// Measure interleaved, and leave the numbers in this directory.
    Measure(PathBuf),
    /// Make the report of the numbers in this directory.
    Render(PathBuf),
}

impl Mode {
    pub(crate) fn read() -> Self {
        let words: Vec<String> = env::args().skip(1).collect();
        let after = |option: &str| {
            let at = words.iter().position(|word| word == option)?;
            words.get(at + 1).cloned()
        };
        if let Some(dir) = after("--measure") {
            return Self::Measure(dir.into());
        }
        if let Some(dir) = after("--render") {
            return Self::Render(dir.into());
        }
        if words.iter().any(|word| word == "--test") {
            return Self::Test;
        }
        Self::Bench
    }

    pub(crate) fn is_test(&self) -> bool {
        matches!(self, Self::Test)
    }
}

/// How many rounds are measured: fewer where that is asked for.
pub(crate) fn rounds(most: usize) -> usize {
    let asked = env::var("CLONEBOX_BENCH_ROUNDS").ok();
    asked
        .and_then(|rounds| rounds.parse().ok())
        .map_or(most, |rounds: usize| rounds.min(most))
}

/// Every way but clonebox's own needs the right to make namespaces without a user namespace.
pub(crate) fn can_make_boxes(program: &Path) -> std::result::Result<(), String> {
    if !HostFacts::gather(&Spec::new(program))
        .effective
        .contains(CAP_SYS_ADMIN)
    {
        return Err("the ways that are compared need CAP_SYS_ADMIN".to_owned());
    }
    match clonebox::Command::new(program).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!(
            "a box with a program that does nothing ends with {status}"
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// Says that nothing can be measured here, and why.
pub(crate) fn skip(why: &str) -> Result {
    writeln!(stdout(), "skipped: boxes cannot be made here: {why}")?;
    Ok(())
}
