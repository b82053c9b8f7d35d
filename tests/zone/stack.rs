//! How much stack the child needs, and what it finds where it looks.

use std::ffi::{CStr, CString};
use std::iter;
use std::os::unix::ffi::OsStringExt;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use clonebox_child::{
    Arg, CloneArgs, Entry, Expect, OnError, STACK_BUDGET, Shared, Slot, Step, clone,
};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::WaitStatus;
use nix::unistd::{SysconfVar, sysconf};

use crate::support::process::wait;
use crate::support::program::Program;
use crate::support::tests;

const PAINT: u8 = 0xa5;
/// More rounds than any plan has steps.
const ROUNDS: usize = 200;
const ARGV: Slot = Slot(0);
const ENVP: Slot = Slot(1);
const SCRATCH: Slot = Slot(2);
const SAVED: Slot = Slot(3);

tests! {
    fn the_child_stays_within_its_stack_budget() needs [] {
        let program = Program::new();
        for way_out in WayOut::ALL {
            let stack = Stack::new(64 * 1024);
            way_out.take(&stack, &program);
            let used = stack.used();
            assert!(used > 0 && used <= STACK_BUDGET, "{used} of {STACK_BUDGET} bytes, {way_out:?}");
        }
    }

    fn the_child_runs_on_one_page_with_a_guard_below() needs [] {
        let program = Program::new();
        for way_out in WayOut::ALL {
            way_out.take(&Stack::new(page()), &program);
        }
    }

    fn a_filesystem_that_is_not_proc_is_noticed() needs [] {
        let of = |path: &CStr| answer(&Step {
            args: expecting(Expect::Procfs).args.map(|arg| match arg {
                Arg::Word(word) if word != 0 => Arg::Word(path.as_ptr().expose_provenance()),
                other => other,
            }),
            ..expecting(Expect::Procfs)
        }, &[]);
        assert_eq!(of(c"/proc"), None);
        assert_eq!(of(c"/proc/self/fd"), None);
        for other in [c"/", c"/sys", c"/dev", c"/tmp"] {
            assert_eq!(of(other), Some(libc::ENODEV), "{other:?}");
        }
    }

    fn a_device_that_is_not_the_null_device_is_noticed() needs [] {
        // What statx(2) would write, of which nothing is written here: kind, major and minor number.
        let of = |mode: u32, major: u32, minor: u32| {
            let step = Step { expect: Expect::NullDevice, ..step(libc::SYS_getpid, [Arg::Word(0); 3]) };
            answer(&step, &[(28, mode), (128, major), (132, minor)])
        };
        assert_eq!(of(libc::S_IFCHR | 0o666, 1, 3), None);
        for kind in [libc::S_IFBLK, libc::S_IFREG, libc::S_IFDIR, libc::S_IFLNK, libc::S_IFIFO, libc::S_IFSOCK] {
            assert_eq!(of(kind | 0o666, 1, 3), Some(libc::ENODEV), "{kind:o}");
        }
        for (major, minor) in [(1, 5), (1, 0), (0, 3), (3, 1), (257, 3), (1, 259), (5, 0)] {
            assert_eq!(of(libc::S_IFCHR | 0o666, major, minor), Some(libc::ENODEV), "{major}:{minor}");
        }
        assert_eq!(answer(&expecting(Expect::NullDevice), &[]), None, "as the kernel writes it");
    }

    fn a_child_that_runs_out_of_stack_ends_alone() needs [] {
        // Before Linux 5.16 a core dump ends every process that shares the memory.
        prctl::set_dumpable(false).expect("it can be set");
        let mut stack = Stack::new(page());
        stack.length = 0;
        let status = launch(&stack, &[], &shared(), &[]);
        assert!(matches!(status, WaitStatus::Signaled(_, Signal::SIGSEGV, _)), "{status:?}");
    }
}

/// How the child leaves.
#[derive(Clone, Copy, Debug)]
enum WayOut {
    Execve,
    Failure,
    /// A call that is made again until that is enough.
    Retries,
}

impl WayOut {
    const ALL: [Self; 3] = [Self::Execve, Self::Failure, Self::Retries];

    /// Runs a child through every kind of argument, expectation and tolerance.
    fn take(self, stack: &Stack, program: &Program) {
        let path = CString::new(program.path().into_os_string().into_vec()).expect("no NUL");
        let argv = [path.as_ptr(), ptr::null()];
        let shared = shared();
        shared.set_slot(ARGV, argv.as_ptr().expose_provenance());
        shared.set_slot(ENVP, argv[1..].as_ptr().expose_provenance());
        shared.set_slot(SCRATCH, shared.scratch.as_ptr().expose_provenance());
        let steps = steps(&path, self);
        let times: Vec<AtomicU64> = (0..=steps.len()).map(|_| AtomicU64::new(0)).collect();
        let status = launch(stack, &steps, &shared, &times);
        match (self, status, shared.report.failure()) {
            (Self::Execve, WaitStatus::Exited(_, 0), None) => {}
            (Self::Failure | Self::Retries, WaitStatus::Exited(_, 125), Some((step, errno))) => {
                assert_eq!(step as usize, steps.len() - 1);
                let expected = match self {
                    Self::Retries => libc::EAGAIN,
                    _ => libc::EACCES,
                };
                assert_eq!(errno, expected.cast_unsigned());
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What a child says of a step whose call finds these words in the memory that the kernel writes to: its errno.
fn answer(step: &Step, words: &[(usize, u32)]) -> Option<i32> {
    let shared = shared();
    shared.set_slot(SCRATCH, shared.scratch.as_ptr().expose_provenance());
    for &(at, word) in words {
        for (place, byte) in shared.scratch[at..].iter().zip(word.to_le_bytes()) {
            place.store(byte, Ordering::Relaxed);
        }
    }
    // It ends by itself, or by what it has found.
    let end = self::step(libc::SYS_exit_group, [Arg::Word(0); 3]);
    let status = launch(&Stack::new(page()), &[*step, end], &shared, &[]);
    let failure = shared.report.failure();
    let code = if failure.is_some() { 125 } else { 0 };
    assert!(
        matches!(status, WaitStatus::Exited(_, found) if found == code),
        "{status:?}"
    );
    failure.map(|(at, errno)| {
        assert_eq!(at, 0);
        errno.cast_signed()
    })
}

/// All expectations: the compiler demands a place in this chain for a new one, and [`expecting`] a step.
fn expectations() -> impl Iterator<Item = Expect> {
    iter::successors(Some(Expect::Success), |expect| match expect {
        Expect::Success => Some(Expect::Zero),
        Expect::Zero => Some(Expect::AbsolutePath),
        Expect::AbsolutePath => Some(Expect::Procfs),
        Expect::Procfs => Some(Expect::NullDevice),
        Expect::NullDevice => None,
    })
}

/// A step that meets an expectation.
fn expecting(expect: Expect) -> Step {
    let text = |text: &'static CStr| Arg::Word(text.as_ptr().expose_provenance());
    let (number, args) = match expect {
        Expect::Success => (libc::SYS_getpid, [Arg::Word(0); 5]),
        Expect::Zero => (libc::SYS_sched_yield, [Arg::Word(0); 5]),
        Expect::AbsolutePath => {
            let size = Arg::Word(clonebox_child::SCRATCH_LEN);
            let none = Arg::Word(0);
            (
                libc::SYS_getcwd,
                [Arg::Slot(SCRATCH), size, none, none, none],
            )
        }
        Expect::Procfs => {
            let none = Arg::Word(0);
            (
                libc::SYS_statfs,
                [text(c"/proc"), Arg::Slot(SCRATCH), none, none, none],
            )
        }
        Expect::NullDevice => {
            let (cwd, mask) = (
                Arg::Word(libc::AT_FDCWD as usize),
                Arg::Word(libc::STATX_TYPE as usize),
            );
            (
                libc::SYS_statx,
                [
                    cwd,
                    text(c"/dev/null"),
                    Arg::Word(0),
                    mask,
                    Arg::Slot(SCRATCH),
                ],
            )
        }
    };
    let [a, b, c, d, e] = args;
    Step {
        args: [a, b, c, d, e, Arg::Word(0)],
        expect,
        ..step(number, [Arg::Word(0); 3])
    }
}

/// All kinds of argument, in the same way.
fn arguments() -> impl Iterator<Item = Arg> {
    iter::successors(Some(Arg::Word(0)), |arg| match arg {
        Arg::Word(_) => Some(Arg::Slot(SAVED)),
        Arg::Slot(_) => Some(Arg::SlotAddress(SAVED)),
        Arg::SlotAddress(_) => None,
    })
}

/// A step with such arguments. It may fail: the first bytes of a slot that holds a small number are a path of one byte.
fn with_argument(arg: Arg) -> Step {
    let fine = match arg {
        Arg::Word(_) | Arg::Slot(_) => libc::EFAULT,
        Arg::SlotAddress(_) => libc::ENOENT,
    };
    Step {
        on_error: OnError::Ignore(fine),
        ..step(libc::SYS_chdir, [arg; 3])
    }
}

/// All kinds of tolerance, in the same way.
fn tolerances() -> impl Iterator<Item = OnError> {
    iter::successors(Some(OnError::Fail), |on_error| match on_error {
        OnError::Fail => Some(OnError::Ignore(libc::EBADF)),
        OnError::Ignore(_) => Some(OnError::Retry),
        OnError::Retry => Some(OnError::TryNext),
        OnError::TryNext => None,
    })
}

/// A step that goes on with this tolerance, because of it where there can be an error.
fn tolerating(on_error: OnError) -> Step {
    let call = match on_error {
        OnError::Fail | OnError::Retry => step(libc::SYS_getpid, [Arg::Word(0); 3]),
        OnError::Ignore(_) => step(libc::SYS_close, [Arg::Word(usize::MAX); 3]),
        OnError::TryNext => execve(c"/nonexistent"),
    };
    Step { on_error, ..call }
}

fn execve(path: &CStr) -> Step {
    Step {
        on_error: OnError::TryNext,
        ..step(
            libc::SYS_execve,
            [
                Arg::Word(path.as_ptr().expose_provenance()),
                Arg::Slot(ARGV),
                Arg::Slot(ENVP),
            ],
        )
    }
}

fn steps(path: &CStr, way_out: WayOut) -> Vec<Step> {
    let saved = Step {
        save: Some(SAVED),
        ..step(libc::SYS_getpid, [Arg::Word(0); 3])
    };
    let mut steps = vec![saved];
    steps.extend(expectations().map(expecting));
    steps.extend(arguments().map(with_argument));
    steps.extend(tolerances().map(tolerating));
    let mut steps = steps.repeat(ROUNDS);
    steps.push(match way_out {
        WayOut::Execve => execve(path),
        WayOut::Failure => execve(c"/"),
        // The word is another one than is waited for.
        WayOut::Retries => Step {
            on_error: OnError::Retry,
            ..step(
                libc::SYS_futex,
                [
                    Arg::SlotAddress(SAVED),
                    Arg::Word(libc::FUTEX_WAIT as usize),
                    Arg::Word(0),
                ],
            )
        },
    });
    steps
}

fn step(number: libc::c_long, [a, b, c]: [Arg; 3]) -> Step {
    Step {
        number: number as usize,
        args: [a, b, c, Arg::Word(0), Arg::Word(0), Arg::Word(0)],
        save: None,
        expect: Expect::Success,
        on_error: OnError::Fail,
    }
}

fn shared() -> Box<Shared> {
    // SAFETY: it is made of atomic integers, for which zeros are valid.
    let shared = unsafe { Box::<Shared>::new_zeroed().assume_init() };
    shared.reset();
    shared
}

/// Clones a child onto the stack and waits for its end.
fn launch(stack: &Stack, steps: &[Step], shared: &Shared, times: &[AtomicU64]) -> WaitStatus {
    let entry = Entry::new(steps, shared, times);
    let args = CloneArgs {
        flags: (libc::CLONE_VM | libc::CLONE_VFORK) as u64,
        exit_signal: libc::SIGCHLD as u64,
        stack: stack.bottom() as u64,
        stack_size: stack.length as u64,
        ..CloneArgs::default()
    };
    let mut before = SigSet::empty();
    sigprocmask(
        SigmaskHow::SIG_SETMASK,
        Some(&SigSet::all()),
        Some(&mut before),
    )
    .expect("a mask");
    // SAFETY: the stack is the child's alone, and this function goes on when the child has left the
    // memory (CLONE_VFORK). Signals are blocked; the two that are not are sent by nobody.
    let pid = unsafe { clone(&args, &entry) };
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None).expect("a mask");
    wait(pid.expect("no privilege is needed").cast_signed())
}

fn page() -> usize {
    let size = sysconf(SysconfVar::PAGE_SIZE).expect("it is known");
    size.expect("there is one") as usize
}

/// A painted stack above a page that may not be touched.
struct Stack {
    start: *mut u8,
    length: usize,
}

impl Stack {
    fn new(length: usize) -> Self {
        // SAFETY: a new mapping at an address of the kernel's choice changes no other memory.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                page() + length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED, "a stack can be mapped");
        // SAFETY: the page begins the mapping.
        let guarded = unsafe { libc::mprotect(start, page(), libc::PROT_NONE) };
        assert_eq!(guarded, 0, "a page can be guarded");
        let stack = Self {
            start: start.cast(),
            length,
        };
        // SAFETY: the rest of the mapping is ours and may be written.
        unsafe {
            ptr::with_exposed_provenance_mut::<u8>(stack.bottom()).write_bytes(PAINT, length);
        }
        stack
    }

    fn bottom(&self) -> usize {
        self.start.expose_provenance() + page()
    }

    /// How far down the paint is gone.
    fn used(&self) -> usize {
        let bottom = ptr::with_exposed_provenance::<u8>(self.bottom());
        // SAFETY: the memory is mapped and initialised, and its child is gone.
        let bytes = unsafe { std::slice::from_raw_parts(bottom, self.length) };
        let untouched = bytes.iter().take_while(|&&byte| byte == PAINT).count();
        self.length - untouched
    }
}
