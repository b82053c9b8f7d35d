//! What the proofs have in common.

#[path = "../../it/support/need.rs"]
pub(crate) mod need;

#[path = "../../it/support/kernel_log.rs"]
mod kernel_log;

pub(crate) mod filter;
pub(crate) mod harness;
pub(crate) mod host;
pub(crate) mod nothing;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod recipe;
pub(crate) mod running;
pub(crate) mod shared;

pub(crate) use harness::tests;

use std::env;
use std::path::PathBuf;

/// The command under test: `CLONEBOX_BIN`, or what cargo has built.
pub(crate) fn binary() -> PathBuf {
    env::var_os("CLONEBOX_BIN").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_clonebox")),
        PathBuf::from,
    )
}
