// SPDX-License-Identifier: MIT OR Apache-2.0
//! clone3(2) into a function of the bench. The child crate's own goes into its interpreter only.

use std::arch::asm;

use clonebox_child::CloneArgs;

/// What a child runs.
pub(crate) type Enter<T> = extern "C" fn(&T) -> !;

/// Returns the child's process id, or -errno.
///
/// # Safety
///
/// As for [`clonebox_child::clone3`]; without `CLONE_VM` the child has copies of everything.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
pub(super) unsafe fn clone3<T>(args: &CloneArgs, entry: &T, enter: Enter<T>) -> isize {
    let result: isize;
    // SAFETY: the child sees every register but rax, rcx, r11 and rsp as the parent left it, and
    // never comes back to this frame.
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
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") std::ptr::from_ref(args), in("rsi") size_of::<CloneArgs>(),
            in("r12") std::ptr::from_ref(entry), in("r13") enter,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    result
}

/// The same on AArch64.
///
/// # Safety
///
/// The same.
#[cfg(target_arch = "aarch64")]
#[inline(never)]
pub(super) unsafe fn clone3<T>(args: &CloneArgs, entry: &T, enter: Enter<T>) -> isize {
    let result: isize;
    // SAFETY: the child sees every register but x0 and sp as the parent left it, and never comes
    // back to this frame.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk 1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") std::ptr::from_ref(args) => result,
            in("x1") size_of::<CloneArgs>(),
            in("x20") std::ptr::from_ref(entry), in("x21") enter,
            lateout("x30") _,
        );
    }
    result
}
