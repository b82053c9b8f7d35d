// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting for descriptors until a time. See poll(2).

use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long poll(2) is to wait. Rounded up: a wait of 0 would spin through the last millisecond.
pub(crate) fn timeout(until: Option<Instant>) -> PollTimeout {
    until.map_or(PollTimeout::NONE, |until| {
        let left = until.saturating_duration_since(Instant::now());
        PollTimeout::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX)
    })
}

/// Waits until there is something to read, an end too; until a time at most. Whether there is.
pub(crate) fn readable(fd: &impl AsFd, until: Option<Instant>) -> bool {
    wait(fd, PollFlags::POLLIN, until)
}

/// Waits until the other end is closed. What arrives meanwhile wakes nobody.
pub(crate) fn hung_up(fd: &impl AsFd) {
    wait(fd, PollFlags::empty(), None);
}

fn wait(fd: &impl AsFd, events: PollFlags, until: Option<Instant>) -> bool {
    loop {
        let timeout = timeout(until);
        let mut asked = [PollFd::new(fd.as_fd(), events)];
        match poll(&mut asked, timeout) {
            Ok(0) if timeout == PollTimeout::ZERO => return false,
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}
