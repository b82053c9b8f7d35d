// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answering for a filter that is traced: every call that it would refuse is made, and noted. See
//! seccomp_unotify(2).

use std::collections::BTreeMap;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use clonebox_seccomp::{Data, calls};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::plan::Plan;
use crate::spec::Arch;

nix::ioctl_readwrite!(receive, b'!', 0, libc::seccomp_notif);
nix::ioctl_readwrite!(send, b'!', 1, libc::seccomp_notif_resp);

/// A system call that a traced filter would have refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCall {
    /// Its name; its number if the table of this version has no name for it.
    pub name: String,
    /// The architecture that it is a call of; `None` for one that is unknown here.
    pub arch: Option<Arch>,
    /// Its number there.
    pub number: u32,
    /// The arguments, when it was made for the first time. What the call does not have is left over from
    /// others.
    pub args: [u64; 6],
    /// What the filter would have said: a `SECCOMP_RET_*` with its data. See seccomp(2).
    pub answer: u32,
    /// How many times.
    pub times: u64,
}

impl RefusedCall {
    /// The errno that the program would have got, if it would have got one.
    pub fn errno(&self) -> Option<i32> {
        (self.answer & libc::SECCOMP_RET_ACTION_FULL == libc::SECCOMP_RET_ERRNO)
            .then_some((self.answer & libc::SECCOMP_RET_DATA).cast_signed())
    }
}

/// `AUDIT_ARCH_*`, number, answer.
type Kind = (u32, u32, u32);

/// The launcher's side of a filter.
#[derive(Debug)]
pub(super) struct Trace {
    plan: Arc<Plan>,
    /// Until nobody is left who has the filter.
    listener: Option<OwnedFd>,
    /// What was refused: the arguments of the first time, and how many times.
    found: BTreeMap<Kind, ([u64; 6], u64)>,
}

impl Trace {
    pub(super) fn new(plan: Arc<Plan>, listener: OwnedFd) -> Self {
        Self {
            plan,
            listener: Some(listener),
            found: BTreeMap::new(),
        }
    }

    /// Ready to read when somebody waits for an answer.
    pub(super) fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(AsFd::as_fd)
    }

    /// Answers all who wait, and waits for nobody.
    pub(super) fn serve(&mut self) {
        while let Some(listener) = &self.listener {
            let mut polled = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, PollTimeout::ZERO) {
                Ok(0) => return,
                Err(Errno::EINTR) => continue,
                Ok(_) => {}
                Err(_) => return,
            }
            let ready = polled[0].revents().unwrap_or(PollFlags::empty());
            if !ready.contains(PollFlags::POLLIN) {
                // The last process that had the filter has gone.
                self.listener = None;
                return;
            }
            self.answer_one();
        }
    }

    fn answer_one(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        // SAFETY: numbers, for all of which 0 is a value.
        let mut call: libc::seccomp_notif = unsafe { mem::zeroed() };
        // SAFETY: the structure is ours, and zeroed as the kernel demands.
        if unsafe { receive(listener.as_raw_fd(), &raw mut call) }.is_err() {
            // Who asked has been killed, or is handling a signal and will ask again.
            return;
        }
        let mut answer = libc::seccomp_notif_resp {
            id: call.id,
            val: 0,
            error: 0,
            flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
        };
        // SAFETY: the structure is ours.
        if unsafe { send(listener.as_raw_fd(), &raw mut answer) }.is_ok() {
            self.note(&call.data);
        }
    }

    fn note(&mut self, call: &libc::seccomp_data) {
        let data = Data {
            nr: call.nr.cast_unsigned(),
            arch: call.arch,
            instruction_pointer: call.instruction_pointer,
            args: call.args,
        };
        let filter = self.plan.seccomp.as_ref();
        let answer = filter.and_then(|filter| filter.judge(&data)).unwrap_or(0);
        let kind = (data.arch, data.nr, answer);
        self.found.entry(kind).or_insert((data.args, 0)).1 += 1;
    }

    /// What was noted, by name.
    pub(super) fn refused(&self) -> Vec<RefusedCall> {
        let call = |(&(audit, number, answer), &(args, times)): (&Kind, &([u64; 6], u64))| {
            let arch = Arch::ALL.into_iter().find(|arch| arch.audit() == audit);
            let name = arch.and_then(|arch| calls(arch).find(|(_, known)| *known == number));
            RefusedCall {
                name: name.map_or_else(|| number.to_string(), |(name, _)| name.to_owned()),
                arch,
                number,
                args,
                answer,
                times,
            }
        };
        let mut refused: Vec<RefusedCall> = self.found.iter().map(call).collect();
        refused.sort_by(|one, other| one.name.cmp(&other.name));
        refused
    }
}
