//! What the tests have in common.

pub(crate) mod clonebox;
pub(crate) mod harness;
pub(crate) mod need;
pub(crate) mod probe;

pub(crate) use clonebox::{Clonebox, binary};
pub(crate) use harness::tests;
