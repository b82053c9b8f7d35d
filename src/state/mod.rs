// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which boxes there are: those with a name, in a directory of the user's.
//!
//! # Theory of operation
//!
//! A box has a record, `NAME.box`: a line of JSON, and a second one when it has ended. There is no daemon,
//! so the file system keeps the promises:
//!
//! 1. *Unique*: a name is claimed under the lock (flock(2)) of the directory.
//! 2. *Whole*: a record is written aside and renamed. Whoever is killed meanwhile leaves a file that
//!    nobody reads.
//! 3. *True*: whoever cares for a box, its launcher or its keeper, holds the lock of the record for as long
//!    as it lives. What is not locked, has not ended properly, and whose process is gone, is a leftover,
//!    which the next one who claims or lists removes.
//! 4. *Never another process*: a process id is only a hint. A pidfd is opened, and only if it is that of the
//!    very process of the record, is anything done to it: see `pidfd/identity.rs`.
//!
//! Templates that outlive their maker are kept beside them: see `templates.rs`.
//!
//! Nothing here knows how a box is started, or what becomes of it.

mod claim;
mod control;
mod directory;
mod entry;
mod log;
mod pin;
mod record;
mod registry;
mod templates;
mod update;
mod walls;

pub use claim::Claim;
pub use entry::{BoxState, Entry};
pub use log::{Log, LogReader};
pub use registry::Registry;
pub use templates::{PinnedTemplate, Templates};
