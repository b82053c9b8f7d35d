// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mounts, in the order in which they were typed, whichever options they came with.

use std::fs::File;
use std::io::Read;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;

use clonebox::{Mount, MountKind, MountParseError, Setting};

use crate::descriptors::is_inherited;
use crate::typed::{Word, setting};
use crate::usage::UsageError;

/// Bytes that are read from a descriptor: one more than the library takes, which then says so.
const MOST: u64 = (16 << 20) + 1;

/// Reads the mounts among the words.
pub(crate) fn in_order(words: &[Word]) -> Result<Vec<Setting<Mount>>, UsageError> {
    let mounts = words.iter().filter_map(|word| {
        let read = reader(word.option)?;
        Some(setting(word.origin(), word.value.as_deref()?, &read))
    });
    mounts.collect()
}

/// Whether an option is a mount, whose place among others counts.
pub(crate) fn is_mount(option: &str) -> bool {
    reader(option).is_some()
}

type Reader = fn(&str) -> Result<Mount, String>;

/// How the value of an option is read, if the option is a mount.
fn reader(option: &str) -> Option<Reader> {
    let reader: Reader = match option {
        "--volume" => |word| text(Mount::parse_volume(word)),
        "--mount" => |word| text(Mount::parse(word)),
        "--tmpfs" => |word| text(Mount::parse_tmpfs(word)),
        "--ro-bind" => |word| text(Mount::parse_bind(word).map(Mount::read_only)),
        "--dev-bind" => |word| text(Mount::parse_bind(word)),
        "--bind-try" => |word| text(Mount::parse_bind(word).map(optional)),
        "--file" => file,
        _ => return None,
    };
    Some(reader)
}

fn text(mount: Result<Mount, MountParseError>) -> Result<Mount, String> {
    mount.map_err(|error| error.to_string())
}

fn optional(mut mount: Mount) -> Mount {
    if let MountKind::Bind { optional, .. } = &mut mount.kind {
        *optional = true;
    }
    mount
}

/// `FD:TARGET`: what can be read from a descriptor, to its end.
fn file(word: &str) -> Result<Mount, String> {
    let (number, target) = word
        .split_once(':')
        .filter(|(_, target)| !target.is_empty())
        .ok_or("expected FD:TARGET")?;
    let number: i32 = number
        .parse()
        .map_err(|_| "expected FD:TARGET, FD a number")?;
    if number < 0 || !is_inherited(number) {
        return Err("the caller has no such descriptor open".to_owned());
    }
    // SAFETY: the descriptor is open, and the file is not dropped: it stays the caller's.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(number) });
    let mut data = Vec::new();
    (&*file)
        .take(MOST)
        .read_to_end(&mut data)
        .map_err(|error| format!("cannot read it: {error}"))?;
    Ok(Mount::file(data, target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn mounts_keep_the_order_of_the_words() {
        let word = |option: &'static str, value: Option<&str>| Word {
            option,
            value: value.map(str::to_owned),
            place: None,
        };
        let mounts = in_order(&[
            word("--tmpfs", Some("/a")),
            word("--name", Some("--volume")),
            word("--init", None),
            word("--volume", Some("/b:/c")),
            word("--tmpfs", Some("/d")),
        ]);
        let mounts = mounts.unwrap();
        let targets: Vec<&Path> = mounts
            .iter()
            .map(|mount| mount.value.target.as_path())
            .collect();
        assert_eq!(targets, ["/a", "/c", "/d"].map(Path::new));
        assert_eq!(mounts[1].origin.to_string(), "--volume /b:/c");
    }
}
