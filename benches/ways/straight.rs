// SPDX-License-Identifier: MIT OR Apache-2.0
//! The child's system calls of a plain box, written straight: no plan, no interpreter, no report.
//!
//! This is what clonebox is compared with (the floor), and what the other ways do after their
//! clone, so that all of them make the same box.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use clonebox::Plan;
use clonebox_child::arch;

/// Not clonebox's own: a failure of the bench.
const EXIT_FAILED: usize = 99;

/// What the child needs, ready for the kernel.
pub(super) struct Straight {
    /// The parent's pidfd in a `struct pollfd`; poll(2) takes no notice of -1.
    pub(super) parent: libc::pollfd,
    program: CString,
    argv: [*const c_char; 2],
    environment: Vec<CString>,
    envp: Vec<*const c_char>,
    /// The capabilities to drop, and those to keep.
    drop: Vec<usize>,
    keep: u64,
    /// The signals to reset.
    signals: Vec<usize>,
}

impl Straight {
    pub(super) fn new(program: &Path, plan: &Plan) -> Self {
        let first = |name, number| {
            plan.steps()
                .filter(move |step| step.name() == name)
                .map(|step| step.words())
                .filter(move |words| number == ALL || words[0] == Some(number))
        };
        let drop: Vec<usize> = first("prctl", libc::PR_CAPBSET_DROP as usize)
            .filter_map(|words| words[1])
            .collect();
        let signals = first("rt_sigaction", ALL).filter_map(|words| words[0]);
        Self::with(program, drop, signals.collect())
    }

    fn with(program: &Path, drop: Vec<usize>, signals: Vec<usize>) -> Self {
        let program = CString::new(program.as_os_str().as_bytes()).unwrap_or_default();
        let environment: Vec<CString> = std::env::vars_os()
            .filter_map(|(name, value)| {
                CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
            })
            .collect();
        let envp = environment.iter().map(|pair| pair.as_ptr());
        Self {
            parent: libc::pollfd {
                fd: -1,
                events: libc::POLLIN,
                revents: 0,
            },
            argv: [program.as_ptr(), ptr::null()],
            program,
            envp: envp.chain([ptr::null()]).collect(),
            environment,
            keep: bounding() & !drop.iter().fold(0, |set, number| set | 1 << number),
            drop,
            signals,
        }
    }

    /// Words for a process that makes the steps after having been executed: see [`Self::told`].
    pub(super) fn tell(&self) -> Vec<CString> {
        let list = |numbers: &[usize]| {
            let words: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            CString::new(words.join(",")).unwrap_or_default()
        };
        vec![self.program.clone(), list(&self.drop), list(&self.signals)]
    }

    /// From the words of [`Self::tell`].
    pub(super) fn told(mut words: impl Iterator<Item = std::ffi::OsString>) -> Option<Self> {
        let program = words.next()?;
        let mut list = || -> Option<Vec<usize>> {
            let word = words.next()?.into_string().ok()?;
            word.split(',')
                .filter(|number| !number.is_empty())
                .map(|number| number.parse().ok())
                .collect()
        };
        Some(Self::with(Path::new(&program), list()?, list()?))
    }

    pub(super) fn envp(&self) -> *const *const c_char {
        debug_assert_eq!(self.envp.len(), self.environment.len() + 1);
        self.envp.as_ptr()
    }

    /// The names of the calls, to be compared with the plan's.
    pub(super) fn calls(&self) -> Vec<&'static str> {
        let mut calls = vec!["prctl", "setsid", "ppoll", "keyctl", "sethostname"];
        calls.extend(["mount", "mount"]);
        calls.push("close_range");
        calls.extend(self.drop.iter().map(|_| "prctl"));
        calls.extend(["capset", "prctl", "prctl"]);
        calls.extend(self.signals.iter().map(|_| "rt_sigaction"));
        calls.extend(["rt_sigprocmask", "execve"]);
        calls
    }
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

/// Makes the box and executes the program. It runs on shared memory: no allocation, no libc, no panic.
pub(super) extern "C" fn enter(straight: &Straight) -> ! {
    let no_time = [0u64; 2];
    let name = c"bench-box";
    let (proc, root, mountpoint) = (c"proc", c"/", c"/proc");
    let private = (libc::MS_REC | libc::MS_PRIVATE) as usize;
    let careful = (libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC) as usize;
    let header = [0x2008_0522u32, 0];
    let (low, high) = (straight.keep as u32, (straight.keep >> 32) as u32);
    let sets = [low, low, 0, high, high, 0];
    let action = [0u64; 4];
    let mask = 0u64;

    call(
        libc::SYS_prctl,
        [libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize],
    );
    call(libc::SYS_setsid, []);
    let parent = ptr::from_ref(&straight.parent).addr();
    if call(libc::SYS_ppoll, [parent, 1, no_time.as_ptr().addr(), 0, 8]) != 0 {
        exit();
    }
    // KEYCTL_JOIN_SESSION_KEYRING
    call(libc::SYS_keyctl, [1, 0]);
    call(libc::SYS_sethostname, [name.as_ptr().addr(), 9]);
    call(libc::SYS_mount, [0, root.as_ptr().addr(), 0, private, 0]);
    let proc = proc.as_ptr().addr();
    call(
        libc::SYS_mount,
        [proc, mountpoint.as_ptr().addr(), proc, careful, 0],
    );
    call(
        libc::SYS_close_range,
        [3, u32::MAX as usize, libc::CLOSE_RANGE_CLOEXEC as usize],
    );
    for &number in &straight.drop {
        call(libc::SYS_prctl, [libc::PR_CAPBSET_DROP as usize, number]);
    }
    call(
        libc::SYS_capset,
        [header.as_ptr().addr(), sets.as_ptr().addr()],
    );
    call(
        libc::SYS_prctl,
        [
            libc::PR_CAP_AMBIENT as usize,
            libc::PR_CAP_AMBIENT_CLEAR_ALL as usize,
        ],
    );
    call(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as usize, 1]);
    for &signal in &straight.signals {
        call(
            libc::SYS_rt_sigaction,
            [signal, action.as_ptr().addr(), 0, 8],
        );
    }
    let mask = ptr::from_ref(&mask).addr();
    call(
        libc::SYS_rt_sigprocmask,
        [libc::SIG_SETMASK as usize, mask, 0, 8],
    );
    execute(straight)
}

/// Executes the program, and nothing else: no box.
pub(super) extern "C" fn execute(straight: &Straight) -> ! {
    let program = straight.program.as_ptr().addr();
    execve(
        program,
        straight.argv.as_ptr().addr(),
        straight.envp.as_ptr().addr(),
    )
}

/// execve(2).
pub(super) fn execve(program: usize, argv: usize, envp: usize) -> ! {
    call(libc::SYS_execve, [program, argv, envp]);
    exit()
}

/// Makes a system call; the child ends if it fails.
#[inline]
pub(super) fn call<const N: usize>(number: libc::c_long, args: [usize; N]) -> usize {
    let mut words = [0; 6];
    for (word, arg) in words.iter_mut().zip(args) {
        *word = arg;
    }
    // SAFETY: every address is of memory that outlives the child's use of it: of its own stack, of
    // constants, or of the `Straight` that the parent keeps.
    let result = unsafe { arch::syscall(number as usize, words) };
    if result < 0 {
        exit();
    }
    result.cast_unsigned()
}

fn exit() -> ! {
    loop {
        // SAFETY: ends this process and nothing else.
        unsafe { arch::syscall(arch::EXIT_GROUP, [EXIT_FAILED, 0, 0, 0, 0, 0]) };
    }
}
