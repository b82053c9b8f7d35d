// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is executed.

use std::ffi::OsString;

use super::Origin;

/// The longest argument or environment string, its NUL included. The kernel's limit
/// (`MAX_ARG_STRLEN` in `linux/binfmts.h`: 32 pages).
pub const MAX_ARG_STRLEN: usize = 131_072;

/// The program and its arguments: bytes without NUL.
#[derive(Clone, Debug)]
pub struct Exec {
    /// A path if it contains a `/`, otherwise a name to look for in the box's PATH.
    pub program: OsString,
    /// `argv[0]`; the program as it was named when `None`.
    pub arg0: Option<OsString>,
    /// The arguments after `argv[0]`.
    pub args: Vec<OsString>,
    /// Who asked for it.
    pub origin: Origin,
}

impl Exec {
    /// A program without arguments.
    pub fn new(program: OsString) -> Self {
        Self {
            program,
            arg0: None,
            args: Vec::new(),
            origin: Origin::Call("Command::new"),
        }
    }

    /// `argv`: `argv[0]` and the arguments.
    pub fn argv(&self) -> impl Iterator<Item = &OsString> {
        std::iter::once(self.arg0.as_ref().unwrap_or(&self.program)).chain(&self.args)
    }
}
