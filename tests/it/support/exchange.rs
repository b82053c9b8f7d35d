//! Somebody who exchanges a directory for a link, or for another directory, as fast as he can.

use std::ffi::{CString, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::files::{self, assert_untouched, canary};
use super::rootfs::Root;

/// Launches among which a directory is exchanged; fewer where each is emulated.
const LAUNCHES: usize = 2000;

/// As many for each of the four places; fewer where somebody says that the machine is slow.
pub(crate) fn launches() -> usize {
    let asked = std::env::var("CLONEBOX_ZONE_LAUNCHES");
    asked.map_or(LAUNCHES, |number| number.parse().expect("a number")) / 4
}

/// Exchanges two names: musl has no word for it.
pub(crate) fn swap(one: &Path, other: &Path) {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).expect("a path");
    let (one, other, here) = (text(one), text(other), libc::AT_FDCWD);
    // SAFETY: the call reads two texts that end with NUL.
    let result = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            here,
            one.as_ptr(),
            here,
            other.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// A probe: launches boxes while somebody exchanges a directory of their root filesystem for a link to the host.
pub(super) fn launch_among_exchanges(name: &OsString) {
    let (canary, root, volume) = (canary(), Root::new(), files::directory());
    let path = root.path().join(name);
    let link = root.path().join("link");
    fs::create_dir(&path).expect("a directory of ours");
    symlink(canary.path(), &link).expect("a directory of ours");
    let bind = format!("{}:/a/place", volume.path().display());
    let mut command = clonebox::Command::new("/it");
    command
        .args(["__probe", "exit", "0"])
        .rootfs(root.path())
        .stderr(clonebox::Stdio::null());
    for volume in [root.program(), bind] {
        command.mount(clonebox::Mount::parse_volume(&volume).expect("a good description"));
    }
    let launch = |round: &usize| {
        // A template resolves some paths when it is made, and the others at the launch.
        let started = match round % 2 {
            0 => command.spawn(),
            _ => command.prepare().and_then(|template| template.spawn()),
        };
        let started = started.map(|mut child| child.wait());
        assert_untouched(canary.path());
        started.is_ok()
    };
    let started = while_exchanged(&path, &link, || (0..launches()).filter(launch).count());
    let name = name.display();
    assert!(started > 0, "/{name}: no launch has met the directory");
    assert!(started < launches(), "/{name}: no launch has met the link");
}

/// Does something while somebody exchanges two names. Which is which afterwards is anybody's guess.
pub(crate) fn while_exchanged<T>(one: &Path, other: &Path, act: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when an assertion fails: the scope waits for the other thread.
        let _stop = Stop(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // It is busy while it is a mount point here, which it never is.
                swap(one, other);
                thread::yield_now();
            }
        });
        act()
    })
}

/// Whether a mount point is made outside by who looks whether the directory is one, and then goes by its name.
pub(crate) fn lets_out_who_looks_first() -> bool {
    let (outside, root) = (files::directory(), files::directory());
    let (path, link) = (root.path().join("a"), root.path().join("link"));
    fs::create_dir(&path).expect("a directory of ours");
    symlink(outside.path(), &link).expect("a directory of ours");
    let make = |_| {
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        thread::yield_now();
        // The one in the root filesystem is there after the first time.
        let _ = is_directory.then(|| fs::create_dir(path.join("place")));
        outside.path().join("place").exists()
    };
    while_exchanged(&path, &link, || (0..1_000_000).any(make))
}

/// Says that it is over.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
