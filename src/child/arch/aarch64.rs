// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls of AArch64: number in x8, arguments in x0 to x5, the result in x0. See syscall(2).

use core::arch::asm;
use core::ptr;

use crate::clone::CloneArgs;
use crate::enter::Entry;

/// `clock_gettime` in `asm-generic/unistd.h`.
pub const CLOCK_GETTIME: usize = 113;
/// `exit_group` in `asm-generic/unistd.h`.
pub const EXIT_GROUP: usize = 94;
const CLONE: usize = 220;
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
    // SAFETY: the caller's promise; the kernel changes no register but x0.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
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
    // SAFETY: the child sees every register but x0 and sp as the parent left it; it clears the
    // frame pointer, which ends backtraces, and never comes back to this frame.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk 1",
            "2:",
            in("x8") CLONE3,
            inlateout("x0") ptr::from_ref(args) => result,
            in("x1") size,
            in("x20") ptr::from_ref(entry), in("x21") enter,
            lateout("x30") _,
        );
    }
    result
}

/// clone(2): flags, stack top, parent tid (here: where the pidfd goes), tls, child tid.
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
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk 1",
            "2:",
            in("x8") CLONE,
            inlateout("x0") args.flags | args.exit_signal => result,
            in("x1") args.stack.wrapping_add(args.stack_size),
            in("x2") args.pidfd, in("x3") args.tls, in("x4") args.child_tid,
            in("x20") ptr::from_ref(entry), in("x21") enter,
            lateout("x30") _,
        );
    }
    result
}
