// SPDX-License-Identifier: MIT OR Apache-2.0
//! Masks: mounts over what a box is not to see, in a filesystem of the kernel's which is the current
//! directory. What this kernel does not have needs no mask.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clonebox_child::OnError;

use super::call::{Value, quoted_bare};
use super::draft::Draft;
use super::exec::c_string;
use super::step::Steps;
use super::tree;
use crate::spec::Origin;

const READ_ONLY: u64 = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
const EMPTY: &CStr = c"nr_blocks=1,nr_inodes=1";

/// Those of the names in a directory that nobody wants to be left as they are.
pub(super) fn wanted<'a>(
    draft: &'a Draft<'_>,
    directory: &'static str,
    names: &'a [&'static CStr],
) -> impl Iterator<Item = &'static CStr> + 'a {
    let left = move |name: &CStr| {
        let name = OsStr::from_bytes(name.to_bytes());
        draft.spec.masks.leaves(&Path::new(directory).join(name))
    };
    names.iter().copied().filter(move |name| !left(name))
}

/// Covers what was asked for below the current directory, which is `directory`. Whether it is a file is for
/// the kernel to say: it puts no directory over a file, and no file over a directory.
///
/// `null` is the null device, as a path from the current directory or of the caller's.
pub(super) fn asked(draft: &Draft<'_>, directory: &str, null: &str, steps: &mut Steps) {
    for mask in &draft.spec.masks.mask {
        let Ok(name) = mask.value.strip_prefix(directory) else {
            continue;
        };
        let name = name.as_os_str().as_bytes();
        let place = || c_string(name.to_vec());
        let tmpfs = Some(c"tmpfs");
        let empty = tree::mount(tmpfs, place(), tmpfs, READ_ONLY, Some(EMPTY.into()));
        let null = {
            let source = Value::Text(c_string(null.as_bytes().to_vec()));
            tree::mount_from(source, place(), None, libc::MS_BIND, None)
        };
        for call in [empty, null] {
            let action = format!("cover {directory}/{}", quoted_bare(name));
            let call = call.on_error(OnError::Ignore(libc::ENOTDIR));
            steps.push(&mask.origin, action, call);
        }
    }
}

/// Covers a file with the null device, which is a path from the current directory.
pub(super) fn file(
    origin: &Origin,
    directory: &str,
    name: &'static CStr,
    null: &str,
    steps: &mut Steps,
) {
    let source = Value::Text(c_string(null.as_bytes().to_vec()));
    let call = tree::mount_from(source, name, None, libc::MS_BIND, None);
    push(origin, directory, name, call, steps);
}

/// Covers a directory with an empty one.
pub(super) fn directory(origin: &Origin, directory: &str, name: &'static CStr, steps: &mut Steps) {
    let call = tree::mount(
        Some(c"tmpfs"),
        name,
        Some(c"tmpfs"),
        READ_ONLY,
        Some(EMPTY.into()),
    );
    push(origin, directory, name, call, steps);
}

fn push(origin: &Origin, directory: &str, name: &CStr, call: super::call::Call, steps: &mut Steps) {
    let action = format!("cover {directory}/{}", name.to_string_lossy());
    steps.push(origin, action, call.on_error(OnError::Ignore(libc::ENOENT)));
}
