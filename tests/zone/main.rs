//! The proofs about the zone: what runs between clone(2) and execve(2), in the memory of a program that
//! goes on beside it. `tests/it` looks at the command from outside.
//!
//! Each test has a process of its own, because most are about what a process has and must keep: its
//! descriptors, its children, its signals, its allocator.

#[path = "../properties/choices.rs"]
mod choices;
#[path = "../properties/kit.rs"]
mod kit;
#[path = "../properties/launches.rs"]
mod launches;
mod support;

mod allocations;
mod endings;
mod exchanges;
mod faults;
mod hazards;
mod purity;
mod specs;
mod stack;
#[cfg(target_arch = "x86_64")]
mod start;
mod strace;
mod threads;

use std::process::ExitCode;

fn main() -> ExitCode {
    support::harness::main([
        allocations::tests(),
        endings::tests(),
        exchanges::tests(),
        faults::tests(),
        hazards::tests(),
        purity::tests(),
        specs::tests(),
        stack::tests(),
        #[cfg(target_arch = "x86_64")]
        start::tests(),
        strace::tests(),
        threads::tests(),
    ])
}
