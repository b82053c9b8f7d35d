// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the start of the command to its clone(2), nothing asks the processor what it is. In a virtual machine CPUID is
//! answered by the hypervisor, which takes tens of microseconds, and code that chooses its way by what the processor
//! has asks some twenty times.
//!
//! A C library may do so before `main`. The one of GNU does, in every program: with it the look begins at `main`, and
//! otherwise at the first instruction. The processor itself looks, at four places at a time, so the command is run as
//! often as its code has four places with the bytes of that instruction.

use std::fs::{self, File};
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::ptr;

use libc::{user, user_regs_struct as Registers};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use object::elf::PF_X;
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSegment, ObjectSymbol, SegmentFlags};

use crate::support::process::wait;
use crate::support::{binary, tests};

const CPUID: [u8; 2] = [0x0f, 0xa2];
/// How many addresses the processor compares with that of each instruction.
const BREAKPOINTS: usize = 4;

tests! {
    fn the_command_does_not_ask_what_the_processor_is_before_its_clone() needs [] {
        assert_no_cpuid(&[]);
    }

    fn nor_does_it_with_options() needs [] {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).expect("a directory of ours");
            path.display().to_string()
        };
        let config = write("config", "net = \"none\"\nhostname = \"config\"\n");
        let env = write("env", "A=b\nLONG=a value that takes more than a few bytes, to be searched\n");
        let profile = write("profile", r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}"#);
        for words in [
            &["--rootfs=system", "--cap-add=chown", "--config", &config, "--env-file", &env][..],
            &["--profile=shell", "--seccomp", &profile],
        ] {
            assert_no_cpuid(words);
        }
    }
}

/// Runs the command as often as it takes, each time until it would make the box.
fn assert_no_cpuid(options: &[&str]) {
    let program = Program::read();
    // Without any place it is run once all the same.
    let mut left = &program.places[..];
    loop {
        let traced = Traced::start(options);
        let moved = traced.register(offset_of!(Registers, rip)) - program.entry;
        let break_at = |places: &[u64]| {
            let places: Vec<_> = places.iter().map(|place| place + moved).collect();
            traced.break_at(&places);
        };
        break_at(&[program.beginning]);
        let began = traced.go_on(libc::PTRACE_CONT.into());
        assert!(
            began == Stop::Breakpoint(program.beginning + moved),
            "{began:?}"
        );
        let (some, others) = left.split_at(left.len().min(BREAKPOINTS));
        break_at(some);
        loop {
            match traced.go_on(libc::PTRACE_SYSCALL.into()) {
                Stop::Breakpoint(at) => panic!("{options:?}: CPUID at {:#x}", at - moved),
                Stop::Call if traced.makes_a_box() => break,
                Stop::Call => {}
            }
        }
        if others.is_empty() {
            return;
        }
        left = others;
    }
}

/// The command as a file; its addresses are those before it is loaded somewhere.
struct Program {
    entry: u64,
    /// Where the look begins.
    beginning: u64,
    /// Where its code has the bytes of the instruction, also in the middle of others.
    places: Vec<u64>,
}

impl Program {
    fn read() -> Self {
        let file = fs::read(binary()).expect("it is a file");
        let elf = ElfFile64::<Endianness>::parse(&*file).expect("it is a program");
        let executable =
            |flags| matches!(flags, SegmentFlags::Elf { p_flags } if p_flags & PF_X != 0);
        let code = elf.segments().filter(|segment| executable(segment.flags()));
        let places = code.flat_map(|segment| {
            let bytes = segment.data().expect("it is in the file");
            let found = bytes.windows(CPUID.len()).zip(segment.address()..);
            found.filter(|(bytes, _)| *bytes == CPUID).map(|(_, at)| at)
        });
        let version = Command::new(binary()).arg("--version").output();
        let musl = String::from_utf8_lossy(&version.expect("it runs").stdout).contains("musl");
        let main = || {
            let mut symbols = elf.symbols();
            let main = symbols.find(|symbol| symbol.name() == Ok("main"));
            main.expect("it has symbols").address()
        };
        Self {
            entry: elf.entry(),
            beginning: if musl { elf.entry() } else { main() },
            places: places.collect(),
        }
    }
}

/// The command, traced by this thread. It ends with this.
struct Traced {
    child: Child,
    memory: File,
}

/// Where it has stopped.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    Breakpoint(u64),
    /// At the beginning of a system call, or behind it.
    Call,
}

impl Traced {
    /// Starts it; it stops before its first instruction.
    fn start(options: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command
            .args(options)
            .args(["--", "/bin/true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        // SAFETY: between fork and execve the closure makes one system call.
        unsafe { command.pre_exec(|| Ok(ptrace(libc::PTRACE_TRACEME.into(), 0, 0, 0)?)) };
        let child = command.spawn().expect("it may be traced");
        let status = wait(child.id().cast_signed());
        assert!(
            matches!(status, WaitStatus::Stopped(_, Signal::SIGTRAP)),
            "it is execve that stops it: {status:?}"
        );
        // Opened any earlier the file may be of the memory that execve replaces.
        let memory = File::open(format!("/proc/{}/mem", child.id())).expect("it is there");
        let traced = Self { child, memory };
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        traced.ask(libc::PTRACE_SETOPTIONS.into(), 0, options as usize);
        traced
    }

    fn ask(&self, request: i64, address: usize, data: usize) {
        ptrace(request, self.child.id().cast_signed(), address, data).expect("it is stopped");
    }

    fn go_on(&self, request: i64) -> Stop {
        self.ask(request, 0, 0);
        self.stop()
    }

    fn stop(&self) -> Stop {
        match wait(self.child.id().cast_signed()) {
            WaitStatus::PtraceSyscall(_) => Stop::Call,
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                Stop::Breakpoint(self.register(offset_of!(Registers, rip)))
            }
            status => panic!("it makes no box: {status:?}"),
        }
    }

    /// A register, by its place in the kernel's `struct user`.
    fn register(&self, offset: usize) -> u64 {
        let mut word = 0u64;
        let address = ptr::from_mut(&mut word).expose_provenance();
        self.ask(libc::PTRACE_PEEKUSER.into(), offset, address);
        word
    }

    /// Has the processor stop before it executes what begins at one of these addresses, and nowhere else.
    fn break_at(&self, addresses: &[u64]) {
        let register = |number: usize| offset_of!(user, u_debugreg) + number * size_of::<u64>();
        let control = register(7);
        self.ask(libc::PTRACE_POKEUSER.into(), control, 0);
        let mut enabled = 0;
        for (number, &address) in addresses.iter().enumerate() {
            self.ask(
                libc::PTRACE_POKEUSER.into(),
                register(number),
                address as usize,
            );
            enabled |= 1 << (2 * number);
        }
        self.ask(libc::PTRACE_POKEUSER.into(), control, enabled);
    }

    /// Whether the system call is the clone of a box; no other process and no thread is made before it.
    fn makes_a_box(&self) -> bool {
        let argument = self.register(offset_of!(Registers, rdi));
        let flags = match self.register(offset_of!(Registers, orig_rax)) as i64 {
            libc::SYS_clone => argument,
            // Whether there is that call is asked with nothing.
            libc::SYS_clone3 if self.register(offset_of!(Registers, rsi)) > 0 => {
                let mut flags = [0; 8];
                self.memory
                    .read_exact_at(&mut flags, argument)
                    .expect("its argument");
                u64::from_ne_bytes(flags)
            }
            libc::SYS_fork | libc::SYS_vfork => 0,
            _ => return false,
        };
        assert_ne!(
            flags & libc::CLONE_NEWPID as u64,
            0,
            "something else than a box is made"
        );
        true
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // Where it has stopped the call is not made.
        self.child.kill().expect("it is a child");
        self.child.wait().expect("it is a child");
    }
}

/// The system call itself: libc's function has other types in other libcs, and returns what it has read.
fn ptrace(request: i64, pid: i32, address: usize, data: usize) -> Result<(), Errno> {
    // SAFETY: what is written of this process is `data`, which is the address of a word of the caller's then.
    Errno::result(unsafe { libc::syscall(libc::SYS_ptrace, request, pid, address, data) }).map(drop)
}
