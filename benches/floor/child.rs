// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the children of the floors share: system calls, and the last of them.
//!
//! A floor is written against [`Kernel`], so that the list of its calls, which is compared with the
//! plan's, is made by the very code that makes the calls.

use std::ffi::CStr;
use std::ptr;

use clonebox::Plan;
use clonebox_child::arch;

/// Not clonebox's own: a failure of the bench.
const EXIT_FAILED: usize = 99;

/// Who takes a system call.
pub(crate) trait Kernel {
    /// Makes a system call: its result, or -errno.
    fn make<const N: usize>(
        &mut self,
        name: &'static str,
        number: libc::c_long,
        args: [usize; N],
    ) -> isize;

    /// Makes a system call; the child ends if it fails.
    #[inline(always)]
    fn call<const N: usize>(
        &mut self,
        name: &'static str,
        number: libc::c_long,
        args: [usize; N],
    ) -> usize {
        succeeded(self.make(name, number, args))
    }
}

/// The one that there is. It runs on shared memory: no allocation, no libc, no panic.
pub(crate) struct Linux;

impl Kernel for Linux {
    #[inline(always)]
    fn make<const N: usize>(
        &mut self,
        _: &'static str,
        number: libc::c_long,
        args: [usize; N],
    ) -> isize {
        system_call(number, args)
    }
}

/// One that makes nothing, and notes what it was asked for.
impl Kernel for Vec<&'static str> {
    fn make<const N: usize>(
        &mut self,
        name: &'static str,
        _: libc::c_long,
        _: [usize; N],
    ) -> isize {
        self.push(name);
        0
    }
}

/// What a box loses before its program runs.
pub(crate) struct Privileges {
    /// The capabilities to drop, and those to keep.
    pub(crate) drop: Vec<usize>,
    keep: u64,
    /// The signals to reset.
    pub(crate) signals: Vec<usize>,
    /// The filter of system calls: an array of `struct sock_filter`, empty if there is none.
    filter: Vec<u8>,
}

impl Privileges {
    pub(crate) fn new(drop: Vec<usize>, signals: Vec<usize>) -> Self {
        Self {
            keep: bounding() & !drop.iter().fold(0, |set, number| set | 1 << number),
            drop,
            signals,
            filter: Vec::new(),
        }
    }

    /// As in a plan.
    pub(crate) fn of(plan: &Plan) -> Self {
        let first = |name, number| {
            plan.steps()
                .filter(move |step| step.name() == name)
                .map(|step| step.words())
                .filter(move |words| number == ALL || words[0] == Some(number))
        };
        let drop = first("prctl", libc::PR_CAPBSET_DROP as usize).filter_map(|words| words[1]);
        let signals = first("rt_sigaction", ALL).filter_map(|words| words[0]);
        Self {
            filter: plan.seccomp_program().unwrap_or_default(),
            ..Self::new(drop.collect(), signals.collect())
        }
    }

    /// All that is done before the program is executed.
    #[inline(always)]
    pub(crate) fn lose(&self, kernel: &mut impl Kernel) {
        let header = [0x2008_0522u32, 0];
        let (low, high) = (self.keep as u32, (self.keep >> 32) as u32);
        let sets = [low, low, 0, high, high, 0];
        let action = [0u64; 4];
        let mask = 0u64;
        for &number in &self.drop {
            let args = [libc::PR_CAPBSET_DROP as usize, number];
            kernel.call("prctl", libc::SYS_prctl, args);
        }
        let args = [header.as_ptr().addr(), sets.as_ptr().addr()];
        kernel.call("capset", libc::SYS_capset, args);
        let clear = [
            libc::PR_CAP_AMBIENT as usize,
            libc::PR_CAP_AMBIENT_CLEAR_ALL as usize,
        ];
        kernel.call("prctl", libc::SYS_prctl, clear);
        let args = [libc::PR_SET_NO_NEW_PRIVS as usize, 1];
        kernel.call("prctl", libc::SYS_prctl, args);
        for &signal in &self.signals {
            let args = [signal, action.as_ptr().addr(), 0, 8];
            kernel.call("rt_sigaction", libc::SYS_rt_sigaction, args);
        }
        let mask = ptr::from_ref(&mask).addr();
        let args = [libc::SIG_SETMASK as usize, mask, 0, 8];
        kernel.call("rt_sigprocmask", libc::SYS_rt_sigprocmask, args);
        if !self.filter.is_empty() {
            let length = self.filter.len() / size_of::<libc::sock_filter>();
            // The layout of `struct sock_fprog`.
            let program = [length, self.filter.as_ptr().addr()];
            let mode = libc::SECCOMP_SET_MODE_FILTER as usize;
            let args = [mode, 0, program.as_ptr().addr()];
            kernel.call("seccomp", libc::SYS_seccomp, args);
        }
    }
}

/// Dies with the parent, enters cgroups, leads a session, looks whether the parent still lives, and leaves its
/// keys.
#[inline(always)]
pub(crate) fn attach<K: Kernel>(
    kernel: &mut K,
    parent: &libc::pollfd,
    enter_cgroups: impl FnOnce(&mut K),
) {
    let no_time = [0u64; 2];
    let args = [libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize];
    kernel.call("prctl", libc::SYS_prctl, args);
    enter_cgroups(kernel);
    kernel.call("setsid", libc::SYS_setsid, []);
    let parent = ptr::from_ref(parent).addr();
    let args = [parent, 1, no_time.as_ptr().addr(), 0, 8];
    if kernel.call("ppoll", libc::SYS_ppoll, args) != 0 {
        exit();
    }
    /// `linux/keyctl.h`.
    const KEYCTL_JOIN_SESSION_KEYRING: usize = 1;
    kernel.call("keyctl", libc::SYS_keyctl, [KEYCTL_JOIN_SESSION_KEYRING, 0]);
}

#[inline(always)]
pub(crate) fn own_name(kernel: &mut impl Kernel) {
    const NAME: &CStr = c"bench-box";
    let args = [NAME.as_ptr().addr(), NAME.count_bytes()];
    kernel.call("sethostname", libc::SYS_sethostname, args);
}

/// Nothing that is mounted is seen outside.
#[inline(always)]
pub(crate) fn own_mounts(kernel: &mut impl Kernel) {
    let private = (libc::MS_REC | libc::MS_PRIVATE) as usize;
    let args = [0, c"/".as_ptr().addr(), 0, private, 0];
    kernel.call("mount", libc::SYS_mount, args);
}

/// No number of prctl(2): every call of the name.
const ALL: usize = usize::MAX;

fn bounding() -> u64 {
    // SAFETY: the call takes numbers and touches no memory.
    let has = |number: u64| unsafe { libc::prctl(libc::PR_CAPBSET_READ, number) };
    (0..64)
        .filter(|&number| has(number) == 1)
        .fold(0, |set, number| set | 1 << number)
}

/// Makes a system call; the child ends if it fails.
#[inline(always)]
pub(crate) fn call<const N: usize>(number: libc::c_long, args: [usize; N]) -> usize {
    succeeded(system_call(number, args))
}

#[inline(always)]
fn succeeded(result: isize) -> usize {
    if result < 0 {
        exit();
    }
    result.cast_unsigned()
}

#[inline(always)]
fn system_call<const N: usize>(number: libc::c_long, args: [usize; N]) -> isize {
    let mut words = [0; 6];
    for (word, arg) in words.iter_mut().zip(args) {
        *word = arg;
    }
    // SAFETY: every address is of memory that outlives the child's use of it: of its own stack, of
    // constants, or of what the parent keeps until it has waited.
    unsafe { arch::syscall(number as usize, words) }
}

pub(crate) fn exit() -> ! {
    loop {
        // SAFETY: ends this process and nothing else.
        unsafe { arch::syscall(arch::EXIT_GROUP, [EXIT_FAILED, 0, 0, 0, 0, 0]) };
    }
}
