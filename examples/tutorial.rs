//! A container in a few lines: what a well-known tutorial needs a hundred for, and a second run of its
//! own executable. Try it: `cargo run --example tutorial -- /bin/sh`.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;

use clonebox::{Command, Supervisor, Tty};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut words = env::args_os().skip(1);
    let program = words.next().unwrap_or("/bin/sh".into());
    let supervisor = Supervisor::new()?;
    let mut child = Command::new(program)
        .args(words)
        .hostname("container")
        .tty(Tty::Auto)
        .spawn()?;
    let status = supervisor.supervise(&mut child, |_| {})?.status;
    Ok(ExitCode::from(
        status.code().unwrap_or(128 + status.signal().unwrap_or(0)) as u8,
    ))
}
