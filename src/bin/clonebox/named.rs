// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boxes with names: where they are kept.

use std::env;

use clonebox::Registry;

use crate::Failure;

/// The directory of boxes, where it is not the usual one.
const STATE_DIR: &str = "CLONEBOX_STATE_DIR";

/// The boxes of the caller.
pub(crate) fn registry() -> Result<Registry, Failure> {
    match env::var_os(STATE_DIR).filter(|path| !path.is_empty()) {
        Some(path) => Ok(Registry::at(path)),
        None => Ok(Registry::of_user()?),
    }
}
