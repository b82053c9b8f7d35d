// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boxes that stand before they are asked for.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;

use super::changes::Changes;
use super::launch::{Launch, Source};
use super::template::{Launched, Template};
use crate::error::Error;
use crate::launch::{Failure, TOLD, Told, WORKING_DIRECTORY, wake};
use crate::plan::{Plan, Words};
use crate::spec::{Origin, ParentDeath, Spec, Violation};
use crate::supervise::Child;

/// How long a pool that is more than half full waits for the next launch before it makes boxes, which takes the
/// same locks of the kernel. Our own choice: a launch takes a third of it.
const REST: Duration = Duration::from_millis(1);
/// For how many rests the thread of a full pool looks by itself whether a box has been taken. To wake it costs a launch
/// a tenth of its time. Our own choice: programs that launch often do so more often than ten times a second.
const WATCHED_RESTS: u32 = 100;

/// A number of boxes of a [`Template`] that are complete but for their program. A launch tells one of them what
/// to execute; a thread of the pool's own makes another in its place, when half of them are taken or no launch has
/// come for a millisecond: until then it would be in the way of launches.
///
/// A box that stands is a process of its own, of a few KiB, which shares no memory with this program. It has
/// the namespaces, the cgroups, the terminal and the piped streams of its launch already; its arguments and
/// environment come with it. It ends when the pool is dropped, and when this program does: then nobody can tell
/// it anything any more.
///
/// Dropping the pool ends the boxes that stand, and waits for them and for the thread. Boxes that were started
/// are not concerned.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if !clonebox::doc_test_can_launch() { return Ok(()); }
/// let template = clonebox::Command::new("/bin/sh").arg("-c").prepare()?;
/// let pool = clonebox::Pool::new(&template, 4)?;
/// let status = pool.launch().arg("exit 3").spawn()?.wait()?;
/// assert_eq!(status.code(), Some(3));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pool {
    inner: Arc<Inner>,
    /// The process whose pool it is: in a copy of the program, made by fork(2), it is nobody's.
    process: u32,
    filler: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inner {
    template: Template,
    size: usize,
    state: Mutex<State>,
    /// Boxes are to be made, or the pool is dropped.
    wanted: Condvar,
    /// A box has come, or cannot be made.
    made: Condvar,
}

#[derive(Default)]
struct State {
    standing: Vec<Launched>,
    /// Somebody has asked for a box since the thread looked last.
    asked: bool,
    /// The thread does not look by itself.
    asleep: bool,
    closed: bool,
    /// The last attempt has failed; the next is made when a box is asked for.
    failed: bool,
    /// Somebody waits until the pool is full.
    hurried: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("standing", &self.standing.len())
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of `size` boxes; the first stands when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Spec`](crate::ErrorKind::Spec) for a size of 0, and for a template with an init or
    /// [`ParentDeath::KillWithThread`], which no pool can have; those of [`Template::spawn`].
    pub fn new(template: &Template, size: usize) -> Result<Self, Error> {
        let wrong = violations(template, size);
        if !wrong.is_empty() {
            return Err(Error::violations(&wrong));
        }
        let template = template.standing()?;
        let first = template.start(None)?;
        let inner = Arc::new(Inner {
            template,
            size,
            state: Mutex::default(),
            wanted: Condvar::new(),
            made: Condvar::new(),
        });
        inner.lock().standing.push(first);
        let mut pool = Self {
            inner: Arc::clone(&inner),
            process: std::process::id(),
            filler: None,
        };
        let filler = thread::Builder::new().name("clonebox-pool".to_owned());
        let cannot = |error: io::Error| {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN));
            Error::parent("start the thread of a pool", errno)
        };
        // If there is none, the pool is dropped with its first box.
        pool.filler = Some(filler.spawn(move || inner.fill()).map_err(cannot)?);
        Ok(pool)
    }

    /// What is done until a box stands. What comes after it, the program of the box does by itself.
    pub fn plan(&self) -> &Plan {
        self.inner.template.plan()
    }

    /// How many boxes stand.
    pub fn standing(&self) -> usize {
        self.inner.lock().standing.len()
    }

    /// Waits until as many boxes stand as the pool has room for, or another cannot be made.
    pub fn wait_until_full(&self) {
        let inner = &*self.inner;
        let mut state = inner.lock();
        while state.standing.len() < inner.size && !state.failed {
            state.hurried = true;
            inner.wanted.notify_one();
            state = inner
                .made
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Starts the program of the template in a box that stands; if none does, in one that is made now.
    ///
    /// # Errors
    ///
    /// As [`Template::spawn`].
    pub fn spawn(&self) -> Result<Child, Error> {
        self.take(&Changes::default())
    }

    /// A launch with more arguments, another environment, other streams or another working directory. It is
    /// entered as the user of the box.
    pub fn launch(&self) -> Launch<'_> {
        Launch::new(Source::Pool(self))
    }

    pub(super) fn spec(&self) -> &Spec {
        self.inner.template.spec()
    }

    pub(super) fn take(&self, changes: &Changes) -> Result<Child, Error> {
        let inner = &*self.inner;
        let template = &inner.template;
        let mut streams = changes.open()?;
        loop {
            let standing = inner.take();
            let stood = standing.is_some();
            let mut launched = match standing {
                Some(launched) => launched,
                None => template.start(None)?,
            };
            let plan = Arc::clone(&launched.plan);
            let words = Words::new(&plan.exec, &changes.args, &changes.env);
            let told = Told {
                argv: &words.argv[plan.exec.told..],
                envp: (!changes.env.is_empty()).then_some(&words.envp),
                workdir: changes.workdir.as_deref(),
                streams: std::array::from_fn(|stream: usize| {
                    streams[stream].as_ref().map(|ends| ends.child_or(stream))
                }),
            };
            let woken = wake(&mut launched.started, &told);
            // Not before: the thread would be in the way of the box.
            inner.have_made();
            match woken {
                Some(Ok(())) => {
                    for (old, new) in launched.streams.iter_mut().zip(&mut streams) {
                        if let Some(ends) = new {
                            *old = ends.parent.take();
                        }
                    }
                    return Ok(launched.into_child());
                }
                Some(Err(failure)) => {
                    launched.forget();
                    return Err(template.error(match failure {
                        Failure::Exec(WORKING_DIRECTORY, errno) => changes.cannot_enter(errno),
                        Failure::Exec(TOLD, errno) => {
                            Failure::Parent("hand a box that stands its words and streams", errno)
                        }
                        failure => failure,
                    }));
                }
                None => launched.forget(),
            }
            // Somebody has killed it while it stood; one that was just made has no such excuse.
            if !stood {
                return Err(Error::parent("start the program of a box", Errno::ESRCH));
            }
        }
    }
}

fn violations(template: &Template, size: usize) -> Vec<Violation> {
    let spec = &template.spec;
    let mut wrong = Vec::new();
    let mut complain = |reason: &str, origin: &Origin| {
        wrong.push(Violation {
            reason: reason.to_owned(),
            origin: origin.clone(),
        });
    };
    if size == 0 {
        complain("a pool has at least one box", &Origin::Call("Pool::new"));
    }
    if let Some(origin) = &spec.init {
        complain("a box of a pool has no init", origin);
    }
    if spec.parent_death.value == ParentDeath::KillWithThread {
        let reason = "the thread that makes the boxes of a pool is the pool's own";
        complain(reason, &spec.parent_death.origin);
    }
    wrong
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Launched> {
        let mut state = self.lock();
        state.failed = false;
        state.asked = true;
        // Of what was made last the caches know most.
        state.standing.pop()
    }

    /// Has the thread make boxes, if it is time and it does not see that by itself.
    fn have_made(&self) {
        let state = self.lock();
        if state.asleep || self.hurries(&state) {
            drop(state);
            self.wanted.notify_one();
        }
    }

    /// Whether boxes are to be made at once: hardly any stand, or somebody waits.
    fn hurries(&self, state: &State) -> bool {
        state.hurried || state.standing.len() <= self.size / 2
    }

    /// What the thread does: as long as there is room, another box. Then it rests.
    fn fill(&self) {
        let mut state = self.lock();
        while !state.closed {
            if state.standing.len() >= self.size || state.failed {
                state.hurried = false;
                state = self.rest(state);
                continue;
            }
            drop(state);
            let made = self.template.start(None);
            state = self.lock();
            match made {
                Ok(launched) => state.standing.push(launched),
                Err(_) => state.failed = true,
            }
            self.made.notify_all();
        }
    }

    /// Waits until boxes are to be made again: when none has been asked for during [`REST`], and in a hurry at once.
    fn rest<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut rests = 0;
        loop {
            let complete = state.failed || state.standing.len() >= self.size;
            if state.closed || !complete && self.hurries(&state) {
                return state;
            }
            state.asleep = complete && (state.failed || rests == WATCHED_RESTS);
            if state.asleep {
                let waited = self.wanted.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                state.asleep = false;
                rests = 0;
                continue;
            }
            let waited = self.wanted.wait_timeout(state, REST);
            let (now, rest) = waited.unwrap_or_else(PoisonError::into_inner);
            state = now;
            let quiet = rest.timed_out() && !std::mem::take(&mut state.asked);
            if quiet && !complete {
                return state;
            }
            rests = if quiet { rests + 1 } else { 0 };
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            // The boxes are those of another process, and the thread is none of this one's.
            std::mem::forget(self.filler.take());
            return;
        }
        self.inner.lock().closed = true;
        self.inner.wanted.notify_all();
        if let Some(filler) = self.filler.take() {
            let _ = filler.join();
        }
        let standing = std::mem::take(&mut self.inner.lock().standing);
        // All are told before any is waited for.
        let mut children: Vec<Child> = standing
            .into_iter()
            .map(|mut launched| {
                // There is no later.
                launched.mounts = None;
                launched.into_child()
            })
            .collect();
        for child in &mut children {
            let _ = child.kill();
        }
        for child in &mut children {
            let _ = child.wait();
        }
    }
}
