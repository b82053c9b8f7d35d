// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is covered in /proc and /sys of a root filesystem.

use std::path::{Path, PathBuf};

use super::Setting;

/// Changes to what is covered, or read-only, in /proc and /sys of a root filesystem: what docker covers.
#[derive(Clone, Debug, Default)]
pub struct Masks {
    /// To be covered too: absolute paths below /proc or /sys.
    pub mask: Vec<Setting<PathBuf>>,
    /// To be left as it is: an absolute path, with all below it; `/` is everything.
    pub unmask: Vec<Setting<PathBuf>>,
}

impl Masks {
    /// Whether a path that is covered, or read-only, otherwise is left as it is.
    pub(crate) fn leaves(&self, path: &Path) -> bool {
        self.unmask
            .iter()
            .any(|above| path.starts_with(&above.value))
    }
}
