// SPDX-License-Identifier: MIT OR Apache-2.0
//! Being there while a box runs: one loop over a pidfd, signals, a terminal and a clock.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::child::Child;
use super::foreground::Lent;
use super::outcome::Outcome;
use super::relay::Relay;
use super::signals::Signals;
use crate::pidfd::{WaitStatus, poll_for};
use crate::plan::Terminal;

/// Two of SIGINT and SIGTERM within this time kill the box.
const TWICE_WITHIN: Duration = Duration::from_secs(1);

/// Something that the user of a supervised box may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The box's first process has no handler for this signal, and so, as PID 1, has ignored it.
    Ignored(Signal),
    /// The second SIGINT or SIGTERM within a second has killed the box.
    KilledBySecondSignal,
}

/// Does for one box what a command does for its program: passes signals on, relays the terminal,
/// keeps the time, waits.
///
/// It is made *before* the box is spawned, by the thread that will supervise: from then on that
/// thread takes SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT and SIGTSTP as
/// data, unless the process ignores them. Other threads of the program should block them.
#[derive(Debug)]
pub struct Supervisor {
    signals: Signals,
    timeout: Option<Duration>,
}

impl Supervisor {
    /// Takes the signals.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE` or `ENOMEM` when there can be no descriptor for them: signalfd(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            signals: Signals::take()?,
            timeout: None,
        })
    }

    /// Kills the box when it has run for this long.
    pub fn timeout(&mut self, timeout: Duration) -> &mut Self {
        self.timeout = Some(timeout);
        self
    }

    /// Stays with the box until it has ended. A new terminal is relayed to and from the standard
    /// streams; `notify` is told what the user may want to know.
    ///
    /// # Errors
    ///
    /// Those of [`Child::wait`], and of the descriptors that a relay needs.
    pub fn supervise(&self, child: &mut Child, notify: impl FnMut(Notice)) -> io::Result<Outcome> {
        let mut watch = Watch {
            supervisor: self,
            relay: child.take_terminal().map(Relay::new).transpose()?,
            lent: (child.terminal() == Terminal::Inherit)
                .then(|| Lent::new(child))
                .flatten(),
            deadline: self.timeout.map(|timeout| child.began() + timeout),
            interrupted: None,
            timed_out: false,
            notify,
        };
        let status = watch.until_end(child)?;
        let wall = child.began().elapsed();
        if let Some(relay) = watch.relay.take() {
            relay.finish();
        }
        // A program that ended by itself in the last moment has not timed out.
        let timed_out = watch.timed_out && status.signal() == Some(libc::SIGKILL);
        Ok(Outcome {
            status,
            timed_out,
            wall,
            usage: child.usage().unwrap_or_default(),
        })
    }
}

struct Watch<'a, F> {
    supervisor: &'a Supervisor,
    relay: Option<Relay>,
    lent: Option<Lent>,
    deadline: Option<Instant>,
    interrupted: Option<Instant>,
    timed_out: bool,
    notify: F,
}

impl<F: FnMut(Notice)> Watch<'_, F> {
    fn until_end(&mut self, child: &mut Child) -> io::Result<ExitStatus> {
        loop {
            let (ended, signalled) = self.wait(child)?;
            if signalled {
                while let Some(signal) = self.supervisor.signals.next() {
                    self.handle(signal, child)?;
                }
            }
            if self
                .deadline
                .is_some_and(|deadline| deadline <= Instant::now())
            {
                self.deadline = None;
                self.timed_out = true;
                child.kill()?;
            }
            if ended && let Some(status) = child.try_wait()? {
                return Ok(status);
            }
        }
    }

    /// Waits for anything to happen and relays what there is: whether the box has ended, and whether
    /// there is a signal.
    fn wait(&mut self, child: &Child) -> io::Result<(bool, bool)> {
        let timeout = self.deadline.map_or(PollTimeout::NONE, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            // Rounded up: a wait of 0 would spin through the last millisecond.
            PollTimeout::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX)
        });
        let fixed = [child.as_fd(), self.supervisor.signals.as_fd()]
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let mut fds = fixed.to_vec();
        if let Some(relay) = &self.relay {
            fds.extend(
                relay
                    .interest()
                    .into_iter()
                    .filter(|fd| !fd.events().is_empty()),
            );
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = |fd: &PollFd<'_>| fd.revents().unwrap_or(PollFlags::empty());
        let (ended, signalled) = (!ready(&fds[0]).is_empty(), !ready(&fds[1]).is_empty());
        let relayed: Vec<PollFlags> = fds[2..].iter().map(ready).collect();
        drop(fds);
        if let Some(relay) = &mut self.relay {
            let mut relayed = relayed.into_iter();
            let polled = relay.interest().map(|fd| !fd.events().is_empty());
            relay.pump(polled.map(|polled| {
                if polled { relayed.next() } else { None }.unwrap_or(PollFlags::empty())
            }));
        }
        Ok((ended, signalled))
    }

    fn handle(&mut self, signal: Signal, child: &mut Child) -> io::Result<()> {
        match signal {
            Signal::SIGCHLD => self.stop_with_box(child),
            Signal::SIGWINCH if self.relay.is_some() => self.relay.iter().for_each(Relay::resize),
            Signal::SIGINT | Signal::SIGTERM if self.is_second() => {
                (self.notify)(Notice::KilledBySecondSignal);
                child.kill()?;
            }
            Signal::SIGINT | Signal::SIGTERM => {
                let ignored = child.ignores(signal);
                child.signal(signal as i32)?;
                if ignored {
                    (self.notify)(Notice::Ignored(signal));
                }
            }
            _ => {
                if signal == Signal::SIGCONT {
                    self.relay.iter_mut().for_each(Relay::resume);
                }
                child.signal(signal as i32)?;
            }
        }
        Ok(())
    }

    /// Whether another SIGINT or SIGTERM came a short time ago; remembers this one.
    fn is_second(&mut self) -> bool {
        let before = self.interrupted.replace(Instant::now());
        before.is_some_and(|before| before.elapsed() < TWICE_WITHIN)
    }

    /// A box on the caller's terminal that was stopped takes the caller with it.
    fn stop_with_box(&self, child: &Child) {
        let Some(lent) = &self.lent else { return };
        if let Ok(Some((WaitStatus::Stopped(_), _))) =
            poll_for(child, libc::WSTOPPED | libc::WNOHANG)
        {
            lent.stop_with_box(child);
        }
    }
}
