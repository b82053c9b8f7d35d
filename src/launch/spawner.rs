// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thread that does not end.
//!
//! PR_SET_PDEATHSIG(2const) is about the parent *thread*: a box started by a worker of a thread pool
//! would be killed when the pool retires the worker. So threads other than the main one have the
//! clone(2) made here. It is one thread for the whole program, started when it is first needed.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::signals::AllBlocked;

type Job = Box<dyn FnOnce() + Send>;

struct Spawner {
    /// The process whose thread it is: a copy of the program, made by fork(2), has no such thread.
    process: u32,
    jobs: Sender<Job>,
}

static SPAWNER: Mutex<Option<Spawner>> = Mutex::new(None);

/// Whether the calling thread may make the clone itself: the main thread ends with the process.
pub(super) fn is_main_thread() -> bool {
    nix::unistd::gettid() == nix::unistd::getpid()
}

/// Runs `job` on the spawner; its result arrives at the receiver.
pub(super) fn run<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<Receiver<T>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let job: Job = Box::new(move || drop(sender.send(job())));
    let mut spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    let jobs = match spawner.take().filter(|spawner| spawner.process == process) {
        Some(spawner) => spawner.jobs,
        None => start()?,
    };
    // The thread never ends, so neither does the channel.
    let _ = jobs.send(job);
    *spawner = Some(Spawner { process, jobs });
    Ok(receiver)
}

fn start() -> std::io::Result<Sender<Job>> {
    let (sender, jobs) = mpsc::channel::<Job>();
    thread::Builder::new()
        .name("clonebox-spawn".to_owned())
        .spawn(move || {
            // Signals of the process are for other threads to handle.
            let _blocked = AllBlocked::new();
            jobs.into_iter().for_each(|job| job());
        })?;
    Ok(sender)
}
