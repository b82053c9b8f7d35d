// SPDX-License-Identifier: MIT OR Apache-2.0
//! A box that runs, as the kernel has it at a moment; and what can be changed of it.

mod diff;
mod freezer;
mod inspect;

pub use diff::Change;
pub(crate) use diff::diff;
pub(crate) use freezer::Freezer;
pub(crate) use inspect::{bounding_set, inspect};
