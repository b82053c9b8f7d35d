// SPDX-License-Identifier: MIT OR Apache-2.0
//! Subordinate ids: what subuid(5) and subgid(5) give a user, and the programs that map them.

use std::ffi::CStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::prctl;
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::plan::IdRange;
use crate::spec::passwd;

/// The ranges that the lines of a file give to a user, by name or by number. Lines that make no sense give
/// none, as for newuidmap(1).
pub(crate) fn ranges(file: &str, user: &str, uid: u32) -> Vec<IdRange> {
    let range = |line: &str| {
        let mut fields = line.split(':');
        let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        let (first, count): (u32, u32) = (first.parse().ok()?, count.parse().ok()?);
        let is_theirs = owner == user || owner == uid.to_string();
        let fine = count > 0 && first.checked_add(count).is_some() && fields.next().is_none();
        (is_theirs && fine).then_some(IdRange { first, count })
    };
    file.lines().filter_map(range).collect()
}

/// The name that /etc/passwd has for a user.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    let file = fs::read("/etc/passwd").ok()?;
    let entry = passwd::user(&file, &uid.to_string()).ok().flatten()?;
    Some(entry.name)
}

/// Where a helper such as newuidmap(1) is; why it can do nothing for an ordinary user, if it cannot.
pub(crate) fn helper(name: &str) -> Result<PathBuf, String> {
    let Some(path) = super::find_program(name) else {
        return Err(format!("there is no {name} in PATH"));
    };
    let set_user_id = path
        .metadata()
        .is_ok_and(|found| found.mode() & libc::S_ISUID != 0 && found.uid() == 0);
    let shown = path.display();
    if !set_user_id && !has_file_capabilities(&path) {
        return Err(format!(
            "{shown} is neither set-user-id root nor has it file capabilities: chmod u+s {shown}"
        ));
    }
    if statvfs(&path).is_ok_and(|found| found.flags().contains(FsFlags::ST_NOSUID)) {
        return Err(format!(
            "{shown} is on a filesystem that is mounted nosuid, and gains no privilege there"
        ));
    }
    if prctl::get_no_new_privs().unwrap_or(false) {
        return Err(format!(
            "this process may gain no privileges (no_new_privs), and {shown} needs some"
        ));
    }
    Ok(path)
}

fn has_file_capabilities(path: &Path) -> bool {
    const NAME: &CStr = c"security.capability";
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: both strings end with a NUL; with a size of 0 nothing is written.
    unsafe { libc::getxattr(path.as_ptr(), NAME.as_ptr(), std::ptr::null_mut(), 0) > 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_belong_to_who_is_named_and_lines_that_make_no_sense_to_nobody() {
        let file = "web:100000:65536\n33:200000:10\nweb:x:5\nweb:1:-1\nweb:1\nweb:1:2:3\n# web:1:1\nother:1:7\n";
        let range = |first, count| IdRange { first, count };
        let web = [range(100_000, 65_536), range(200_000, 10)];
        assert_eq!(ranges(file, "web", 33), web);
        assert_eq!(ranges(file, "other", 34), [range(1, 7)]);
        assert_eq!(ranges(file, "nobody", 35), []);
    }
}
