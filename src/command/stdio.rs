// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a standard stream of a box comes from, in the manner of [`std::process::Stdio`].

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::errno;
use crate::error::Error;
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

impl Ends {
    /// The child's end of a stream: the caller's stream of this number if there is no other.
    pub(super) fn child_or(&self, stream: usize) -> BorrowedFd<'_> {
        match (&self.child, stream) {
            (Some(child), _) => child.as_fd(),
            (None, 0) => STDIN,
            (None, 1) => STDOUT,
            (None, _) => STDERR,
        }
    }
}

// SAFETY: the numbers stand for what is there at the time of the call; one that is closed is refused.
const STDIN: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(0) };
// SAFETY: as before.
const STDOUT: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(1) };
// SAFETY: as before.
const STDERR: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(2) };

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

    /// Opens what a launch needs for the stream of this number.
    pub(super) fn ends(&self, stream: usize) -> Result<Ends, Error> {
        self.open(stream > 0).map_err(|error| {
            let errno = errno::of(&error);
            Error::parent("open a stream", errno)
        })
    }

    /// `output` says in which direction bytes flow.
    fn open(&self, output: bool) -> io::Result<Ends> {
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

macro_rules! from {
    ($($kind:ty),*) => {
        $(impl From<$kind> for Stdio {
            fn from(end: $kind) -> Self {
                OwnedFd::from(end).into()
            }
        })*
    };
}

from!(
    File,
    PipeReader,
    PipeWriter,
    ChildStdin,
    ChildStdout,
    ChildStderr
);
