//! Filesystems and devices of the kernel's: what succeeds could have changed the machine.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};

use super::{c_string, check};

/// Opens a file for writing, and writes nothing.
pub(super) fn open_to_write(path: &OsString) -> io::Result<()> {
    File::options().write(true).open(path).map(drop)
}

/// Mounts a filesystem of this type and source on a directory, and opens a file of it for writing.
pub(super) fn mount_and_write(words: &[OsString]) -> io::Result<()> {
    let [kind, data, directory] = [0, 1, 2].map(|at| c_string(&words[at]));
    let kind = kind.as_ptr();
    // SAFETY: the strings live during the call.
    check(unsafe { libc::mount(kind, directory.as_ptr(), kind, 0, data.as_ptr().cast()) }.into())?;
    open_to_write(&words[3])
}

/// The same, and writes to the file what it says already.
pub(super) fn mount_and_rewrite(words: &[OsString]) -> io::Result<()> {
    mount_and_write(words)?;
    let bytes = std::fs::read(&words[3])?;
    let mut file = File::options().write(true).open(&words[3])?;
    io::Write::write_all(&mut file, &bytes)
}

/// Makes a character device, the one of /dev/zero, and reads it.
pub(super) fn make_device(path: &OsString) -> io::Result<()> {
    let name = c_string(path);
    let zero = libc::makedev(1, 5);
    // SAFETY: the string lives during the call.
    check(unsafe { libc::mknod(name.as_ptr(), libc::S_IFCHR | 0o600, zero) }.into())?;
    let read = File::open(path).and_then(|mut device| device.read_exact(&mut [1]));
    std::fs::remove_file(path).expect("it was made here");
    read
}

/// Takes what covers a file away, or makes it writable, and opens it for writing. For one who may mount.
pub(super) fn uncover(path: &OsString) -> io::Result<()> {
    // SAFETY: the call takes numbers.
    let _ = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    let null = std::ptr::null();
    let mut opened = open_to_write(path);
    for above in std::path::Path::new(path).ancestors() {
        let above = c_string(&above.into());
        // SAFETY: the strings live during the calls.
        unsafe {
            let flags = libc::MS_REMOUNT | libc::MS_BIND;
            libc::mount(null, above.as_ptr(), null, flags, null.cast());
        }
        opened = opened.or_else(|_| open_to_write(path));
        // SAFETY: the string lives during the call.
        unsafe { libc::umount2(above.as_ptr(), libc::MNT_DETACH) };
        opened = opened.or_else(|_| open_to_write(path));
    }
    opened
}
