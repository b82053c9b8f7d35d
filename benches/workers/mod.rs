// SPDX-License-Identifier: MIT OR Apache-2.0
//! Workers: processes of this very program that carry a load and launch when they are asked to.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::Result;
use crate::support::load::Load;

/// Where a worker finds what to launch.
const TARGET: &str = "BENCH_TARGET";

/// What this process shall carry and launch, if it is a worker.
pub(crate) fn asked() -> Option<(Load, PathBuf)> {
    let target = env::var_os(TARGET)?;
    let mut words = env::args().skip(1);
    let mut number = || words.next()?.parse().ok();
    let load = Load {
        resident_mib: number()?,
        threads: number()?,
        mounts: number()?,
    };
    Some((load, target.into()))
}

/// A worker, seen from the process that asks it.
pub(crate) struct Worker {
    load: Load,
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    spent: Duration,
}

impl Worker {
    /// Starts one that launches `target`. It is ready when it answers.
    pub(crate) fn start(load: Load, target: &Path) -> Result<Self> {
        Self::start_program(&env::current_exe()?, load, target)
    }

    /// The same of another program, which speaks the same way.
    pub(crate) fn start_program(program: &Path, load: Load, target: &Path) -> Result<Self> {
        let mut process = Command::new(program)
            .args([load.resident_mib, load.threads, load.mounts].map(|number| number.to_string()))
            .env(TARGET, target)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (questions, answers) = pipes.ok_or("no pipes to a worker")?;
        Ok(Self {
            load,
            process,
            questions,
            answers: BufReader::new(answers),
            spent: Duration::ZERO,
        })
    }

    pub(crate) fn load(&self) -> Load {
        self.load
    }

    /// The time that it has been asked for so far.
    pub(crate) fn spent(&self) -> Duration {
        self.spent
    }

    /// Has these ways measured, one after the other: microseconds.
    pub(crate) fn ask(&mut self, names: &[&str]) -> Result<Vec<f64>> {
        self.ask_for(names, 1)
    }

    /// The same with so many numbers for each of them.
    pub(crate) fn ask_for(&mut self, names: &[&str], each: usize) -> Result<Vec<f64>> {
        let began = Instant::now();
        self.tell(&names.join(" "))?;
        let times = self.hear(names.len() * each)?;
        self.spent += began.elapsed();
        Ok(times)
    }

    /// Asks, and does not wait for the answer.
    pub(crate) fn tell(&mut self, line: &str) -> Result {
        Ok(writeln!(self.questions, "{line}")?)
    }

    /// An answer of so many numbers.
    pub(crate) fn hear(&mut self, count: usize) -> Result<Vec<f64>> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let numbers: Vec<f64> = line
            .split_whitespace()
            .map(str::parse)
            .collect::<std::result::Result<_, _>>()?;
        if numbers.len() != count {
            return Err(format!("the worker with {} has failed", self.load).into());
        }
        Ok(numbers)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be gone; either way nothing is left.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
