// SPDX-License-Identifier: MIT OR Apache-2.0
//! The child of a clone that has not returned. With `CLONE_VFORK` whoever makes the clone stands still until the
//! child has left the shared memory, and another thread ends it if somebody has to.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clonebox_child::Shared;

use super::signals::AllBlocked;
use crate::pidfd;

/// How often a child is killed whose time is up, until its clone has returned: the first time it may not be there
/// yet. Our own choice.
const AGAIN: Duration = Duration::from_millis(1);

/// Whether it is there. The kernel writes the number of its pidfd before there is one. Nothing is opened to find out:
/// of descriptors there may be no more, and a child that nobody sees would wait for ever.
pub(super) fn is_there(shared: &Shared) -> bool {
    let pidfd = shared.pidfd.load(Ordering::Acquire);
    // SAFETY: the call takes numbers, and changes nothing.
    unsafe { libc::fcntl(pidfd, libc::F_GETFD) >= 0 }
}

/// Kills it, if it is there.
pub(super) fn kill(shared: &Shared) {
    let pidfd = shared.pidfd.load(Ordering::Acquire);
    if pidfd >= 0 {
        // SAFETY: the kernel has put it there before the child runs; it is closed when the
        // launch ends, after this.
        let pidfd = unsafe { BorrowedFd::borrow_raw(pidfd) };
        let _ = pidfd::kill(pidfd, libc::SIGKILL);
    }
}

/// Waits until the clone is `over`, and ends a child that is there at the deadline. Whether its time was up.
pub(super) fn end_late(shared: &Shared, over: &AtomicBool, deadline: Instant) -> bool {
    let _blocked = AllBlocked::new();
    let mut late = false;
    while !over.load(Ordering::Acquire) {
        let left = deadline.saturating_duration_since(Instant::now());
        late = left.is_zero();
        if late {
            kill(shared);
        }
        thread::park_timeout(if late { AGAIN } else { left });
    }
    late
}
