// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a process that stays has in memory.

use std::fs;

/// Gives up the pages of this program's code: those that are still needed come back, one by one, from the
/// cache that all processes share. What starts a box is most of the code, and a keeper starts no other.
///
/// Only what is executable is given up: it is as in the file, and cannot have been changed. See madvise(2).
pub(crate) fn give_up_code() {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else {
        return;
    };
    for (first, end) in maps.lines().filter_map(code) {
        // SAFETY: the mapping is private, of a file, and not writable: the pages are read from the file again.
        unsafe {
            libc::madvise(
                std::ptr::with_exposed_provenance_mut(first),
                end - first,
                libc::MADV_DONTNEED,
            )
        };
    }
}

/// The addresses of a mapping of code from a file, in a line as of proc_pid_maps(5).
fn code(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_whitespace();
    let (addresses, rights) = (words.next()?, words.next()?);
    let path = words.nth(3)?;
    let (first, end) = addresses.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    (rights == "r-xp" && path.starts_with('/'))
        .then_some(())
        .and(number(first).zip(number(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_what_is_executable_and_from_a_file() {
        let line = "5000-6000 r-xp 00001000 08:01 1234    /usr/bin/clonebox";
        assert_eq!(code(line), Some((0x5000, 0x6000)));
        for other in [
            "5000-6000 r--p 00001000 08:01 1234    /usr/bin/clonebox",
            "5000-6000 rw-p 00001000 08:01 1234    /usr/bin/clonebox",
            "5000-6000 r-xp 00000000 00:00 0    [vdso]",
            "5000-6000 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(code(other), None, "{other}");
        }
        give_up_code();
    }
}
