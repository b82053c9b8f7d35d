// SPDX-License-Identifier: MIT OR Apache-2.0
//! umask and working directory.

use std::os::unix::ffi::OsStrExt;

use clonebox_child::{Expect, SCRATCH_LEN};

use super::call::{Call, Value, quoted_bare};
use super::draft::Draft;
use super::exec::c_string;
use super::slot;
use super::step::Steps;

/// umask(2), chdir(2), and a look whether the directory is below the root: one that is not is a way
/// out of it (CVE-2024-21626).
pub(super) fn enter(draft: &Draft<'_>, steps: &mut Steps) {
    if let Some(umask) = &draft.spec.umask {
        let call = Call::new("umask", libc::SYS_umask, [Value::Octal(umask.value)]);
        steps.push(&umask.origin, "set the umask", call);
    }
    if let Some(workdir) = &draft.spec.workdir {
        let path = c_string(workdir.value.as_os_str().as_bytes().to_vec());
        let shown = quoted_bare(path.as_bytes());
        let path = Value::Given(slot::WORKDIR, path);
        let chdir = Call::new("chdir", libc::SYS_chdir, [path]);
        let getcwd = Call::new(
            "getcwd",
            libc::SYS_getcwd,
            [Value::Slot(slot::SCRATCH), Value::Int(SCRATCH_LEN as i64)],
        );
        let action = format!("enter the working directory {}", shown);
        steps.push(&workdir.origin, action, chdir);
        let action = "find the working directory below the root";
        steps.push(&workdir.origin, action, getcwd.expect(Expect::AbsolutePath));
    }
}
