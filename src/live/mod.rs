// SPDX-License-Identifier: MIT OR Apache-2.0
//! A box that runs, as the kernel has it at a moment; and what can be changed of it.

mod freezer;
mod inspect;

pub(crate) use freezer::Freezer;
pub(crate) use inspect::inspect;
