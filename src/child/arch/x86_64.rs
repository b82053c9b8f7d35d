// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls of x86-64: number in rax; arguments in rdi, rsi, rdx, r10, r8, r9; rcx and r11 are
//! lost; the result is in rax. See syscall(2).

use core::arch::asm;
use core::ptr;

use crate::clone::CloneArgs;
use crate::enter::Entry;

/// `clock_gettime` in `asm/unistd_64.h`.
pub const CLOCK_GETTIME: usize = 228;
/// `exit_group` in `asm/unistd_64.h`.
pub const EXIT_GROUP: usize = 231;
const CLONE: usize = 56;
const CLONE3: usize = 435;

/// Makes one system call and returns what the kernel answers: a result, or -errno.
///
/// # Safety
///
/// As the call itself: whatever it reads or writes in memory must be there to be read or written.
#[inline]
pub unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = args;
    let result: isize;
    // SAFETY: the caller's promise; the clobbers are those of the kernel's calling convention.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// clone3(2); the child goes on in `enter(entry)` on its own stack.
///
/// # Safety
///
/// As for [`clone3`](crate::clone3).
#[inline(never)]
pub(crate) unsafe fn clone3(
    args: &CloneArgs,
    size: usize,
    entry: &Entry,
    enter: extern "C" fn(&Entry) -> !,
) -> isize {
    let result: isize;
    // SAFETY: the child sees every register but rax, rcx, r11 and rsp as the parent left it; it
    // clears rbp, which ends backtraces, and never comes back to this frame.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") CLONE3 => result,
            in("rdi") ptr::from_ref(args), in("rsi") size,
            in("r12") ptr::from_ref(entry), in("r13") enter,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    result
}

/// clone(2): flags, stack top, parent tid (here: where the pidfd goes), child tid, tls.
///
/// # Safety
///
/// As for [`clone`](crate::clone()).
#[inline(never)]
pub(crate) unsafe fn clone(
    args: &CloneArgs,
    entry: &Entry,
    enter: extern "C" fn(&Entry) -> !,
) -> isize {
    let result: isize;
    // SAFETY: as in `clone3`.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") CLONE => result,
            in("rdi") args.flags | args.exit_signal,
            in("rsi") args.stack.wrapping_add(args.stack_size),
            in("rdx") args.pidfd, in("r10") args.child_tid, in("r8") args.tls,
            in("r12") ptr::from_ref(entry), in("r13") enter,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    result
}
