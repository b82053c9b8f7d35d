//! A segment of System V memory, for a box to find.

use std::sync::atomic::{AtomicI32, Ordering};

/// Tests run at the same time, and each segment has a key of its own.
static KEY: AtomicI32 = AtomicI32::new(0x420);

/// It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Segment {
    id: i32,
    key: String,
}

impl Segment {
    pub(crate) fn new() -> Self {
        let key = KEY.fetch_add(1, Ordering::Relaxed) << 20 | std::process::id().cast_signed();
        // SAFETY: the call takes numbers.
        let id = unsafe { libc::shmget(key, 4096, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
        assert!(id >= 0, "{}", std::io::Error::last_os_error());
        Self {
            id,
            key: key.to_string(),
        }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: the segment is ours, and nobody has attached it.
        unsafe { libc::shmctl(self.id, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}
