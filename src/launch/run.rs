// SPDX-License-Identifier: MIT OR Apache-2.0
//! One launch, from the plan to a box or a reason.

use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use nix::errno::Errno;

use super::dumpable::Dumpable;
use super::foreground::Foreground;
use super::frame::{Ends, Frame, Supplies, monotonic_ns};
use super::gate::{Network, Trouble};
use super::init::{InitReport, Said, Start, Told};
use super::outcome::{Failure, Started};
use super::spawner::Chosen;
use super::{unseen, wait};
use crate::pidfd::{self, WaitStatus, kill, poll_for, wait_for};
use crate::plan::{Plan, Role, Terminal};

/// Runs a plan.
pub(crate) fn launch(plan: &Arc<Plan>, supplies: Supplies<'_>) -> Result<Started, Failure> {
    // A time that no clock will show is none.
    let deadline = plan
        .start_timeout
        .and_then(|timeout| Instant::now().checked_add(timeout));
    let (mut frame, ends) = Frame::new(plan, supplies)?;
    let Ends {
        ptmx,
        mut init,
        cgroup,
    } = ends;
    let began = if plan.timings { monotonic_ns() } else { 0 };
    let dumpable = Dumpable::keep(plan, deadline).ok_or(Failure::Late(usize::MAX))?;
    let to_lend = plan.terminal == Terminal::Inherit && Foreground::is_ours();
    let Cloned {
        mut pid,
        mut late,
        gate,
    } = clone(&frame, deadline).map_err(Failure::Clone)?;
    let foreground = to_lend.then(|| Foreground::of(pid));
    // SAFETY: the clone has succeeded, so the kernel has put a new descriptor there.
    let mut pidfd = unsafe { OwnedFd::from_raw_fd(frame.shared().pidfd.load(Ordering::Relaxed)) };

    let network = match gate.unwrap_or_else(|| match frame.gate() {
        Some(gate) => gate.serve(frame.shared(), deadline),
        None => Ok(None),
    }) {
        Ok(network) => network,
        Err(Trouble::Failed(failure)) => {
            frame.end(&pidfd);
            return Err(failure);
        }
        Err(Trouble::Other) => {
            // Whoever serves the gate may be the first to see that the time is up, and ends the child.
            let over = deadline.is_some_and(|deadline| deadline <= Instant::now());
            late |= over && frame.shared().report.failure().is_none();
            None
        }
    };
    if late || !wait::until_left(&frame.shared().running, deadline) {
        return Err(frame.give_up(&pidfd));
    }
    drop(dumpable);
    frame.close();
    let failure = failure(&frame, &pidfd);
    let timings = frame.timings(began);
    let received = frame.receive();
    let listener = frame.receive_listener();
    frame.finish();
    if let Some(failure) = failure {
        return Err(failure);
    }
    let ptmx = match received {
        Ok(received) => received.or(ptmx),
        Err(errno) => {
            end(&pidfd);
            return Err(Failure::Parent("receive what the child has made", errno));
        }
    };
    let listener = listener.map_err(|errno| {
        end(&pidfd);
        Failure::Parent("receive the listener of the seccomp filter", errno)
    })?;
    if plan.time_namespace && !in_own_time_namespace(pid) {
        end(&pidfd);
        return Err(Failure::TimeNamespace);
    }
    if let Some(report) = init.as_ref().filter(|_| plan.role == Some(Role::Join)) {
        (pid, pidfd) = enter(report, (pid, &pidfd), deadline)?;
    }
    if let Some(report) = &mut init
        && plan.role != Some(Role::Stand)
    {
        await_program(report, plan.role, &pidfd, deadline)?;
    }
    let init = init.filter(|_| !matches!(plan.role, Some(Role::Exec | Role::Join)));
    if let Some(foreground) = foreground {
        foreground.lend();
    }
    Ok(Started {
        pid,
        pidfd,
        ptmx,
        listener,
        init,
        network,
        cgroup,
        timings,
        at: Instant::now(),
    })
}

/// A clone that has succeeded.
struct Cloned {
    pid: u32,
    /// The deadline has passed meanwhile.
    late: bool,
    /// What has come of the gate, if it has been served meanwhile.
    gate: Option<Result<Network, Trouble>>,
}

impl Cloned {
    /// A child that is still in the shared memory, and perhaps waits at the gate.
    fn running(pid: u32) -> Self {
        Self {
            pid,
            late: false,
            gate: None,
        }
    }
}

/// Makes the clone: here, or on a thread that does not end.
fn clone(frame: &Frame, deadline: Option<Instant>) -> Result<Cloned, Errno> {
    let vfork = frame.plan.stands_still();
    let late = deadline.filter(|_| frame.spawner.is_none());
    if vfork && (frame.gate().is_some() || late.is_some()) {
        return clone_with_porter(frame, deadline);
    }
    match &frame.spawner {
        Some(spawner) => clone_there(frame, spawner, deadline.filter(|_| vfork)),
        None => frame.clone_child().map(Cloned::running),
    }
}

/// With `CLONE_VFORK` whoever makes the clone stands still until the child has left: a thread of its own serves
/// the gate at which the child waits, and ends a child whose time is up.
fn clone_with_porter(frame: &Frame, deadline: Option<Instant>) -> Result<Cloned, Errno> {
    let over = AtomicBool::new(false);
    let shared = frame.shared();
    let gate = frame.gate();
    let work = || match (gate, deadline) {
        (Some(gate), _) => gate.serve_unseen(shared, &over, deadline),
        (None, Some(deadline)) if unseen::end_late(shared, &over, deadline) => Err(Trouble::Other),
        (None, _) => Ok(None),
    };
    thread::scope(|scope| {
        let porter = thread::Builder::new()
            .name("clonebox-gate".to_owned())
            .spawn_scoped(scope, work)
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
        let cloned = match &frame.spawner {
            None => frame.clone_child().map(Cloned::running),
            Some(spawner) => clone_there(frame, spawner, deadline),
        };
        over.store(true, Ordering::Release);
        porter.thread().unpark();
        let gate = porter.join().unwrap_or(Err(Trouble::Other));
        cloned.map(|cloned| Cloned {
            gate: Some(gate),
            ..cloned
        })
    })
}

/// The clone on the other thread. With `CLONE_VFORK` it returns when the child has left the shared memory:
/// until the deadline that is waited for, then the child is ended.
fn clone_there(
    frame: &Frame,
    spawner: &Chosen,
    deadline: Option<Instant>,
) -> Result<Cloned, Errno> {
    let mut late = false;
    let pid = spawner.clone_child(frame, deadline, || {
        late = true;
        unseen::kill(frame.shared());
    })?;
    Ok(Cloned {
        late,
        ..Cloned::running(pid)
    })
}

/// Why a child that has left the shared memory has not executed its program, if it has not.
fn failure(frame: &Frame, pidfd: &OwnedFd) -> Option<Failure> {
    if let Some((step, errno)) = frame.shared().report.failure() {
        let _ = wait_for(pidfd);
        let errno = Errno::from_raw(errno.cast_signed());
        return Some(Failure::Step(step as usize, errno));
    }
    let step = frame.shared().progress.step() as usize;
    // A child that was killed in its execve is not told from a program that was killed at its start.
    (!frame.plan.leaves(step)).then(|| Failure::Killed(step, status_of(pidfd)))
}

/// Takes the process that has entered the process namespace of a box for the child: it is one as well. The one
/// that has made it ends.
fn enter(
    report: &InitReport,
    maker: (u32, &OwnedFd),
    deadline: Option<Instant>,
) -> Result<(u32, OwnedFd), Failure> {
    let (maker, pidfd) = maker;
    let mut made: Option<(u32, OwnedFd)> = None;
    let failure = loop {
        match report.hear(deadline) {
            Said::Made(sender, pid) if sender == maker => {
                made = own_child(pid).ok().map(|pidfd| (pid, pidfd));
            }
            Said::There(pid) => {
                let Ok(entered) = own_child(pid) else {
                    continue;
                };
                status_of(pidfd);
                if made.is_none() {
                    // What its maker has said as well.
                    report.hear(Some(Instant::now()));
                }
                // One that does not hear it has been killed, as is seen next.
                let _ = report.let_go_on();
                return Ok((pid, entered));
            }
            Said::Made(..) | Said::Nonsense => {}
            Said::Nobody(errno) => break Failure::NoProcess(Errno::from_raw(errno)),
            Said::Late => break Failure::Late(usize::MAX),
            Said::Gone => break Failure::Killed(usize::MAX, WaitStatus::Killed(libc::SIGKILL)),
        }
    };
    end(pidfd);
    if made.is_none()
        && let Said::Made(_, pid) = report.hear(Some(Instant::now()))
    {
        made = own_child(pid).ok().map(|pidfd| (pid, pidfd));
    }
    // The box does not end before all of its processes have been waited for.
    if let Some((_, pidfd)) = made {
        end(&pidfd);
    }
    Err(failure)
}

/// A child of this process that has not been waited for. Whoever is in the box could have said that he is one.
fn own_child(pid: u32) -> nix::Result<OwnedFd> {
    let pidfd = pidfd::of_process(pid)?;
    poll_for(&pidfd, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)?;
    Ok(pidfd)
}

/// Waits until our program says that the program of the box runs. One that has given its place to it
/// says nothing: its end of the pipe is closed.
fn await_program(
    report: &mut InitReport,
    role: Option<Role>,
    pidfd: &OwnedFd,
    deadline: Option<Instant>,
) -> Result<(), Failure> {
    said(report.start(deadline), role, pidfd)
}

/// What that word means for the launch.
fn said(word: Start, role: Option<Role>, pidfd: &OwnedFd) -> Result<(), Failure> {
    match word {
        Start::Started => Ok(()),
        Start::Gone if matches!(role, Some(Role::Exec | Role::Join)) => Ok(()),
        Start::Failed(candidate, errno) => {
            let _ = wait_for(pidfd);
            Err(Failure::Exec(candidate, Errno::from_raw(errno)))
        }
        Start::Late => {
            end(pidfd);
            Err(Failure::Late(usize::MAX))
        }
        Start::Gone => Err(Failure::Killed(usize::MAX, status_of(pidfd))),
    }
}

/// Has a box that stands execute its program. `None` if it has ended while it stood: it is reaped, and another
/// one may do.
pub(crate) fn wake(started: &mut Started, told: &Told<'_>) -> Option<Result<(), Failure>> {
    let mut report = started.init.take()?;
    let told = report.tell(told).ok();
    let Some(start) = told.and_then(|()| report.start_of_one_that_stood()) else {
        end(&started.pidfd);
        return None;
    };
    started.at = Instant::now();
    Some(said(start, Some(Role::Exec), &started.pidfd))
}

/// Kills and reaps.
fn end(pidfd: &OwnedFd) {
    let _ = kill(pidfd.as_fd(), libc::SIGKILL);
    let _ = wait_for(pidfd);
}

/// Reaps a child: how it ended. One that somebody else has reaped was killed, as far as we know.
fn status_of(pidfd: &OwnedFd) -> WaitStatus {
    wait_for(pidfd).map_or(WaitStatus::Killed(libc::SIGKILL), |(status, _)| status)
}

/// Whether the program has clocks of its own. Old kernels leave it in the parent's time namespace
/// without a word. One that has ended already is not asked.
fn in_own_time_namespace(pid: u32) -> bool {
    // The kernel wakes us when the child gives up the memory, and changes its namespace after that.
    while shares_memory(pid) {
        thread::yield_now();
    }
    let ours = std::fs::read_link("/proc/self/ns/time");
    let its = std::fs::read_link(format!("/proc/{pid}/ns/time"));
    ours.ok()
        .zip(its.ok())
        .is_none_or(|(ours, its)| ours != its)
}

/// Whether a process still has this one's memory; the answer waits for an execve(2) that is under way.
/// No if the kernel cannot tell. See kcmp(2).
fn shares_memory(pid: u32) -> bool {
    /// `KCMP_VM` in `linux/kcmp.h`.
    const KCMP_VM: libc::c_int = 1;
    let this = std::process::id();
    // SAFETY: the call takes numbers and touches no memory.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, this, pid, KCMP_VM, 0, 0) };
    order == 0
}
