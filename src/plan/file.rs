// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writing to a file of /proc: three calls, three steps.

use std::borrow::Cow;

use super::call::{Call, Value};
use super::exec::c_string;
use super::slot;
use super::step::Steps;
use crate::spec::Origin;

/// Opens `path`, writes `text` in one call, and closes it. `action` says what for.
pub(super) fn write(
    origin: &Origin,
    action: impl Into<Cow<'static, str>>,
    path: &'static std::ffi::CStr,
    text: String,
    steps: &mut Steps,
) {
    let action = action.into();
    open(origin, action.clone(), path, steps);
    write_opened(origin, action, text, steps);
}

/// Opens `path`.
pub(super) fn open(
    origin: &Origin,
    action: impl Into<Cow<'static, str>>,
    path: &'static std::ffi::CStr,
    steps: &mut Steps,
) {
    let open = Call::new(
        "openat",
        libc::SYS_openat,
        [
            Value::Name("AT_FDCWD", libc::AT_FDCWD as usize),
            Value::Static(path),
            Value::Open(libc::O_WRONLY | libc::O_CLOEXEC),
        ],
    );
    steps.push(origin, action, open.save(slot::OPENED));
}

/// Writes `text` in one call to what has been opened, and closes it.
pub(super) fn write_opened(
    origin: &Origin,
    action: impl Into<Cow<'static, str>>,
    text: String,
    steps: &mut Steps,
) {
    let action = action.into();
    let length = Value::Int(text.len() as i64);
    let text = Value::Text(c_string(text.into_bytes()));
    let write = Call::new(
        "write",
        libc::SYS_write,
        [Value::Slot(slot::OPENED), text, length],
    );
    steps.push(origin, action.clone(), write);
    steps.push(
        origin,
        action,
        Call::new("close", libc::SYS_close, [Value::Slot(slot::OPENED)]),
    );
}
