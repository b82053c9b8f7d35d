// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mount table of this process's own, with as many mounts as are asked for. The host sees none of them.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::null;

use nix::errno::Errno;

use crate::support::Result;

/// A mount table of this process's own.
pub(crate) struct Mounts {
    /// Where those that are added are: in a tmpfs, as soon as there is one.
    dir: PathBuf,
    mounted: bool,
}

impl Mounts {
    /// Gives this process a mount table of its own. What is added to it will be in `dir`, a new directory of
    /// which others may have made the same use.
    pub(crate) fn own(dir: PathBuf) -> Result<Self> {
        // SAFETY: the call takes a number and touches no memory.
        Errno::result(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
        mount(None, Path::new("/"), None, libc::MS_REC | libc::MS_PRIVATE)?;
        fs::create_dir_all(&dir)?;
        Ok(Self {
            dir,
            mounted: false,
        })
    }

    /// Mounts until the table has so many: directories on themselves. A table that is longer stays as it is.
    pub(crate) fn fill(&mut self, wanted: usize) -> Result {
        if count() < wanted && !self.mounted {
            mount(Some(c"tmpfs"), &self.dir, Some(c"tmpfs"), 0)?;
            self.mounted = true;
        }
        for number in count()..wanted {
            let place = self.dir.join(number.to_string());
            fs::create_dir(&place)?;
            let source = CString::new(place.as_os_str().as_bytes())?;
            mount(Some(&source), &place, None, libc::MS_BIND)?;
        }
        Ok(())
    }
}

fn count() -> usize {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table.lines().count()
}

fn mount(source: Option<&CStr>, target: &Path, kind: Option<&CStr>, flags: u64) -> Result {
    let target = CString::new(target.as_os_str().as_bytes())?;
    let [source, kind] = [source, kind].map(|text| text.map_or(null(), CStr::as_ptr));
    // SAFETY: the strings end with NUL and live during the call.
    let result = unsafe { libc::mount(source, target.as_ptr(), kind, flags, null()) };
    Errno::result(result)?;
    Ok(())
}
