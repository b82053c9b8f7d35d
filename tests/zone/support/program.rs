//! A program for boxes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::nothing;

/// A directory with the smallest program in it, which everybody may execute.
pub(crate) struct Program(TempDir);

impl Program {
    const NAME: &str = "nothing";

    /// Writes it. Do so before anything is cloned: a file that is open for writing cannot be executed.
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("clonebox-zone.")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .expect("a directory can be made");
        nothing::write(&directory.path().join(Self::NAME));
        Self(directory)
    }

    /// The path of the program.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join(Self::NAME)
    }
}
