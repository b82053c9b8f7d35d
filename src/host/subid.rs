// SPDX-License-Identifier: MIT OR Apache-2.0
//! Subordinate ids: what subuid(5) and subgid(5) give a user, and the programs that map them.

use std::ffi::CStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::spec::passwd;

/// How many ids the lines of a file give to a user, by name or by number. Lines that make no sense give
/// none, as for newuidmap(1).
pub(crate) fn count(file: &str, user: &str, uid: u32) -> u64 {
    file.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
            let is_theirs = owner == user || owner == uid.to_string();
            let fine = is_theirs && first.parse::<u32>().is_ok() && fields.next().is_none();
            count.parse::<u32>().ok().filter(|_| fine)
        })
        .map(u64::from)
        .sum()
}

/// The name that /etc/passwd has for a user.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    let file = fs::read("/etc/passwd").ok()?;
    let entry = passwd::user(&file, &uid.to_string()).ok().flatten()?;
    Some(entry.name)
}

/// Why a helper such as newuidmap(1) can do nothing for an ordinary user; nothing if it can.
pub(crate) fn helper_fault(name: &str) -> Option<String> {
    let Some(path) = find(name) else {
        return Some(format!("there is no {name} in PATH"));
    };
    let set_user_id = path
        .metadata()
        .is_ok_and(|found| found.mode() & libc::S_ISUID != 0 && found.uid() == 0);
    let shown = path.display();
    (!set_user_id && !has_file_capabilities(&path)).then(|| {
        format!(
            "{shown} is neither set-user-id root nor has it file capabilities: chmod u+s {shown}"
        )
    })
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
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
        assert_eq!(count(file, "web", 33), 65546);
        assert_eq!(count(file, "other", 34), 7);
        assert_eq!(count(file, "nobody", 35), 0);
    }
}
