// SPDX-License-Identifier: MIT OR Apache-2.0
//! Walls inside of the box: what its program may do with what it sees.

use super::Command;
use crate::spec::{Namespace, Origin, Setting};

impl Command {
    /// Chooses the session keyring: one of the box's own, which is empty, or the caller's.
    pub fn keyring(&mut self, keyring: Namespace) -> &mut Self {
        self.spec.keyring = setting!("keyring", keyring);
        self
    }
}
