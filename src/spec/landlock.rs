// SPDX-License-Identifier: MIT OR Apache-2.0
//! What of the files that it sees a box may use: landlock(7). It needs neither root nor mounts.

use std::path::PathBuf;

use super::{Origin, Setting};

/// What a box may do with files, and to which TCP ports it may bind or connect; everything, where nothing
/// is said of that kind. As soon as anything is said, the box also reaches no process outside of it by a
/// signal, and no abstract Unix socket.
#[derive(Clone, Debug, Default)]
pub struct Landlock {
    /// All that it may do with files, if there are any of these. `/dev/null` and its like are among them
    /// without a word.
    pub paths: Vec<Setting<PathRule>>,
    /// The TCP ports, of servers wherever they are, that it may connect to, if there are any.
    pub connect: Vec<Setting<u16>>,
    /// The TCP ports of its own that it may bind to, if there are any.
    pub bind: Vec<Setting<u16>>,
    /// Who wants no box where the kernel cannot enforce all of it.
    pub strict: Option<Origin>,
}

impl Landlock {
    /// Whether anything is asked for.
    pub(crate) fn any(&self) -> bool {
        self.origin().is_some()
    }

    /// Who asked first.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        let paths = self.paths.iter().map(|rule| &rule.origin);
        let ports = self.connect.iter().chain(&self.bind);
        paths.chain(ports.map(|port| &port.origin)).next()
    }
}

/// What a box may do with a file, or with everything below a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRule {
    /// The path: one of the box. On the caller's own root it may be relative to the caller's working
    /// directory. Links are followed.
    pub path: PathBuf,
    /// What is allowed.
    pub access: Access,
}

/// What is allowed with files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read files and list directories.
    Read,
    /// The same, and to execute files.
    Execute,
    /// Everything but to execute: to read, write, make, rename and remove.
    Write,
}
