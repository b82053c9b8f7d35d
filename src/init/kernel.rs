// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls that the roles make, by number: `asm/unistd_64.h` and `asm-generic/unistd.h`.

use clonebox_child::arch;

#[cfg(target_arch = "x86_64")]
mod number {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const MMAP: usize = 9;
    pub(crate) const RT_SIGPROCMASK: usize = 14;
    pub(crate) const IOCTL: usize = 16;
    pub(crate) const RECVMSG: usize = 47;
    pub(crate) const CLONE: usize = 56;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const WAIT4: usize = 61;
    pub(crate) const KILL: usize = 62;
    pub(crate) const FCNTL: usize = 72;
    pub(crate) const GETCWD: usize = 79;
    pub(crate) const CHDIR: usize = 80;
    pub(crate) const SETPGID: usize = 109;
    pub(crate) const SETSID: usize = 112;
    pub(crate) const GETPGID: usize = 121;
    pub(crate) const GETPID: usize = 39;
    pub(crate) const RT_SIGTIMEDWAIT: usize = 128;
    pub(crate) const PRCTL: usize = 157;
    pub(crate) const PPOLL: usize = 271;
    pub(crate) const DUP3: usize = 292;
    pub(crate) const CLOSE: usize = 3;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub(crate) const READ: usize = 63;
    pub(crate) const WRITE: usize = 64;
    pub(crate) const MMAP: usize = 222;
    pub(crate) const RT_SIGPROCMASK: usize = 135;
    pub(crate) const IOCTL: usize = 29;
    pub(crate) const RECVMSG: usize = 212;
    pub(crate) const CLONE: usize = 220;
    pub(crate) const EXECVE: usize = 221;
    pub(crate) const WAIT4: usize = 260;
    pub(crate) const KILL: usize = 129;
    pub(crate) const FCNTL: usize = 25;
    pub(crate) const GETCWD: usize = 17;
    pub(crate) const CHDIR: usize = 49;
    pub(crate) const SETPGID: usize = 154;
    pub(crate) const SETSID: usize = 157;
    pub(crate) const GETPGID: usize = 155;
    pub(crate) const GETPID: usize = 172;
    pub(crate) const RT_SIGTIMEDWAIT: usize = 137;
    pub(crate) const PRCTL: usize = 167;
    pub(crate) const PPOLL: usize = 73;
    pub(crate) const DUP3: usize = 24;
    pub(crate) const CLOSE: usize = 57;
}

pub(crate) use number::*;

/// The same on all architectures.
pub(crate) const PIDFD_OPEN: usize = 434;
pub(crate) const PIDFD_SEND_SIGNAL: usize = 424;
pub(crate) const POLLIN: u64 = 1;
/// `linux/prctl.h`.
pub(crate) const PR_SET_DUMPABLE: usize = 4;
pub(crate) const SIGKILL: usize = 9;
pub(crate) const SIGCHLD: usize = 17;

/// Of fcntl(2).
pub(crate) const F_SETFD: usize = 2;
pub(crate) const F_DUPFD_CLOEXEC: usize = 1030;
pub(crate) const FD_CLOEXEC: usize = 1;
pub(crate) const EINTR: isize = 4;
pub(crate) const ENOTTY: i32 = 25;
pub(crate) const SIG_SETMASK: usize = 2;
/// Bytes of the kernel's `sigset_t`.
pub(crate) const SIGSET_LEN: usize = 8;

/// Makes one system call: a result, or -errno.
pub(crate) fn call(number: usize, args: [usize; 6]) -> isize {
    // SAFETY: the roles pass numbers, and addresses of memory of their own that is large enough.
    unsafe { arch::syscall(number, args) }
}

pub(crate) fn exit(code: usize) -> ! {
    loop {
        call(arch::EXIT_GROUP, [code, 0, 0, 0, 0, 0]);
    }
}

/// Blocks every signal: they are waited for, or none is wanted.
pub(crate) fn block_signals() {
    set_mask(u64::MAX);
}

/// Blocks none, for another program.
pub(crate) fn unblock_signals() {
    set_mask(0);
}

fn set_mask(mask: u64) {
    call(
        RT_SIGPROCMASK,
        [SIG_SETMASK, (&raw const mask).addr(), 0, SIGSET_LEN, 0, 0],
    );
}
