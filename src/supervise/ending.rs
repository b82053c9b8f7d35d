// SPDX-License-Identifier: MIT OR Apache-2.0
//! Taking away the mounts of a box after its end was told.
//!
//! The kernel unmounts what the last process of a mount namespace leaves before anybody may learn that it has
//! ended, and that is half of the wait. Whoever holds a descriptor of the namespace puts it off until that is
//! closed: by a thread, which ends when there is nothing left to close for a while.
//!
//! One thread for the program, whatever launches: nobody's drop joins it. A process that ends closes what it has,
//! and the thread has nothing but that. It closes one namespace after the other, because the kernel takes as long for
//! many that are closed by one call, such as close_range(2): it waits for each by itself.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How many namespaces may wait to be closed; beyond, whoever waits for a box closes its own. Our own limit.
const AT_MOST: usize = 64;
/// How long the thread waits for more.
const IDLE: Duration = Duration::from_millis(200);
/// `PIDFD_GET_MNT_NAMESPACE` in `linux/pidfd.h`, since Linux 6.11.
const PIDFD_GET_MNT_NAMESPACE: libc::c_ulong = 0xff03;

struct Closing {
    /// The process whose thread it is; a copy made by fork(2) has none.
    process: u32,
    waiting: VecDeque<OwnedFd>,
}

static CLOSING: Mutex<Closing> = Mutex::new(Closing {
    process: 0,
    waiting: VecDeque::new(),
});
static SOME: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, Closing> {
    CLOSING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process's mount namespace; `None` where the kernel cannot give it.
pub(crate) fn mounts_of(pidfd: BorrowedFd<'_>) -> Option<OwnedFd> {
    // SAFETY: the call takes no memory. Its result is a new descriptor, or an error.
    let fd = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_MNT_NAMESPACE as _, 0) };
    // SAFETY: the descriptor is new and nobody else's.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes a descriptor soon. One for which there is no place, or no thread, is closed here.
pub(super) fn close_later(fd: OwnedFd) {
    let mut closing = lock();
    let process = std::process::id();
    if closing.process != process {
        let thread = thread::Builder::new().name("clonebox-end".to_owned());
        if thread.spawn(work).is_err() {
            return;
        }
        closing.process = process;
    }
    let full = closing.put(fd);
    if full.is_none() {
        SOME.notify_one();
    }
    // Not while others wait to put theirs.
    drop(closing);
    drop(full);
}

impl Closing {
    /// Gives the descriptor back if there is no place for it.
    fn put(&mut self, fd: OwnedFd) -> Option<OwnedFd> {
        if self.waiting.len() == AT_MOST {
            return Some(fd);
        }
        self.waiting.push_back(fd);
        None
    }
}

fn work() {
    let mut closing = lock();
    loop {
        if let Some(fd) = closing.waiting.pop_front() {
            drop(closing);
            drop(fd);
            closing = lock();
            continue;
        }
        let (next, waited) = SOME
            .wait_timeout(closing, IDLE)
            .unwrap_or_else(PoisonError::into_inner);
        closing = next;
        if waited.timed_out() && closing.waiting.is_empty() {
            closing.process = 0;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_wait_and_no_more() {
        let mut closing = Closing {
            process: 0,
            waiting: VecDeque::new(),
        };
        let null = || std::fs::File::open("/dev/null").expect("a device").into();
        let places = (0..AT_MOST).filter(|_| closing.put(null()).is_none());
        assert_eq!(places.count(), AT_MOST);
        assert!(closing.put(null()).is_some());
    }
}
