// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads that do not end.
//!
//! PR_SET_PDEATHSIG(2const) is about the parent *thread*: a box started by a worker of a thread pool
//! would be killed when the pool retires the worker. So threads other than the main one have the
//! clone(2) made here: by one thread for the whole program, started when it is first needed, and by others if
//! launches would wait for each other, as many as there are processors.
//!
//! A request lies on the stack of whoever makes it, and waits there for its answer: nothing is allocated.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Instant;

use nix::errno::Errno;
use nix::unistd::{Pid, getpid, gettid};

use super::frame::Frame;
use super::signals::AllBlocked;
use super::wait;
use crate::pidfd;

/// Requests for which there is room from the start. Our own number: more than launch at once.
const ROOM: usize = 256;

/// A thread that makes clones.
#[derive(Debug)]
struct Spawner {
    thread: Pid,
    /// The launches that have chosen it.
    busy: AtomicUsize,
    waiting: Mutex<VecDeque<Ask>>,
    some: Condvar,
}

struct Spawners {
    /// The process whose threads they are: a copy of the program, made by fork(2), has no such threads.
    process: u32,
    all: Vec<Arc<Spawner>>,
}

static SPAWNERS: Mutex<Spawners> = Mutex::new(Spawners {
    process: 0,
    all: Vec::new(),
});

/// The thread that makes the clone of one launch, which dies with that thread and no other.
#[derive(Debug)]
pub(super) struct Chosen(Arc<Spawner>);

/// A clone that somebody waits for.
#[derive(Debug)]
struct Ask {
    frame: *const Frame,
    answer: *const Answer,
    asker: Thread,
}

// SAFETY: what the addresses are of can be shared between threads, and stays where it is until the answer
// is given.
unsafe impl Send for Ask {}

/// The child's process id, or the errno made negative; 0 until it is known.
#[derive(Debug)]
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

impl Chosen {
    /// One that has nothing to do, or the one that has least.
    pub(super) fn choose() -> nix::Result<Self> {
        let mut spawners = SPAWNERS.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if spawners.process != process {
            *spawners = Spawners {
                process,
                all: Vec::new(),
            };
        }
        let load = |spawner: &&Arc<Spawner>| spawner.busy.load(Ordering::Relaxed);
        let least = spawners.all.iter().min_by_key(load).cloned();
        let chosen = match least {
            Some(least) if load(&&least) == 0 || spawners.all.len() >= processors() => least,
            least => match (Spawner::start(), least) {
                (Ok(new), _) => {
                    spawners.all.push(Arc::clone(&new));
                    new
                }
                (Err(_), Some(least)) => least,
                (Err(errno), None) => return Err(errno),
            },
        };
        chosen.busy.fetch_add(1, Ordering::Relaxed);
        Ok(Self(chosen))
    }

    /// The pidfd of the thread: readable when it is dead.
    pub(super) fn pidfd(&self) -> nix::Result<OwnedFd> {
        pidfd::of_thread(self.0.thread)
    }

    /// Has the clone of a frame made; `late` is called once if there is no answer until the deadline, and has to
    /// bring one about. Where there is nothing to do before the child has left the shared memory, that is waited for
    /// as well, so that whoever launches is woken once and not twice.
    pub(super) fn clone_child(
        &self,
        frame: &Frame,
        deadline: Option<Instant>,
        late: impl FnOnce(),
    ) -> Result<u32, Errno> {
        let answer = Answer(AtomicI64::new(0));
        self.0.lock().push_back(Ask {
            frame: ptr::from_ref(frame),
            answer: ptr::from_ref(&answer),
            asker: thread::current(),
        });
        self.0.some.notify_one();
        if frame.plan.start_timeout.is_none() && frame.gate().is_none() {
            wait::until_left(&frame.shared().running, None);
        }
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
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many may run at once.
fn processors() -> usize {
    static KNOWN: OnceLock<usize> = OnceLock::new();
    *KNOWN.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

impl Spawner {
    fn start() -> nix::Result<Arc<Self>> {
        let started = Arc::new(OnceLock::new());
        let ours = Arc::clone(&started);
        thread::Builder::new()
            .name("clonebox-spawn".to_owned())
            .spawn(move || {
                // Signals of the process are for other threads to handle.
                let _blocked = AllBlocked::new();
                let spawner = Arc::new(Self {
                    thread: gettid(),
                    busy: AtomicUsize::new(0),
                    waiting: Mutex::new(VecDeque::with_capacity(ROOM)),
                    some: Condvar::new(),
                });
                // Nobody else sets it.
                let _ = started.set(Arc::clone(&spawner));
                loop {
                    spawner.next().serve();
                }
            })
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
        Ok(Arc::clone(ours.wait()))
    }

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
        if result.is_err() {
            wait::leave(&frame.shared().running);
        }
        // SAFETY: the same of the answer, for which it waits.
        let answer = unsafe { &*self.answer };
        answer.give(result);
        // From here on both may be gone.
        self.asker.unpark();
    }
}
