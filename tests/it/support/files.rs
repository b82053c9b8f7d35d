//! Files that a test makes for itself.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use super::probe;
use super::rootfs::contents;

/// A directory that everybody may look into, and that is removed with what is in it.
pub(crate) fn directory() -> TempDir {
    let directory = TempDir::new().expect("a directory for temporary files");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("it is ours");
    directory
}

/// Writes a file that may be executed, and says where. See [`super::inside::write`].
pub(crate) fn executable(directory: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    write(directory, name, "755", bytes)
}

/// Writes a file of this mode.
pub(crate) fn write(directory: &Path, name: &str, mode: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(name);
    let mut command = Command::new(probe::path());
    command
        .args(["__probe", "write"])
        .arg(&path)
        .arg(mode)
        .stdin(Stdio::piped());
    let mut writer = command.spawn().expect("this binary");
    writer
        .stdin
        .take()
        .expect("a pipe")
        .write_all(bytes.as_ref())
        .expect("a reader");
    assert!(
        writer.wait().expect("its end").success(),
        "cannot write {}",
        path.display()
    );
    path
}

/// This binary where everybody may execute it: at its own path or, if that is nobody else's to see, as
/// a copy.
#[derive(Debug)]
pub(crate) struct Public {
    path: PathBuf,
    _directory: Option<TempDir>,
}

impl Public {
    pub(crate) fn new() -> Self {
        let own = PathBuf::from(probe::path());
        let open = |path: &Path| {
            path.metadata()
                .is_ok_and(|path| path.permissions().mode() & 1 != 0)
        };
        if own.ancestors().all(open) {
            return Self {
                path: own,
                _directory: None,
            };
        }
        let directory = directory();
        let path = executable(directory.path(), "it", fs::read(own).expect("this binary"));
        Self {
            path,
            _directory: Some(directory),
        }
    }

    pub(crate) fn path(&self) -> &str {
        std::str::from_utf8(self.path.as_os_str().as_bytes()).expect("UTF-8")
    }
}

/// A directory of the host that nothing may reach, with something in it.
pub(crate) fn canary() -> TempDir {
    let canary = directory();
    fs::write(canary.path().join("canary"), "alive").expect("a directory of ours");
    canary
}

#[track_caller]
pub(crate) fn assert_untouched(canary: &Path) {
    assert_eq!(contents(canary), ["canary 100644 alive"]);
}

/// A filesystem in memory on a directory of the host's, until this is dropped.
#[derive(Debug)]
pub(crate) struct HostMount<'a>(&'a Path);

impl<'a> HostMount<'a> {
    pub(crate) fn new(path: &'a Path) -> Self {
        let none = None::<&str>;
        mount(Some("none"), path, Some("tmpfs"), MsFlags::empty(), none).expect("root may mount");
        Self(path)
    }

    /// Lets what is mounted below it later appear in copies of it.
    pub(crate) fn share(&self) {
        let none = None::<&str>;
        mount(none, self.0, none, MsFlags::MS_SHARED, none).expect("it is a mount");
    }
}

impl Drop for HostMount<'_> {
    fn drop(&mut self) {
        umount2(self.0, MntFlags::MNT_DETACH).expect("it is mounted");
    }
}
