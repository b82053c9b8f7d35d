//! Writing into the memory of another process, in the three ways that there are.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::FileExt;

use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::check;

/// What is written.
pub(super) const FOREIGN: usize = 0x666f_7265_6967_6e21;

/// Writes a word to this address of a process.
pub(super) fn write(way: &OsString, pid: usize, address: usize) -> io::Result<()> {
    let pid = i32::try_from(pid).expect("a process id");
    match way.to_str().expect("UTF-8") {
        "process_vm_writev" => write_vector(pid, address),
        "mem" => {
            let path = format!("/proc/{pid}/mem");
            let memory = std::fs::File::options().write(true).open(path)?;
            memory.write_all_at(&FOREIGN.to_ne_bytes(), address as u64)
        }
        "ptrace" => trace(pid, address),
        way => panic!("there is no way {way:?}"),
    }
}

fn write_vector(pid: i32, address: usize) -> io::Result<()> {
    let mut word = FOREIGN;
    let length = size_of::<usize>();
    let local = libc::iovec {
        iov_base: (&raw mut word).cast(),
        iov_len: length,
    };
    let remote = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(address),
        iov_len: length,
    };
    // SAFETY: the word is ours; the other address is the other process's affair.
    let count =
        unsafe { libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0) };
    check(count as i64)
}

fn trace(pid: i32, address: usize) -> io::Result<()> {
    // The type of a request is another in each libc.
    let request = |request: i64, address: usize, data: usize| {
        // SAFETY: these requests write to nothing of ours.
        check(unsafe { libc::syscall(libc::SYS_ptrace, request, pid, address, data) })
    };
    request(libc::PTRACE_ATTACH.into(), 0, 0)?;
    waitpid(Pid::from_raw(pid), None)?;
    request(libc::PTRACE_POKEDATA.into(), address, FOREIGN)?;
    request(libc::PTRACE_DETACH.into(), 0, 0)
}
