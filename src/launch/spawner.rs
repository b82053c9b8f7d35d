// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thread that does not end.
//!
//! PR_SET_PDEATHSIG(2const) is about the parent *thread*: a box started by a worker of a thread pool
//! would be killed when the pool retires the worker. So threads other than the main one have the
//! clone(2) made here. It is one thread for the whole program, started when it is first needed.
//!
//! A request lies on the stack of whoever makes it, and waits there for its answer: nothing is allocated.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::ptr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Instant;

use nix::errno::Errno;
use nix::unistd::{Pid, getpid, gettid};

use super::frame::Frame;
use super::signals::AllBlocked;
use crate::pidfd;

/// Requests for which there is room from the start. Our own number: more than launch at once.
const ROOM: usize = 256;

struct Spawner {
    /// The process whose thread it is: a copy of the program, made by fork(2), has no such thread.
    process: u32,
    thread: Pid,
    requests: Arc<Requests>,
}

static SPAWNER: Mutex<Option<Spawner>> = Mutex::new(None);

struct Requests {
    waiting: Mutex<VecDeque<Ask>>,
    some: Condvar,
}

/// A clone that somebody waits for.
struct Ask {
    frame: *const Frame,
    answer: *const Answer,
    asker: Thread,
}

// SAFETY: what the addresses are of can be shared between threads, and stays where it is until the answer
// is given.
unsafe impl Send for Ask {}

/// The child's process id, or the errno made negative; 0 until it is known.
struct Answer(AtomicI64);

impl Answer {
    fn give(&self, result: Result<u32, Errno>) {
        let word = result.map_or_else(|errno| -(errno as i64), i64::from);
        self.0.store(word, Ordering::Release);
    }

    fn get(&self) -> Option<Result<u32, Errno>> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            word if word < 0 => Some(Err(Errno::from_raw(-word as i32))),
            pid => Some(Ok(pid as u32)),
        }
    }
}

/// Whether the calling thread may make the clone itself: the main thread ends with the process.
pub(super) fn is_main_thread() -> bool {
    gettid() == getpid()
}

/// Has the clone of a frame made; `late` is called once if there is no answer until the deadline, and has to
/// bring one about.
pub(super) fn clone_there(
    frame: &Frame,
    deadline: Option<Instant>,
    late: impl FnOnce(),
) -> Result<u32, Errno> {
    let answer = Answer(AtomicI64::new(0));
    let ask = Ask {
        frame: ptr::from_ref(frame),
        answer: ptr::from_ref(&answer),
        asker: thread::current(),
    };
    with(|spawner| {
        spawner.requests.lock().push_back(ask);
        spawner.requests.some.notify_one();
    })?;
    let mut late = Some(late);
    loop {
        if let Some(answer) = answer.get() {
            return answer;
        }
        match deadline.filter(|_| late.is_some()) {
            None => thread::park(),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    thread::park_timeout(left);
                } else if let Some(late) = late.take() {
                    late();
                }
            }
        }
    }
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
    let requests = Arc::new(Requests {
        waiting: Mutex::new(VecDeque::with_capacity(ROOM)),
        some: Condvar::new(),
    });
    let there = Arc::clone(&requests);
    let (ready, own) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("clonebox-spawn".to_owned())
        .spawn(move || {
            // Signals of the process are for other threads to handle.
            let _blocked = AllBlocked::new();
            let _ = ready.send(gettid());
            loop {
                there.next().serve();
            }
        })
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
    Ok(Spawner {
        process,
        thread: own.recv().map_err(|_| Errno::EAGAIN)?,
        requests,
    })
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Ask>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Ask {
        let mut waiting = self.lock();
        loop {
            if let Some(ask) = waiting.pop_front() {
                return ask;
            }
            waiting = self
                .some
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Ask {
    fn serve(self) {
        // SAFETY: whoever asks keeps the frame where it is until it has the answer.
        let frame = unsafe { &*self.frame };
        let result = frame.clone_child();
        // SAFETY: the same of the answer, for which it waits.
        let answer = unsafe { &*self.answer };
        answer.give(result);
        // From here on both may be gone.
        self.asker.unpark();
    }
}
