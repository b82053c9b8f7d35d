//! What the tests have in common.

mod act;
mod aside;
mod attack;
pub(crate) mod cgroups;
pub(crate) mod clonebox;
mod confined;
pub(crate) mod exchange;
pub(crate) mod files;
mod filtered;
pub(crate) mod harness;
mod inside;
mod keeper;
pub(crate) mod kernel_log;
pub(crate) mod need;
pub(crate) mod probe;
pub(crate) mod processes;
pub(crate) mod pty;
pub(crate) mod rootfs;
pub(crate) mod seccomp;
pub(crate) mod segment;
mod shell;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod talk;
pub(crate) mod user;
pub(crate) mod ways;

pub(crate) use clonebox::{Clonebox, alone, binary, run_probe};
pub(crate) use harness::tests;
