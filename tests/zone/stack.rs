//! How much stack the child needs.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::ptr;
use std::sync::atomic::AtomicU64;

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
        for way_out in [WayOut::Execve, WayOut::Failure] {
            let stack = Stack::new(64 * 1024);
            way_out.take(&stack, &program);
            let used = stack.used();
            assert!(used > 0 && used <= STACK_BUDGET, "{used} of {STACK_BUDGET} bytes, {way_out:?}");
        }
    }

    fn the_child_runs_on_one_page_with_a_guard_below() needs [] {
        let program = Program::new();
        for way_out in [WayOut::Execve, WayOut::Failure] {
            way_out.take(&Stack::new(page()), &program);
        }
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
}

impl WayOut {
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
            (Self::Failure, WaitStatus::Exited(_, 125), Some((step, errno))) => {
                assert_eq!(step as usize, steps.len() - 1);
                assert_eq!(errno, libc::EACCES.cast_unsigned());
            }
            other => panic!("{other:?}"),
        }
    }
}

fn steps(path: &CString, way_out: WayOut) -> Vec<Step> {
    let saved = Step {
        save: Some(SAVED),
        ..step(libc::SYS_getpid, [Arg::Word(0); 3])
    };
    let zero = Step {
        expect: Expect::Zero,
        ..step(libc::SYS_sched_yield, [Arg::Word(0); 3])
    };
    let size = Arg::Word(clonebox_child::SCRATCH_LEN);
    let cwd = Step {
        expect: Expect::AbsolutePath,
        ..step(libc::SYS_getcwd, [Arg::Slot(SCRATCH), size, Arg::Word(0)])
    };
    let ignored = Step {
        on_error: OnError::Ignore(libc::EBADF),
        ..step(libc::SYS_close, [Arg::Word(usize::MAX); 3])
    };
    // The first bytes of a slot that holds a small number are a path of one byte.
    let address = Step {
        on_error: OnError::Ignore(libc::ENOENT),
        ..step(libc::SYS_chdir, [Arg::SlotAddress(SAVED); 3])
    };
    let execve = |path: &std::ffi::CStr| Step {
        on_error: OnError::TryNext,
        ..step(
            libc::SYS_execve,
            [
                Arg::Word(path.as_ptr().expose_provenance()),
                Arg::Slot(ARGV),
                Arg::Slot(ENVP),
            ],
        )
    };
    let mut steps = [saved, zero, cwd, ignored, address].repeat(ROUNDS);
    steps.push(execve(c"/nonexistent"));
    steps.push(match way_out {
        WayOut::Execve => execve(path),
        WayOut::Failure => execve(c"/"),
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
