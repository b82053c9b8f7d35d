// SPDX-License-Identifier: MIT OR Apache-2.0
//! Being there while a box runs: one loop over a pidfd, signals, a terminal and a clock.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;
use nix::unistd::tcgetpgrp;

use super::child::Child;
use super::foreground::Lent;
use super::outcome::Outcome;
use super::ready;
use super::relay::Relay;
use super::signals::{Signals, is_ignored, stop_group};
use super::terminal::{Settings, is_ours};
use crate::pidfd;
use crate::plan::Terminal;
use crate::streams::STDIN;

/// Two of SIGINT and SIGTERM within this time kill the box.
const TWICE_WITHIN: Duration = Duration::from_secs(1);
/// How often a job in the background looks whether it has come to the foreground. Our own choice: short
/// for a person, long for a processor.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// When a box counts as one that stays. Our own choice: most that are short are ten times as short.
const SETTLED: Duration = Duration::from_millis(50);
/// How long the terminal of a box that has ended may be silent before nobody is believed to write to
/// it any more. Only a process outside of the box, which has got its terminal, can keep it open.
const SILENCE: Duration = Duration::from_millis(200);

/// Something that the user of a supervised box may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The box's first process has no handler for this signal, and so, as PID 1, has ignored it.
    Ignored(Signal),
    /// The second SIGINT or SIGTERM within a second has killed the box.
    KilledBySecondSignal,
    /// pasta(1) has ended before the box, whose network leads nowhere any more.
    Disconnected,
}

/// Does for one box what a command does for its program: passes signals on, relays the terminal,
/// keeps the time, waits.
///
/// It is made *before* the box is spawned, by the thread that will supervise: from then on that
/// thread takes SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT and SIGTSTP as
/// data, unless the process ignores them; and SIGCHLD while it supervises a box with
/// [`Tty::Inherit`](crate::Tty::Inherit). Other threads of the program should block them.
#[derive(Debug)]
pub struct Supervisor {
    signals: Signals,
    timeout: Option<Duration>,
    when_settled: Option<fn()>,
    /// The settings of the terminal on standard input, if this process has its foreground.
    terminal: Option<Settings>,
}

impl Supervisor {
    /// Takes the signals.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE` or `ENOMEM` when there can be no descriptor for them: signalfd(2).
    pub fn new() -> io::Result<Self> {
        let mut supervisor = Self {
            signals: Signals::forwarded()?,
            timeout: None,
            when_settled: None,
            terminal: None,
        };
        supervisor.remember_terminal();
        Ok(supervisor)
    }

    /// Kills the box when it has run for this long.
    pub fn timeout(&mut self, timeout: Duration) -> &mut Self {
        self.timeout = Some(timeout);
        self
    }

    /// Calls this once while a box is supervised that has run for 50 ms: a command then gives up what only short boxes
    /// would have wanted back soon.
    pub fn when_settled(&mut self, call: fn()) -> &mut Self {
        self.when_settled = Some(call);
        self
    }

    /// Waits until this process has the foreground of the terminal on its standard input, if that is its
    /// controlling one: stopped, as the terminal stops a background job that reads.
    ///
    /// To be called before a box with process ids of its own is started with
    /// [`Tty::Inherit`](crate::Tty::Inherit): its PID 1 cannot be stopped. A read in the background would
    /// be tried again and again, for as long as it lasts.
    pub fn wait_for_foreground(&mut self) {
        while !is_ours(STDIN) && tcgetpgrp(STDIN).is_ok() {
            stop_group(Signal::SIGTTIN);
            // Nothing has continued this process: it was not stopped, and never will be.
            if !std::iter::from_fn(|| self.signals.next()).any(|signal| signal == Signal::SIGCONT) {
                break;
            }
        }
        self.remember_terminal();
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// When the time of a box is up. A time that no clock will show is none.
    pub(super) fn deadline(&self, child: &Child) -> Option<Instant> {
        let timeout = self.timeout?;
        child.began().checked_add(timeout)
    }

    fn remember_terminal(&mut self) {
        self.terminal = Settings::of(STDIN).ok().filter(|_| is_ours(STDIN));
    }

    /// Stays with the box until it has ended. A new terminal is relayed to and from the standard
    /// streams; `notify` is told what the user may want to know.
    ///
    /// # Errors
    ///
    /// Those of [`Child::wait`], and of the descriptors that a relay needs.
    pub fn supervise(&self, child: &mut Child, notify: impl FnMut(Notice)) -> io::Result<Outcome> {
        let mut watch = Watch {
            signals: &self.signals,
            relay: child.take_terminal().map(Relay::new).transpose()?,
            lent: match child.terminal() {
                Terminal::Inherit => Lent::new(child, self.terminal)?,
                Terminal::None | Terminal::New => None,
            },
            deadline: self.deadline(child),
            settled: self
                .when_settled
                .map(|call| (Instant::now() + SETTLED, call)),
            interrupted: None,
            timed_out: false,
            notify,
        };
        let status = watch.until_end(child)?;
        let wall = child.began().elapsed();
        watch.drain()?;
        // A program that ended by itself in the last moment has not timed out.
        let timed_out = watch.timed_out && status.signal() == Some(libc::SIGKILL);
        Ok(Outcome {
            status,
            timed_out,
            wall,
            usage: child.usage().unwrap_or_default(),
            limits: child.limits_usage(),
            deadly_filter: child.has_deadly_filter(),
            forbidden_call: child.forbidden_call(),
        })
    }
}

struct Watch<'a, F> {
    signals: &'a Signals,
    relay: Option<Relay>,
    lent: Option<Lent>,
    deadline: Option<Instant>,
    /// When the box counts as one that stays, and what is called then.
    settled: Option<(Instant, fn())>,
    interrupted: Option<Instant>,
    timed_out: bool,
    notify: F,
}

/// What [`Watch::wait`] has found.
struct Found {
    ended: bool,
    signalled: bool,
    stopped: bool,
    /// Somebody waits for an answer about a system call.
    asked: bool,
    /// pasta has ended.
    disconnected: bool,
    relayed: [PollFlags; 3],
}

impl<F: FnMut(Notice)> Watch<'_, F> {
    fn until_end(&mut self, child: &mut Child) -> io::Result<ExitStatus> {
        if let Some(lent) = &mut self.lent {
            // It may have stopped before there was anybody to be told.
            lent.look_at(child);
        }
        loop {
            let settled = self.settled.map(|(moment, _)| moment);
            let until = self.next_look().into_iter().chain(settled).min();
            let found = self.wait(Some(child), until)?;
            // Signals come first: one may say that the terminal is not to be touched any more.
            if found.signalled {
                while let Some(signal) = self.signals.next() {
                    self.handle(signal, child)?;
                }
            }
            self.refresh();
            if found.asked {
                child.answer();
            }
            // The end of the box is that of its pasta.
            if found.disconnected {
                child.network_is_gone();
                if !pidfd::has_ended(child) {
                    self.notify(Notice::Disconnected);
                }
            }
            if let Some(lent) = self.lent.as_mut().filter(|_| found.stopped) {
                lent.look_at(child);
            }
            self.pump(found.relayed, child)?;
            if self
                .deadline
                .is_some_and(|deadline| deadline <= Instant::now())
            {
                self.deadline = None;
                self.timed_out = true;
                child.kill()?;
            }
            if let Some((_, call)) = self
                .settled
                .take_if(|(moment, _)| *moment <= Instant::now())
            {
                call();
            }
            if found.ended
                && let Some(status) = child.try_wait()?
            {
                return Ok(status);
            }
        }
    }

    /// Waits for anything to happen, until the deadline or until another moment.
    fn wait(&self, child: Option<&Child>, until: Option<Instant>) -> nix::Result<Found> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let [input, output, terminal] = self
            .relay
            .as_ref()
            .map_or([const { None }; 3], Relay::interest);
        let wanted = [
            child.map(|child| readable(child.as_fd())),
            Some(readable(self.signals.as_fd())),
            self.lent.as_ref().map(|lent| readable(lent.as_fd())),
            child.and_then(Child::listener).map(readable),
            child
                .and_then(Child::network)
                .map(|fd| PollFd::new(fd, PollFlags::empty())),
            input,
            output,
            terminal,
        ];
        let deadline = self.deadline.into_iter().chain(until).min();
        let [ended, signalled, stopped, asked, disconnected, relayed @ ..] =
            ready::wait(wanted, deadline)?;
        Ok(Found {
            ended: !ended.is_empty(),
            signalled: !signalled.is_empty(),
            stopped: !stopped.is_empty(),
            asked: !asked.is_empty(),
            disconnected: !disconnected.is_empty(),
            relayed,
        })
    }

    /// When to look who has the foreground, if that matters.
    fn next_look(&self) -> Option<Instant> {
        let relay = self.relay.as_ref().is_some_and(Relay::waits_for_foreground);
        let lent = self.lent.as_ref().is_some_and(Lent::waits_for_foreground);
        (relay || lent).then(|| Instant::now() + LOOK_AGAIN)
    }

    fn refresh(&mut self) {
        if let Some(relay) = self
            .relay
            .as_mut()
            .filter(|relay| relay.waits_for_foreground())
        {
            relay.refresh();
        }
        if let Some(lent) = self
            .lent
            .as_mut()
            .filter(|lent| lent.waits_for_foreground())
        {
            lent.refresh();
        }
    }

    fn pump(&mut self, ready: [PollFlags; 3], child: &mut Child) -> io::Result<()> {
        let Some(relay) = &mut self.relay else {
            return Ok(());
        };
        relay.pump(ready);
        // The box's terminal has made it a SIGINT already. Nobody there does anything about it: it is as if
        // it were sent to this process.
        let unheard =
            relay.take_interrupt(child.id()) && child.ignores(Signal::SIGINT) && child.is_alone();
        let hung_up = relay.has_hung_up();
        if unheard {
            self.interrupt(Signal::SIGINT, child)?;
        }
        if hung_up {
            // The box's terminal hangs up as the caller's has.
            self.relay = None;
            // Any other program would be ended by that. PID 1 is not, and nobody would be there to do it.
            if !is_ignored(Signal::SIGHUP)
                && child.dies_with_parent()
                && child.ignores(Signal::SIGHUP)
            {
                child.kill()?;
            }
        }
        Ok(())
    }

    fn handle(&mut self, signal: Signal, child: &mut Child) -> io::Result<()> {
        match signal {
            Signal::SIGWINCH if self.relay.is_some() => self.relay.iter().for_each(Relay::resize),
            Signal::SIGINT | Signal::SIGTERM => self.interrupt(signal, child)?,
            _ => {
                if signal == Signal::SIGCONT {
                    self.relay.iter_mut().for_each(Relay::refresh);
                    self.lent.iter_mut().for_each(Lent::refresh);
                }
                pass_on(signal, child);
            }
        }
        Ok(())
    }

    /// SIGINT and SIGTERM ask for an end: the second one makes it.
    fn interrupt(&mut self, signal: Signal, child: &mut Child) -> io::Result<()> {
        if self.is_second() {
            child.kill()?;
            self.notify(Notice::KilledBySecondSignal);
            return Ok(());
        }
        let ignored = child.ignores(signal);
        pass_on(signal, child);
        if ignored {
            self.notify(Notice::Ignored(signal));
        }
        Ok(())
    }

    fn notify(&mut self, notice: Notice) {
        match &mut self.relay {
            Some(relay) => relay.aside(|| (self.notify)(notice)),
            None => (self.notify)(notice),
        }
    }

    /// Whether another SIGINT or SIGTERM came a short time ago; remembers this one.
    fn is_second(&mut self) -> bool {
        let before = self.interrupted.replace(Instant::now());
        before.is_some_and(|before| before.elapsed() < TWICE_WITHIN)
    }

    /// After the end of the box: moves the rest of what it wrote, for as long as the caller's terminal takes
    /// to show it, or until the time is up or a signal asks to end.
    fn drain(&mut self) -> io::Result<()> {
        if let Some(relay) = &mut self.relay {
            relay.box_has_ended();
        }
        let mut late = self.timed_out;
        while self.relay.as_ref().is_some_and(|relay| !relay.is_done()) {
            if self
                .deadline
                .take_if(|deadline| *deadline <= Instant::now())
                .is_some()
            {
                late = true;
            }
            let waits = !late && self.relay.as_ref().is_some_and(Relay::has_output);
            let silence = (!waits).then(|| Instant::now() + SILENCE);
            let found = self.wait(None, silence.or_else(|| self.next_look()))?;
            while let Some(signal) = self.signals.next() {
                match signal {
                    Signal::SIGCONT => self.relay.iter_mut().for_each(Relay::refresh),
                    Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT => {
                        return Ok(());
                    }
                    _ => {}
                }
            }
            let is_silent = found.relayed.iter().all(|flags| flags.is_empty());
            if is_silent && silence.is_some_and(|silence| silence <= Instant::now()) {
                break;
            }
            self.refresh();
            if let Some(relay) = &mut self.relay {
                relay.pump(found.relayed);
            }
        }
        Ok(())
    }
}

/// Passes a signal on. A box that takes none (it has just ended, it has changed its user) is no reason to
/// leave it alone.
fn pass_on(signal: Signal, child: &Child) {
    let _ = child.signal(signal as i32);
}
