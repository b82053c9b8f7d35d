// SPDX-License-Identifier: MIT OR Apache-2.0
//! What connects the network of a box, seen from here: a pipe that hangs up when pasta(1) has ended.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use super::ready;

/// How long is waited for pasta after the box has ended. Our own limit: it takes as long as a SIGKILL.
const AT_MOST: Duration = Duration::from_secs(1);

/// Waits until pasta has ended, so that whoever is told of the end of the box finds its ports free.
pub(super) fn await_end(pipe: &OwnedFd) {
    let until = Instant::now() + AT_MOST;
    while Instant::now() < until {
        let hung_up = PollFd::new(pipe.as_fd(), PollFlags::empty());
        match ready::wait([Some(hung_up)], Some(until)) {
            Ok([found]) if found.is_empty() => {}
            _ => break,
        }
    }
}
