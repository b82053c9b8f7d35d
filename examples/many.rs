//! A thousand boxes, 64 at a time, on one thread: their ends are events of their descriptors.

#![expect(clippy::print_stdout, reason = "a program that says what it has done")]

use std::process::ExitCode;
use std::sync::Arc;

use clonebox::{Command, Template};
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const BOXES: usize = 1000;
const AT_ONCE: usize = 64;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let template = Command::new("/bin/sh")
        .args(["-c", "exit $1", "sh"])
        .prepare()?;
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut boxes = JoinSet::new();
    for number in 0..BOXES {
        let place = Arc::clone(&places).acquire_owned().await?;
        let template = template.clone();
        boxes.spawn(async move {
            let code = run(&template, number % 100).await;
            drop(place);
            Result::Ok((number, code?))
        });
    }
    let mut right = 0;
    while let Some(ended) = boxes.join_next().await {
        let (number, code) = ended??;
        right += usize::from(code == Some((number % 100).try_into()?));
    }
    println!("{right} of {BOXES} boxes have ended as they were told");
    Ok(ExitCode::from(u8::from(right != BOXES)))
}

/// Runs a box to its end; meanwhile others run.
async fn run(template: &Template, code: usize) -> Result<Option<i32>> {
    let child = template.launch().arg(code.to_string()).spawn()?;
    // SAFETY: a box keeps its pidfd, and no other, open for as long as the handle lives.
    let mut child = unsafe { AsyncFd::register(child)? };
    // A pidfd is ready to be read when its process has ended.
    drop(child.readable().await?);
    Ok(child.get_mut().wait()?.code())
}
