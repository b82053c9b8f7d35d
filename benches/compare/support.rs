// SPDX-License-Identifier: MIT OR Apache-2.0
//! What other benches have in common, as far as it is used here.

#[path = "../support/clock.rs"]
pub(crate) mod clock;
#[path = "../support/host.rs"]
pub(crate) mod host;
#[path = "../support/load.rs"]
#[expect(dead_code, reason = "other benches use the rest")]
pub(crate) mod load;
#[path = "../support/paper.rs"]
pub(crate) mod paper;
#[path = "../support/stats.rs"]
#[expect(dead_code, reason = "other benches use the rest")]
pub(crate) mod stats;
#[path = "../support/target.rs"]
pub(crate) mod target;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;
