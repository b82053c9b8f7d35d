// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a process that stays has in memory.

use std::fs;

/// Gives up the pages of this program's code and constants: those that are still needed come back from the cache
/// that all processes share. What starts a box is most of them, and a keeper starts no other.
///
/// Only what is as in the file is given up: a mapping that cannot be written, none of whose pages are this
/// process's own, as those are that were changed at the start and made read-only then. See madvise(2).
pub(crate) fn give_up_file_pages() {
    let Ok(maps) = fs::read_to_string("/proc/self/smaps") else {
        return;
    };
    for (first, end) in of_the_file(&maps) {
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

/// The addresses of the mappings that are as in their files, in a text as of proc_pid_smaps(5).
fn of_the_file(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        if let Some(own) = line.strip_prefix("Anonymous:") {
            found.extend(mapping.take().filter(|_| own.trim() == "0 kB"));
        } else if !line
            .split(' ')
            .next()
            .is_some_and(|word| word.ends_with(':'))
        {
            mapping = read_only(line);
        }
    }
    found
}

/// The addresses of a mapping of a file that is not writable, in its first line.
fn read_only(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_whitespace();
    let (addresses, rights) = (words.next()?, words.next()?);
    let path = words.nth(3)?;
    let (first, end) = addresses.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    (matches!(rights, "r-xp" | "r--p") && path.starts_with('/'))
        .then_some(())
        .and(number(first).zip(number(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_in_its_file_is_given_up_and_nothing_else() {
        let mapping = |line: &str, own: &str| {
            format!("{line}\nRss:    8 kB\nAnonymous:   {own} kB\nLocked:  0 kB\n")
        };
        for rights in ["r-xp", "r--p"] {
            let line = format!("5000-6000 {rights} 00001000 08:01 1234    /usr/bin/clonebox");
            assert_eq!(of_the_file(&mapping(&line, "0")), [(0x5000, 0x6000)]);
            assert_eq!(of_the_file(&mapping(&line, "4")), []);
        }
        for other in [
            "5000-6000 rw-p 00001000 08:01 1234    /usr/bin/clonebox",
            "5000-6000 r--s 00001000 08:01 1234    /usr/bin/clonebox",
            "5000-6000 r-xp 00000000 00:00 0    [vdso]",
            "5000-6000 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(of_the_file(&mapping(other, "0")), [], "{other}");
        }
        give_up_file_pages();
    }
}
