// SPDX-License-Identifier: MIT OR Apache-2.0
//! clone(2) and clone3(2) into [`enter`](crate::enter::enter), on a stack of the parent's making.

use crate::arch;
use crate::enter::{Entry, enter};

/// Bytes of stack that the child needs at most, however many steps there are. Our own promise:
/// `tests/zone/stack.rs` measures it.
pub const STACK_BUDGET: usize = 512;

/// The kernel's `struct clone_args` (`linux/sched.h`) up to `cgroup`, since Linux 5.7.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct CloneArgs {
    /// `CLONE_*` flags.
    pub flags: u64,
    /// Where the pidfd goes: the address of an `int`.
    pub pidfd: u64,
    /// The address that the kernel clears when the child leaves the shared memory.
    pub child_tid: u64,
    /// Unused.
    pub parent_tid: u64,
    /// The signal that tells the parent of the child's end.
    pub exit_signal: u64,
    /// The lowest address of the child's stack.
    pub stack: u64,
    /// Its length in bytes; a multiple of 16.
    pub stack_size: u64,
    /// The address of a thread area; 0 with no `CLONE_SETTLS`.
    pub tls: u64,
    /// Process ids to take; none.
    pub set_tid: u64,
    /// How many.
    pub set_tid_size: u64,
    /// A cgroup's descriptor for `CLONE_INTO_CGROUP`.
    pub cgroup: u64,
}

const _: () = assert!(size_of::<CloneArgs>() == 88);

/// clone3(2). Returns the child's process id, or the errno.
///
/// # Safety
///
/// * `args` describes a stack that belongs to the child alone until the word at `child_tid` is 0,
///   and asks for `CLONE_VM` without `CLONE_FILES`, `CLONE_THREAD` and `CLONE_SETTLS`.
/// * `entry` and all that it refers to live as long.
/// * All signals are blocked in the calling thread.
pub unsafe fn clone3(args: &CloneArgs, entry: &Entry) -> Result<u32, u32> {
    // SAFETY: the caller's promises; `enter` never returns.
    check(unsafe { arch::clone3(args, size_of::<CloneArgs>(), entry, enter) })
}

/// clone(2), for where clone3(2) is missing or refused. Flags are those of [`CloneArgs::flags`]
/// and the exit signal; the pidfd goes to `args.pidfd`.
///
/// # Safety
///
/// As for [`clone3`].
pub unsafe fn clone(args: &CloneArgs, entry: &Entry) -> Result<u32, u32> {
    // SAFETY: the caller's promises; `enter` never returns.
    check(unsafe { arch::clone(args, entry, enter) })
}

fn check(result: isize) -> Result<u32, u32> {
    if result < 0 {
        Err(result.wrapping_neg().cast_unsigned() as u32)
    } else {
        Ok(result.cast_unsigned() as u32)
    }
}
