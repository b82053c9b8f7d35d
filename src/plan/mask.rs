// SPDX-License-Identifier: MIT OR Apache-2.0
//! Masks: mounts over what a box is not to see, in a filesystem of the kernel's which is the current
//! directory. What this kernel does not have needs no mask.

use std::ffi::CStr;

use clonebox_child::OnError;

use super::step::Steps;
use super::tree;
use crate::spec::Origin;

/// Covers a file with the null device.
pub(super) fn file(origin: &Origin, directory: &str, name: &'static CStr, steps: &mut Steps) {
    let call = tree::mount(Some(c"/dev/null"), name, None, libc::MS_BIND, None);
    push(origin, directory, name, call, steps);
}

/// Covers a directory with an empty one.
pub(super) fn directory(origin: &Origin, directory: &str, name: &'static CStr, steps: &mut Steps) {
    let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let data = c"nr_blocks=1,nr_inodes=1";
    let call = tree::mount(
        Some(c"tmpfs"),
        name,
        Some(c"tmpfs"),
        flags,
        Some(data.into()),
    );
    push(origin, directory, name, call, steps);
}

fn push(origin: &Origin, directory: &str, name: &CStr, call: super::call::Call, steps: &mut Steps) {
    let action = format!("cover {directory}/{}", name.to_string_lossy());
    steps.push(origin, action, call.on_error(OnError::Ignore(libc::ENOENT)));
}
