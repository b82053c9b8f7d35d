// SPDX-License-Identifier: MIT OR Apache-2.0
//! A handle to a started box, in the manner of [`std::process::Child`].

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStderr, ChildStdin, ChildStdout, ExitStatus, Output};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;

use super::audit::ForbiddenCall;
use super::kernel_log::KernelLog;
use super::trace::{RefusedCall, Trace};
use super::{ending, network, ready};
use crate::cgroup::{Cgroup, LimitsUsage, Place};
use crate::launch::{InitReport, Started, Timings};
use crate::pidfd::{self, Usage, WaitStatus, poll_for};
use crate::plan::{Plan, Role, Terminal};
use crate::spec::ParentDeath;

/// A running box, or one that has ended and not been waited for.
///
/// As with [`std::process::Child`], dropping the handle neither ends the box nor waits for it.
#[derive(Debug)]
pub struct Child {
    /// The box's standard input, if it was [`Stdio::piped`](crate::Stdio::piped).
    pub stdin: Option<ChildStdin>,
    /// The box's standard output, if it was piped.
    pub stdout: Option<ChildStdout>,
    /// The box's standard error, if it was piped.
    pub stderr: Option<ChildStderr>,
    plan: Arc<Plan>,
    pid: u32,
    pidfd: OwnedFd,
    ptmx: Option<OwnedFd>,
    trace: Option<Trace>,
    /// What says for which call a deadly filter has ended the program.
    log: Option<KernelLog>,
    forbidden: Option<ForbiddenCall>,
    init: Option<InitReport>,
    network: Option<OwnedFd>,
    cgroup: Option<Cgroup>,
    /// The mounts of the box, if they may outlive it a little.
    mounts: Option<OwnedFd>,
    limits: Option<LimitsUsage>,
    timings: Option<Timings>,
    began: Instant,
    end: Option<(ExitStatus, Usage)>,
}

/// How long one part of a start took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTiming {
    /// What was done: the system call.
    pub call: String,
    /// How long it took.
    pub time: Duration,
}

impl Child {
    /// With its mount namespace the mounts are taken away when the end has been told.
    pub(crate) fn new(
        plan: Arc<Plan>,
        started: Started,
        log: Option<KernelLog>,
        mounts: Option<OwnedFd>,
    ) -> Self {
        let Started {
            pid,
            pidfd,
            ptmx,
            listener,
            init,
            network,
            cgroup,
            timings,
            at,
        } = started;
        Self {
            stdin: None,
            stdout: None,
            stderr: None,
            trace: listener.map(|listener| Trace::new(Arc::clone(&plan), listener)),
            log,
            forbidden: None,
            plan,
            pid,
            pidfd,
            ptmx,
            init,
            network,
            cgroup,
            mounts,
            limits: None,
            timings,
            began: at,
            end: None,
        }
    }

    /// Where its cgroups are.
    pub(crate) fn cgroups(&self) -> Vec<Place> {
        let cgroup = self.cgroup.iter();
        cgroup.flat_map(Cgroup::places).cloned().collect()
    }

    /// The name of the box.
    pub fn name(&self) -> &str {
        self.plan.name()
    }

    /// The process id of the box's first process, as the caller sees it.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// The box's end of the terminal, seen from outside: what is read from it is what the box prints.
    /// `None` without [`Tty::New`](crate::Tty::New), or when it was taken before.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.ptmx.take()
    }

    /// Whether the box's filter of system calls ends processes.
    pub(super) fn has_deadly_filter(&self) -> bool {
        let filter = self.plan.seccomp.as_ref();
        filter.is_some_and(|filter| filter.kills)
    }

    pub(super) fn terminal(&self) -> Terminal {
        self.plan.terminal
    }

    /// Whether the box is killed when this process dies.
    pub(super) fn dies_with_parent(&self) -> bool {
        self.plan.parent_death != ParentDeath::Survive
    }

    /// Whether the box's first process is PID 1 and does nothing about the signal: it neither has a
    /// handler nor blocks it, to wait for it. With an init in between it is the program's business.
    pub(super) fn ignores(&self, signal: Signal) -> bool {
        if !self.plan.has_pid_1() || self.plan.role == Some(Role::Init) {
            return false;
        }
        let bit = 1u64 << (signal as i32 - 1);
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid));
        let set = |name: &str| {
            let line = status
                .as_ref()
                .ok()?
                .lines()
                .find_map(|line| line.strip_prefix(name))?;
            u64::from_str_radix(line.trim(), 16).ok()
        };
        match (set("SigCgt:"), set("SigBlk:")) {
            (Some(caught), Some(blocked)) => (caught | blocked) & bit == 0,
            _ => false,
        }
    }

    /// Whether the box's first process is the only one of its process group.
    pub(super) fn is_alone(&self) -> bool {
        let group = self.pid.to_string();
        let is_other = |entry: std::fs::DirEntry| {
            let name = entry.file_name();
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // After the name, which may contain anything, come state, parent and group: proc_pid_stat(5).
            let found = stat.rsplit(") ").next()?.split(' ').nth(2)?;
            (found == group && name != *group).then_some(())
        };
        std::fs::read_dir("/proc")
            .is_ok_and(|entries| entries.flatten().find_map(is_other).is_none())
    }

    /// When the program was executed.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Sends a signal to the box's first process. As PID 1 it ignores every signal that it has no
    /// handler for, except SIGKILL and SIGSTOP: pid_namespaces(7).
    ///
    /// # Errors
    ///
    /// `EINVAL` for a number that is no signal, `EPERM` without the right to. A box that has ended
    /// and was not waited for takes the signal without effect; afterwards it is `InvalidInput`.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        if self.end.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the box has ended",
            ));
        }
        Ok(pidfd::kill(self.pidfd.as_fd(), signal)?)
    }

    /// Kills the box: its first process, and with it, if it has process ids of its own, all others.
    /// A box that has ended already is none the worse for it.
    ///
    /// # Errors
    ///
    /// As [`signal`](Self::signal).
    pub fn kill(&mut self) -> io::Result<()> {
        if self.end.is_some() {
            Ok(())
        } else {
            self.signal(libc::SIGKILL)
        }
    }

    /// Waits for the end of the box. Standard input is closed first, so that a program that reads it
    /// to the end does end.
    ///
    /// # Errors
    ///
    /// `ECHILD` if the program that uses the library has waited for the process by other means, as
    /// waitpid(-1) does, and the kernel does not tell how it has ended: before Linux 6.15. Since then the
    /// status is told nevertheless, and what the box has used is not.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        self.answer_until_end()?;
        loop {
            match self.poll(0) {
                Ok(Some(status)) => return Ok(status),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// The exit status if the box has ended.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.answer();
        self.poll(libc::WNOHANG)
    }

    /// What a filter that is [traced](crate::Command::seccomp_trace) would have refused until now, by name;
    /// `None` without one.
    pub fn refused(&self) -> Option<Vec<RefusedCall>> {
        self.trace.as_ref().map(Trace::refused)
    }

    /// The call for which the [filter](crate::Seccomp) has ended the box's program, once it has been waited for.
    /// `None` also where nobody knows: the wait status does not say it, and the kernel's log can be read by root in the
    /// initial process namespace only, or by everybody if the sysctl `kernel.dmesg_restrict` is 0; it has nothing where
    /// an audit daemon runs, or of the program of a box with an init.
    pub fn forbidden_call(&self) -> Option<ForbiddenCall> {
        self.forbidden
    }

    /// Answers those whose call a traced filter would refuse.
    pub(super) fn answer(&mut self) {
        self.trace.iter_mut().for_each(Trace::serve);
    }

    /// Ready to read when one of them waits.
    pub(super) fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.trace.as_ref().and_then(Trace::listener)
    }

    /// Hung up when what connects the box's network has ended; asked for once it has been, no more.
    pub(super) fn network(&self) -> Option<BorrowedFd<'_>> {
        self.network.as_ref().map(AsFd::as_fd)
    }

    /// Forgets it.
    pub(super) fn network_is_gone(&mut self) {
        self.network = None;
    }

    /// Answers them for as long as the box runs, if its filter is traced.
    fn answer_until_end(&mut self) -> io::Result<()> {
        while let Some(listener) = self.listener().filter(|_| self.end.is_none()) {
            let wanted =
                [self.as_fd(), listener].map(|fd| Some(PollFd::new(fd, PollFlags::POLLIN)));
            let [ended, asked] = ready::wait(wanted, None)?;
            if !asked.is_empty() {
                self.answer();
            }
            if !ended.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn poll(&mut self, options: i32) -> io::Result<Option<ExitStatus>> {
        if self.end.is_none() {
            if !self.look_at_log(options)? {
                return Ok(None);
            }
            let Some((status, usage)) = poll_for(&self.pidfd, libc::WEXITED | options)? else {
                return Ok(None);
            };
            self.set_end(status, usage);
        }
        Ok(self.end.map(|(status, _)| status))
    }

    /// Waits for the end and leaves the process to be waited for, where its id is still needed to find it in the
    /// kernel's log. Whether it has ended, as far as that is known: without a log nobody looks.
    fn look_at_log(&mut self, options: i32) -> nix::Result<bool> {
        let Some(log) = &mut self.log else {
            return Ok(true);
        };
        let ended = poll_for(&self.pidfd, libc::WEXITED | libc::WNOWAIT | options)?;
        let Some((status, _)) = ended else {
            return Ok(false);
        };
        if let WaitStatus::Killed(libc::SIGSYS) | WaitStatus::Dumped(libc::SIGSYS) = status {
            self.forbidden = log.forbidden_call(self.pid);
        }
        self.log = None;
        Ok(true)
    }

    fn set_end(&mut self, status: WaitStatus, usage: Usage) {
        // The init's own status cannot say that the program was killed by a signal; its report can.
        let told = self.init.as_mut().and_then(InitReport::wait_status);
        let status = ExitStatus::from_raw(told.unwrap_or(status.raw()));
        self.end = Some((status, usage));
        if let Some(network) = self.network.take() {
            network::await_end(&network);
        }
        if let Some(mounts) = self.mounts.take() {
            ending::close_later(mounts);
        }
        if let Some(cgroup) = self.cgroup.take() {
            self.limits = Some(cgroup.usage());
            cgroup.remove();
        }
    }

    /// What the kernel has counted for the box's limits; `None` until it has been waited for, and
    /// without limits. Processes of a box with limits that are left at its end are killed.
    pub fn limits_usage(&self) -> Option<LimitsUsage> {
        self.limits
    }

    /// What the box has used; `None` until it has been waited for.
    pub fn usage(&self) -> Option<Usage> {
        self.end.map(|(_, usage)| usage)
    }

    /// How long the clone, each step and the execve took; `None` unless
    /// [`Command::timings`](crate::Command::timings) asked for it.
    pub fn timings(&self) -> Option<Vec<StepTiming>> {
        let Timings { clone, steps, exec } = self.timings.clone()?;
        let begin = StepTiming {
            call: self.plan.clone.show(),
            time: clone,
        };
        let calls = self.plan.steps().map(|step| step.call());
        let between = calls
            .clone()
            .zip(&steps)
            .map(|(call, &time)| StepTiming { call, time });
        let last = calls
            .skip(steps.len())
            .take(1)
            .map(|call| StepTiming { call, time: exec });
        Some(std::iter::once(begin).chain(between).chain(last).collect())
    }

    /// Waits for the end of the box and collects what it writes to its piped streams meanwhile.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and those of reading.
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let (stdout, stderr) = thread::scope(|scope| {
            if self.trace.is_some() {
                // A box that nobody answers writes nothing. What fails here fails again below.
                scope.spawn(|| self.answer_until_end());
            }
            let stderr = scope.spawn(|| read_all(stderr));
            let stdout = read_all(stdout);
            (stdout, stderr.join())
        });
        let status = self.wait()?;
        let stderr =
            stderr.unwrap_or_else(|_| Err(io::Error::other("the reading thread panicked")))?;
        Ok(Output {
            status,
            stdout: stdout?,
            stderr,
        })
    }
}

fn read_all(stream: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// The pidfd of the box's first process: ready to read when it has ended. See pidfd_open(2).
impl AsRawFd for Child {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

/// As with [`AsRawFd`], for as long as the handle lives.
impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
