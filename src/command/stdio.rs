// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a standard stream of a box comes from, in the manner of [`std::process::Stdio`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::spec::Redirect;

/// Where a standard stream comes from.
#[derive(Clone, Debug)]
pub struct Stdio(Source);

#[derive(Clone, Debug)]
enum Source {
    Inherit,
    Null,
    Piped,
    Fd(Arc<OwnedFd>),
}

/// The child's end of a stream, and the parent's if it is a pipe.
pub(super) struct Ends {
    pub(super) child: Option<Child>,
    pub(super) parent: Option<OwnedFd>,
}

/// A descriptor for the child: made for one launch, or kept for all.
pub(super) enum Child {
    Once(OwnedFd),
    Kept(Arc<OwnedFd>),
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Once(fd) => fd.as_fd(),
            Self::Kept(fd) => fd.as_fd(),
        }
    }
}

impl Stdio {
    /// The caller's.
    pub fn inherit() -> Self {
        Self(Source::Inherit)
    }

    /// `/dev/null`.
    pub fn null() -> Self {
        Self(Source::Null)
    }

    /// A pipe to the caller.
    pub fn piped() -> Self {
        Self(Source::Piped)
    }

    pub(super) fn redirect(&self) -> Redirect {
        match self.0 {
            Source::Inherit => Redirect::Inherit,
            Source::Null | Source::Piped | Source::Fd(_) => Redirect::Supplied,
        }
    }

    /// Opens what a launch needs. `output` says in which direction bytes flow.
    pub(super) fn open(&self, output: bool) -> io::Result<Ends> {
        let (child, parent) = match &self.0 {
            Source::Inherit => (None, None),
            Source::Null => {
                let null = OpenOptions::new()
                    .read(!output)
                    .write(output)
                    .open("/dev/null")?;
                (Some(Child::Once(null.into())), None)
            }
            Source::Piped => {
                let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
                let (child, parent) = if output { (write, read) } else { (read, write) };
                (Some(Child::Once(child)), Some(parent))
            }
            Source::Fd(fd) => (Some(Child::Kept(Arc::clone(fd))), None),
        };
        Ok(Ends { child, parent })
    }
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Self {
        Self(Source::Fd(Arc::new(fd)))
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        OwnedFd::from(file).into()
    }
}
