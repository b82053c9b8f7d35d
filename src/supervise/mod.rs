// SPDX-License-Identifier: MIT OR Apache-2.0
//! A started box: waiting, signals, the terminal's relay, the exit status. Nothing here knows how
//! the box was started.

mod attach;
mod audit;
mod child;
mod door;
mod ending;
mod foreground;
mod guard;
mod keep;
mod kernel_log;
mod network;
mod outcome;
mod pump;
mod ready;
mod relay;
mod signals;
mod supervisor;
mod terminal;
mod trace;

pub use attach::Attached;
pub use audit::ForbiddenCall;
pub use child::{Child, StepTiming};
pub(crate) use ending::mounts_of;
pub use keep::Written;
pub(crate) use kernel_log::KernelLog;
pub use outcome::Outcome;
pub(crate) use outcome::exit_code;
pub use supervisor::{Notice, Supervisor};
pub use trace::RefusedCall;
