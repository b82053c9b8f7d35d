//! Ways out of a root directory: what succeeds has read a file that is outside.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{c_string, check};

/// A directory that is below every root that there is.
const BELOW: &std::ffi::CStr = c"/proc";

/// Makes a directory the root in a weak way, and makes an attack from there.
pub(super) fn within(words: &[OsString]) {
    let directory = c_string(&words[1]);
    let made = match words[0].to_str().expect("UTF-8") {
        "chroot" => enter(&directory),
        "pivot" => pivot_and_keep_the_old_one(&directory),
        way => panic!("there is no way {way:?}"),
    };
    made.expect("a root");
    assert!(
        super::run(words[2].to_str().expect("UTF-8"), &words[3..]),
        "there is no such attack"
    );
}

fn enter(directory: &CString) -> io::Result<()> {
    // SAFETY: the string lives during the call.
    check(unsafe { libc::chroot(directory.as_ptr()) }.into())?;
    std::env::set_current_dir("/")
}

fn pivot_and_keep_the_old_one(directory: &CString) -> io::Result<()> {
    // SAFETY: the call takes numbers.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) }.into())?;
    mount(None, c"/", libc::MS_REC | libc::MS_PRIVATE)?;
    mount(Some(directory), directory, libc::MS_BIND)?;
    std::env::set_current_dir(std::path::Path::new(directory.to_str().expect("UTF-8")))?;
    pivot()
}

fn mount(from: Option<&CString>, to: &std::ffi::CStr, flags: u64) -> io::Result<()> {
    let from = from.map_or(std::ptr::null(), |from| from.as_ptr());
    // SAFETY: the strings live during the call.
    check(
        unsafe { libc::mount(from, to.as_ptr(), std::ptr::null(), flags, std::ptr::null()) }.into(),
    )
}

fn pivot() -> io::Result<()> {
    // SAFETY: the strings are constant.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })
}

/// The classic: a root below the working directory, and upwards from there.
pub(super) fn chroot_out(file: &OsString) -> io::Result<()> {
    let top = File::open("/")?;
    // SAFETY: the string is constant.
    check(unsafe { libc::chroot(BELOW.as_ptr()) }.into())?;
    // SAFETY: the call takes a number.
    check(unsafe { libc::fchdir(top.as_raw_fd()) }.into())?;
    for _ in 0..64 {
        std::env::set_current_dir("..")?;
    }
    // SAFETY: the string is constant.
    check(unsafe { libc::chroot(c".".as_ptr()) }.into())?;
    File::open(file).map(drop)
}

/// What a root that was changed by pivot_root(2) may have left: below, on top, or behind another one.
pub(super) fn pivot_out(file: &OsString) -> io::Result<()> {
    let below = |prefix: &str| {
        let path = format!("{prefix}{}", file.to_str().expect("UTF-8"));
        File::open(path).map(drop)
    };
    let mut found = below("/..").or_else(|_| below("/proc/self/cwd/../.."));
    for _ in 0..3 {
        // Each is refused, or changes what the next one finds.
        // SAFETY: the strings are constant, and the calls take numbers besides.
        let _ = unsafe { libc::umount2(c"/".as_ptr(), libc::MNT_DETACH) };
        found = found.or_else(|_| below("/.."));
        let _ = std::env::set_current_dir("/").and_then(|()| pivot());
        found = found.or_else(|_| below("/..")).or_else(|_| below(""));
    }
    found
}

/// Joins the mount namespace of a process, by its pidfd or by its /proc, and reads a file there.
pub(super) fn join(way: &OsString, pid: usize, file: &OsString) -> io::Result<()> {
    let fd: OwnedFd = if way == "pidfd" {
        // SAFETY: the call takes numbers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        check(fd)?;
        // SAFETY: the descriptor is new, and nobody else's.
        unsafe { OwnedFd::from_raw_fd(fd as i32) }
    } else {
        File::open(format!("/proc/{pid}/ns/mnt"))?.into()
    };
    // SAFETY: the call takes numbers.
    check(unsafe { libc::setns(fd.as_raw_fd(), libc::CLONE_NEWNS) }.into())?;
    File::open(file).map(drop)
}
