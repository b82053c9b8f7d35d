// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting for descriptors. See poll(2).

use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};

use crate::poll::timeout;

/// Waits until one of the descriptors is ready, or until the deadline: what each is ready for. One that
/// is not asked about is ready for nothing.
pub(super) fn wait<const N: usize>(
    wanted: [Option<PollFd<'_>>; N],
    deadline: Option<Instant>,
) -> nix::Result<[PollFlags; N]> {
    let asked = wanted.each_ref().map(Option::is_some);
    let mut fds: Vec<PollFd<'_>> = wanted.into_iter().flatten().collect();
    match poll(&mut fds, timeout(deadline)) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok([PollFlags::empty(); N]),
        Err(errno) => return Err(errno),
    }
    let mut found = fds.iter().map(|fd| fd.revents());
    Ok(asked.map(|asked| {
        let found = if asked { found.next().flatten() } else { None };
        found.unwrap_or(PollFlags::empty())
    }))
}
