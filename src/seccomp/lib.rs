// SPDX-License-Identifier: MIT OR Apache-2.0
//! Seccomp filters: what a profile says of system calls, compiled into a program for the kernel.
//!
//! ```text
//! default.profile ─┐
//! JSON, a builder ─┴─▶ Profile ──▶ Policy ──▶ compile ──▶ Program ──▶ resolve ──▶ instructions
//!                      names        numbers               leaves      capabilities
//! ```
//!
//! Both `build.rs` of clonebox and the library use it: the default profile is a constant of the library, a
//! profile of the user's is compiled when it is read. There is no I/O here and no dependency.
//!
//! # Words
//!
//! An **answer** is what the kernel does about a call: it makes it, or gives an errno, or ends the process
//! (the `SECCOMP_RET_*` of seccomp(2)). A **condition** is about an argument; a **rule** is conditions that
//! all hold and the answer then; a **verdict** is the rules of one call, tried in order, and the answer if
//! none applies. A **policy** is the verdicts about all numbers of one architecture, a **profile** the same by
//! names. A **leaf** is an instruction whose answer depends on the capabilities of a box: it is changed in
//! the compiled program, which need not be compiled again for it.
//!
//! # Why not a chain
//!
//! When a filter is installed the kernel runs it once for every number, to remember which calls are always
//! allowed. A test for each call, one after the other, makes that as slow as the square of their number; a
//! balanced tree over ranges with the same verdict does not.

mod arch;
mod bpf;
mod calls;
mod compile;
mod policy;
mod text;

pub use arch::Arch;
pub use bpf::{
    ALLOW, Data, Instruction, KILL_PROCESS, KILL_THREAD, LOG, MAX_LEN, ProgramError, TRACE, TRAP,
    USER_NOTIF, check, errno, run,
};
pub use calls::{calls, is_known, nearest, number};
pub use compile::{Leaf, Program, TooLong, compile, resolve};
pub use policy::{Answer, Condition, Op, Policy, Profile, Rule, Section, Verdict};
pub use text::{ParseError, default_profile, parse};
