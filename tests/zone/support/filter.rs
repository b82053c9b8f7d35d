//! Seccomp filters of the calling thread, and of everything it clones: they answer system calls in the
//! kernel's place. See seccomp(2), seccomp_unotify(2).

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

const OP_ANSWER: u32 = libc::SECCOMP_RET_TRACE;

nix::ioctl_readwrite!(receive, b'!', 0, libc::seccomp_notif);
nix::ioctl_readwrite!(send, b'!', 1, libc::seccomp_notif_resp);

/// Has the kernel answer these calls with an errno, from now on.
pub(crate) fn refuse(calls: &[libc::c_long], errno: i32) {
    let program = program(calls, SeccompAction::Errno(errno.cast_unsigned()));
    seccompiler::apply_filter(&program).expect("a filter can be installed");
}

/// Has open_tree(2) know no mount namespaces: what it is asked for one is `EINVAL`.
pub(crate) fn refuse_new_namespaces() {
    /// `OPEN_TREE_NAMESPACE` of `linux/mount.h`.
    const NAMESPACE: u64 = 2;
    let asked = SeccompCmpOp::MaskedEq(NAMESPACE);
    let condition = SeccompCondition::new(2, SeccompCmpArgLen::Dword, asked, NAMESPACE);
    let rule = SeccompRule::new(vec![condition.expect("a good condition")]);
    let rules = vec![(libc::SYS_open_tree, vec![rule.expect("one condition")])];
    let program = of_rules(rules, SeccompAction::Errno(libc::EINVAL.cast_unsigned()));
    seccompiler::apply_filter(&program).expect("a filter can be installed");
}

fn program(calls: &[libc::c_long], action: SeccompAction) -> BpfProgram {
    let rules = calls.iter().map(|&call| (call, conditions(call)));
    of_rules(rules.collect(), action)
}

fn of_rules(rules: Vec<(libc::c_long, Vec<SeccompRule>)>, action: SeccompAction) -> BpfProgram {
    let arch = std::env::consts::ARCH.try_into().expect("a known machine");
    SeccompFilter::new(
        rules.into_iter().collect(),
        SeccompAction::Allow,
        action,
        arch,
    )
    .and_then(TryInto::try_into)
    .expect("a filter of whole calls")
}

/// Of futex(2) only the plain wait, which neither libc nor std makes: with any other the threads of this
/// process tell each other what there is to answer.
fn conditions(call: libc::c_long) -> Vec<SeccompRule> {
    if call != libc::SYS_futex {
        return Vec::new();
    }
    let wait = libc::FUTEX_WAIT.cast_unsigned().into();
    let condition = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, wait);
    let rule = SeccompRule::new(vec![condition.expect("a good condition")]);
    vec![rule.expect("one condition")]
}

/// Where calls wait for an answer.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

/// A call that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    id: u64,
    /// The thread that makes it, as this process sees it.
    pub(crate) tid: i32,
}

impl Listener {
    /// Has this call wait for an answer, from now on.
    pub(crate) fn install(call: libc::c_long) -> Self {
        let mut program = program(&[call], SeccompAction::Trace(0));
        // seccompiler has no word for SECCOMP_RET_USER_NOTIF.
        for instruction in &mut program {
            if instruction.k == OP_ANSWER {
                instruction.k = libc::SECCOMP_RET_USER_NOTIF;
            }
        }
        let filter = libc::sock_fprog {
            len: u16::try_from(program.len()).expect("a short program"),
            filter: program.as_mut_ptr().cast(),
        };
        // SAFETY: the call takes numbers.
        let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        assert_eq!(result, 0, "no_new_privs can be set");
        // SAFETY: the kernel copies the program, which lives during the call.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
                &raw const filter,
            )
        };
        let fd = Errno::result(fd).expect("a filter can be installed");
        // SAFETY: the descriptor is new and nobody else's.
        Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
    }

    /// A listener whose descriptor came by other ways.
    pub(crate) fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// The descriptor's number.
    pub(crate) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// The next call that waits; `None` if there is none within the time, or can be none any more.
    pub(crate) fn next(&self, timeout: PollTimeout) -> Option<Waiting> {
        let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut polled, timeout);
        let [polled] = polled;
        if !polled.revents()?.contains(PollFlags::POLLIN) {
            return None;
        }
        let mut waiting = MaybeUninit::<libc::seccomp_notif>::zeroed();
        // SAFETY: the structure is ours, and zeroed as the kernel demands. A caller that has died
        // meanwhile is ENOENT.
        unsafe { receive(self.number(), waiting.as_mut_ptr()) }.ok()?;
        // SAFETY: the call has succeeded and filled it.
        let waiting = unsafe { waiting.assume_init() };
        Some(Waiting {
            id: waiting.id,
            tid: waiting.pid.cast_signed(),
        })
    }

    /// Answers with an errno.
    pub(crate) fn fail(&self, waiting: Waiting, errno: i32) {
        self.answer(waiting, -errno, 0);
    }

    /// Lets the kernel make the call.
    pub(crate) fn pass(&self, waiting: Waiting) {
        self.answer(waiting, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32);
    }

    fn answer(&self, waiting: Waiting, error: i32, flags: u32) {
        let mut answer = libc::seccomp_notif_resp {
            id: waiting.id,
            val: 0,
            error,
            flags,
        };
        // SAFETY: the structure is ours. A caller that has died meanwhile needs no answer.
        let _ = unsafe { send(self.number(), &raw mut answer) };
    }
}
