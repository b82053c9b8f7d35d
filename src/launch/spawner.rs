// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thread that does not end.
//!
//! PR_SET_PDEATHSIG(2const) is about the parent *thread*: a box started by a worker of a thread pool
//! would be killed when the pool retires the worker. So threads other than the main one have the
//! clone(2) made here. It is one thread for the whole program, started when it is first needed.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use nix::errno::Errno;
use nix::unistd::{Pid, getpid, gettid};

use super::signals::AllBlocked;
use crate::pidfd;

type Job = Box<dyn FnOnce() + Send>;

struct Spawner {
    /// The process whose thread it is: a copy of the program, made by fork(2), has no such thread.
    process: u32,
    thread: Pid,
    jobs: Sender<Job>,
}

static SPAWNER: Mutex<Option<Spawner>> = Mutex::new(None);

/// Whether the calling thread may make the clone itself: the main thread ends with the process.
pub(super) fn is_main_thread() -> bool {
    gettid() == getpid()
}

/// Runs `job` on the spawner; its result arrives at the receiver.
pub(super) fn run<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> nix::Result<Receiver<T>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let job: Job = Box::new(move || drop(sender.send(job())));
    // The thread never ends, so neither does the channel.
    with(|spawner| drop(spawner.jobs.send(job)))?;
    Ok(receiver)
}

/// The pidfd of the thread: readable when it is dead.
pub(super) fn pidfd() -> nix::Result<OwnedFd> {
    with(|spawner| pidfd::of_thread(spawner.thread))?
}

/// Does something with the spawner, which is started if there is none.
fn with<T>(what: impl FnOnce(&Spawner) -> T) -> nix::Result<T> {
    let mut spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    let running = match spawner.take().filter(|spawner| spawner.process == process) {
        Some(running) => running,
        None => start(process)?,
    };
    Ok(what(spawner.insert(running)))
}

fn start(process: u32) -> nix::Result<Spawner> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let (ready, own) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("clonebox-spawn".to_owned())
        .spawn(move || {
            // Signals of the process are for other threads to handle.
            let _blocked = AllBlocked::new();
            let _ = ready.send(gettid());
            jobs.into_iter().for_each(|job| job());
        })
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
    Ok(Spawner {
        process,
        thread: own.recv().map_err(|_| Errno::EAGAIN)?,
        jobs: sender,
    })
}
