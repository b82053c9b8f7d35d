//! A root filesystem that a test makes for itself. Its only program is this binary, at `/it`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::{SFlag, lstat};
use tempfile::TempDir;

use super::clonebox::{Clonebox, Ran};
use super::files::{self, Public};

/// A directory, empty but for what a test puts there.
#[derive(Debug)]
pub(crate) struct Root {
    directory: TempDir,
    program: Public,
}

impl Root {
    pub(crate) fn new() -> Self {
        Self {
            directory: files::directory(),
            program: Public::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn text(&self) -> &str {
        self.path().to_str().expect("UTF-8")
    }

    /// The mount that puts the program there.
    pub(crate) fn program(&self) -> String {
        format!("{}:/it:ro", self.program.path())
    }

    /// A run of a probe with this root filesystem.
    pub(crate) fn describe(&self, options: &[&str], words: &[&str]) -> Clonebox {
        Clonebox::new()
            .args(["--rootfs", self.text(), "-v", &self.program()])
            .args(options)
            .args(["--", "/it", "__probe"])
            .args(words)
    }

    /// Runs it.
    pub(crate) fn run(&self, options: &[&str], words: &[&str]) -> Ran {
        self.describe(options, words).run()
    }

    /// Runs it with this root filesystem under an overlay.
    pub(crate) fn run_over(&self, options: &[&str], words: &[&str]) -> Ran {
        Clonebox::new()
            .args(["--rootfs-overlay", self.text(), "-v", &self.program()])
            .args(options)
            .args(["--", "/it", "__probe"])
            .args(words)
            .run()
    }

    /// Every path below the directory with what it is: sorted, without following a link.
    pub(crate) fn contents(&self) -> Vec<String> {
        contents(self.path())
    }
}

/// Every path below a directory with its kind, mode and, of a file, its bytes.
pub(crate) fn contents(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a directory of ours") {
            let path = entry.expect("an entry").path();
            let stat = lstat(&path).expect("it is there");
            let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
            let more = match kind {
                SFlag::S_IFREG => fs::read(&path).expect("a file of ours"),
                SFlag::S_IFLNK => {
                    let target = fs::read_link(&path).expect("a link");
                    target.as_os_str().as_bytes().to_vec()
                }
                SFlag::S_IFDIR => {
                    open.push(path.clone());
                    Vec::new()
                }
                _ => Vec::new(),
            };
            let name = path.strip_prefix(directory).expect("it is below");
            let more = more.escape_ascii();
            found.push(format!("{} {:o} {more}", name.display(), stat.st_mode));
        }
    }
    found.sort();
    found
}
