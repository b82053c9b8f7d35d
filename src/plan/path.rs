// SPDX-License-Identifier: MIT OR Apache-2.0
//! Paths inside the root of the box, which are not to be trusted.
//!
//! Whoever filled a root filesystem may have put a symbolic link anywhere, and somebody may exchange a
//! directory for one at any time (CVE-2021-30465, CVE-2024-45310). So a path is resolved once, to a
//! descriptor, by a call that cannot leave the root, and what follows is done to the descriptor:
//! openat2(2) with `RESOLVE_IN_ROOT`. Where that is missing or forbidden, the path is walked down
//! component by component, and a symbolic link ends the walk; one at its end is covered by a file that
//! is mounted there, and by nothing else.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use clonebox_child::{OnError, Slot};

use super::call::{Call, FlagNames, Value, quoted_bare, show_flags, show_open};
use super::draft::Draft;
use super::exec::c_string;
use super::slot;
use super::step::Steps;
use crate::spec::Origin;

/// What is opened is looked up, and neither read nor waited for.
pub(super) const LOOK_UP: i32 = libc::O_PATH | libc::O_CLOEXEC;
const RESOLVE: FlagNames = &[
    ("RESOLVE_NO_MAGICLINKS", libc::RESOLVE_NO_MAGICLINKS),
    ("RESOLVE_NO_SYMLINKS", libc::RESOLVE_NO_SYMLINKS),
    ("RESOLVE_IN_ROOT", libc::RESOLVE_IN_ROOT),
];

/// The current directory, for a path that no descriptor stands for.
pub(super) fn cwd() -> Value {
    Value::Name("AT_FDCWD", libc::AT_FDCWD as usize)
}

/// What a path may lead over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Links {
    /// Symbolic links, which are resolved as if the root were that of the child.
    Inside,
    /// None: where a directory belongs, a link is an attack.
    None,
}

/// The names that lead from the root to a place. Validation has refused `..`.
pub(super) fn components(path: &Path) -> Vec<&[u8]> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.as_bytes()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

/// Opens a place inside the root into a slot.
pub(super) fn open(
    draft: &Draft<'_>,
    origin: &Origin,
    names: &[&[u8]],
    links: Links,
    into: Slot,
    steps: &mut Steps,
) {
    let shown = shown(names);
    let action = format!("find {shown} in the root");
    if draft.facts.paths.openat2 {
        let path = Value::Text(c_string(names.join(&b'/')));
        let args = [Value::Slot(slot::ROOT), path, how(links), Value::Int(24)];
        let call = Call::new("openat2", libc::SYS_openat2, args);
        // A mount or a rename anywhere meanwhile leaves it in doubt whether a `..` stays inside.
        let call = call.on_error(OnError::Retry);
        steps.push(origin, action, call.save(into));
        return;
    }
    let mut from = slot::ROOT;
    for (index, name) in names.iter().enumerate() {
        let last = index + 1 == names.len();
        let to = match (last, from) {
            (true, _) => into,
            (_, slot::DIRECTORY) => slot::NEXT,
            _ => slot::DIRECTORY,
        };
        let mut flags = LOOK_UP | libc::O_NOFOLLOW;
        if !last || links == Links::None {
            flags |= libc::O_DIRECTORY;
        }
        steps.push(origin, action.clone(), openat(from, name, flags).save(to));
        if from != slot::ROOT {
            close(origin, from, steps);
        }
        from = to;
    }
}

/// The kernel's `struct open_how` (`linux/openat2.h`).
fn how(links: Links) -> Value {
    let inside = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    match links {
        Links::Inside => open_how(LOOK_UP, inside),
        Links::None => open_how(
            LOOK_UP | libc::O_DIRECTORY,
            inside | libc::RESOLVE_NO_SYMLINKS,
        ),
    }
}

fn open_how(flags: i32, resolve: u64) -> Value {
    let words = [flags as u64, 0, resolve];
    let bytes = words.map(u64::to_ne_bytes).as_flattened().into();
    Value::Struct(bytes, |bytes| {
        let (words, _) = bytes.as_chunks::<8>();
        let word = |index: usize| words.get(index).map_or(0, |word| u64::from_ne_bytes(*word));
        let mut text = "{flags=".to_owned();
        // Writing to a String does not fail.
        let _ = show_open(word(0) as i32, &mut text);
        text.push_str(", resolve=");
        let _ = show_flags(RESOLVE, word(2), &mut text);
        text.push('}');
        text
    })
}

/// openat(2) below a descriptor.
pub(super) fn openat(directory: Slot, name: &[u8], flags: i32) -> Call {
    let name = Value::Text(c_string(name.to_vec()));
    let args = [Value::Slot(directory), name, Value::Open(flags)];
    Call::new("openat", libc::SYS_openat, args)
}

/// openat2(2) of an absolute path that leads over no symbolic link.
pub(super) fn open_without_links(path: &Path) -> Call {
    let path = Value::Text(c_string(path.as_os_str().as_bytes().to_vec()));
    let resolve = libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
    let how = open_how(LOOK_UP, resolve);
    let args = [cwd(), path, how, Value::Int(24)];
    Call::new("openat2", libc::SYS_openat2, args)
}

/// openat(2) of a path of the caller's.
pub(super) fn open_host(path: &Path, flags: i32) -> Call {
    let path = Value::Text(c_string(path.as_os_str().as_bytes().to_vec()));
    Call::new(
        "openat",
        libc::SYS_openat,
        [cwd(), path, Value::Open(flags)],
    )
}

/// Makes what is missing of a place, all but the first `known` names, inside the root and nowhere else:
/// each directory in one that has been resolved. The last name becomes an empty file if a file is to be
/// mounted there.
pub(super) fn make(
    draft: &Draft<'_>,
    origin: &Origin,
    names: &[&[u8]],
    known: usize,
    file: bool,
    stays: bool,
    steps: &mut Steps,
) {
    for index in known..names.len() {
        let (parents, name) = (&names[..index], names[index]);
        let directory = if index == 0 {
            slot::ROOT
        } else {
            open(draft, origin, parents, Links::Inside, slot::TARGET, steps);
            slot::TARGET
        };
        let action = format!("make {} in the root", shown(&names[..=index]));
        let call = if file && index + 1 == names.len() {
            make_file(directory, name, 0o644)
        } else {
            make_directory(directory, name, 0o755)
        };
        steps.push(origin, action, call.on_error(OnError::Ignore(libc::EEXIST)));
        // One in a filesystem of the box's own goes with it.
        if stays {
            steps.makes(
                names[..=index]
                    .iter()
                    .fold(PathBuf::from("/"), |path, name| {
                        path.join(OsStr::from_bytes(name))
                    }),
            );
        }
        if index > 0 {
            close(origin, directory, steps);
        }
    }
}

/// Enters one of the directories that the kernel's own filesystems are mounted on. It is a directory in
/// the root and no link: a link is an attack (CVE-2019-16884).
pub(super) fn mount_point(
    draft: &Draft<'_>,
    origin: &Origin,
    name: &'static [u8],
    exists: bool,
    steps: &mut Steps,
) {
    let names = [name];
    if !exists {
        steps.at(draft.root_stage(), |steps| {
            make(draft, origin, &names, 0, false, true, steps);
        });
    }
    open(draft, origin, &names, Links::None, slot::TARGET, steps);
    enter(origin, slot::TARGET, &shown(&names), steps);
    close(origin, slot::TARGET, steps);
}

/// mkdirat(2).
pub(super) fn make_directory(directory: Slot, name: &[u8], mode: u32) -> Call {
    let name = Value::Text(c_string(name.to_vec()));
    let args = [Value::Slot(directory), name, Value::Octal(mode)];
    Call::new("mkdirat", libc::SYS_mkdirat, args)
}

/// mknodat(2) of an empty file, which unlike open(2) with `O_CREAT` follows no link.
pub(super) fn make_file(directory: Slot, name: &[u8], mode: u32) -> Call {
    let name = Value::Text(c_string(name.to_vec()));
    let mode = Value::Mode(libc::S_IFREG | mode);
    let args = [Value::Slot(directory), name, mode];
    Call::new("mknodat", libc::SYS_mknodat, args)
}

/// close(2): a directory that stays open is a way out.
pub(super) fn close(origin: &Origin, slot: Slot, steps: &mut Steps) {
    let call = Call::new("close", libc::SYS_close, [Value::Slot(slot)]);
    steps.push(origin, "close a descriptor", call);
}

/// fchdir(2): what follows is about `.`, which no link can change.
pub(super) fn enter(origin: &Origin, slot: Slot, what: &str, steps: &mut Steps) {
    let call = Call::new("fchdir", libc::SYS_fchdir, [Value::Slot(slot)]);
    steps.push(origin, format!("enter {what}"), call);
}

/// A place inside the root, for people.
pub(super) fn shown(names: &[&[u8]]) -> String {
    format!("/{}", quoted_bare(&names.join(&b'/')))
}
