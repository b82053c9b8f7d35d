// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program with breakpoints. See ptrace(2).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use libc::user_regs_struct as Registers;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// INT 3.
const BREAKPOINT: u8 = 0xcc;

/// Which of these addresses of its file a program executes what is at, by their place in the list.
pub(crate) fn executed(command: &mut Command, addresses: &[u64]) -> io::Result<BTreeSet<usize>> {
    // SAFETY: between fork and execve the closure makes one system call.
    unsafe { command.pre_exec(|| ptrace(libc::PTRACE_TRACEME, 0, 0, 0)) };
    let traced = Traced(command.spawn()?);
    traced.wait()?;
    ptrace(
        libc::PTRACE_SETOPTIONS,
        traced.pid(),
        0,
        libc::PTRACE_O_EXITKILL as usize,
    )?;
    let path = format!("/proc/{}/mem", traced.pid());
    let memory = OpenOptions::new().read(true).write(true).open(path)?;
    let moved = traced.moved()?;
    let mut left = BTreeMap::new();
    for (number, &address) in addresses.iter().enumerate() {
        let place = moved + address;
        let mut byte = [0];
        memory.read_exact_at(&mut byte, place)?;
        memory.write_all_at(&[BREAKPOINT], place)?;
        left.insert(place, (number, byte));
    }
    let mut found = BTreeSet::new();
    let mut signal = 0;
    loop {
        ptrace(libc::PTRACE_CONT, traced.pid(), 0, signal)?;
        signal = match traced.wait()? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                found.insert(traced.pass(&memory, &mut left)?);
                0
            }
            WaitStatus::Stopped(_, signal) => signal as usize,
            WaitStatus::Exited(_, 0) => return Ok(found),
            status => return Err(io::Error::other(format!("{status:?}"))),
        };
    }
}

/// It ends with this.
struct Traced(Child);

impl Traced {
    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    fn wait(&self) -> io::Result<WaitStatus> {
        Ok(waitpid(
            Pid::from_raw(self.pid()),
            Some(WaitPidFlag::__WALL),
        )?)
    }

    /// How far from the addresses of its file it has been loaded.
    fn moved(&self) -> io::Result<u64> {
        let process = format!("/proc/{}", self.pid());
        let program = fs::read_link(format!("{process}/exe"))?;
        let maps = fs::read_to_string(format!("{process}/maps"))?;
        let first = maps
            .lines()
            .find(|line| line.ends_with(&*program.to_string_lossy()));
        let start = first.and_then(|line| u64::from_str_radix(line.split('-').next()?, 16).ok());
        start.ok_or_else(|| io::Error::other("it is not in its memory"))
    }

    /// Takes the breakpoint away that it has run into, and has it go on there: which one it was.
    fn pass(&self, memory: &File, left: &mut BTreeMap<u64, (usize, [u8; 1])>) -> io::Result<usize> {
        let register = offset_of!(Registers, rip);
        let mut behind = 0u64;
        let address = (&raw mut behind).expose_provenance();
        ptrace(libc::PTRACE_PEEKUSER, self.pid(), register, address)?;
        let place = behind - 1;
        let (number, byte) = left.remove(&place).ok_or_else(|| {
            io::Error::other(format!("a breakpoint of somebody else: {place:#x}"))
        })?;
        memory.write_all_at(&byte, place)?;
        ptrace(libc::PTRACE_POKEUSER, self.pid(), register, place as usize)?;
        Ok(number)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The system call itself: libc's function has other types in other libcs, and returns what it has read.
fn ptrace(request: libc::c_uint, pid: i32, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: what is written of this process is `data`, which is the address of a word of the caller's then.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, i64::from(request), pid, address, data) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
