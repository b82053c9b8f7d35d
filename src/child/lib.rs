// SPDX-License-Identifier: MIT OR Apache-2.0
//! The zone: everything that runs after clone(2) and before execve(2).
//!
//! The child of clonebox shares the memory of the program that starts it (`CLONE_VM`). At the
//! moment of the clone another thread may hold the allocator's lock, or stdout's:
//!
//! ```text
//! thread A                         thread B
//! malloc() takes the heap lock
//!                                  clone(2) ──▶ child
//!                                               malloc() waits for the heap lock, for ever:
//! free() releases it, in A's process            its owner does not exist here
//! ```
//!
//! So nothing in this crate may allocate, lock, panic, touch errno or any other thread-local, or
//! call libc. The crate is `no_std` without `alloc`, has no dependency, and makes its system calls
//! itself. Its compiled object has **no undefined symbol** besides `memcpy` and its kin; a test
//! (`tests/zone/purity.rs`) reads the symbol table and fails otherwise. That is the proof, for every
//! optimised build; without optimisation the compiler leaves calls of the panic machinery that nothing
//! reaches.
//!
//! The crate knows no feature of clonebox. It interprets a list of [`Step`]s, each of which is one
//! system call that the parent has prepared to the last byte, and reports `{step, errno}` when one
//! of them fails. Background: signal-safety(7), clone(2), vfork(2).

#![no_std]

#[cfg_attr(target_arch = "x86_64", path = "arch/x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "arch/aarch64.rs")]
pub mod arch;
mod clone;
mod enter;
mod shared;
mod step;

pub use clone::{CloneArgs, STACK_BUDGET, clone, clone3};
pub use enter::Entry;
pub use shared::{Pollfd, Progress, Report, SCRATCH_LEN, Shared};
pub use step::{Arg, Expect, OnError, SLOTS, Slot, Step};
