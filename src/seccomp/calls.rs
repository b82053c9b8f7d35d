// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls by name. The table is made from the kernel's headers: `calls.sh`.

use crate::Arch;

const TABLE: &str = include_str!("calls.tsv");

fn rows() -> impl Iterator<Item = &'static str> {
    TABLE.lines().filter(|line| !line.starts_with('#'))
}

/// Every call of an architecture: its name and number, sorted by name.
pub fn calls(arch: Arch) -> impl Iterator<Item = (&'static str, u32)> {
    rows().filter_map(move |row| {
        let number = row.split('\t').nth(arch.column())?.parse().ok()?;
        Some((row.split('\t').next()?, number))
    })
}

/// The number of a call; `None` if the architecture has none of that name.
pub fn number(arch: Arch, name: &str) -> Option<u32> {
    calls(arch)
        .find(|(known, _)| *known == name)
        .map(|(_, number)| number)
}

/// Whether there is a call of that name on any of the architectures.
pub fn is_known(name: &str) -> bool {
    rows().any(|row| row.split('\t').next() == Some(name))
}

/// The call whose name is nearest by a measure, if that is at most `limit`.
pub fn nearest(measure: impl Fn(&str) -> usize, limit: usize) -> Option<&'static str> {
    rows()
        .filter_map(|row| row.split('\t').next())
        .map(|name| (measure(name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_of_the_headers() {
        for (arch, name, expected) in [
            (Arch::X86_64, "read", Some(0)),
            (Arch::X86_64, "clone3", Some(435)),
            (Arch::Aarch64, "read", Some(63)),
            (Arch::Aarch64, "open", None),
            (Arch::X86, "socketcall", Some(102)),
            (Arch::Arm, "set_tls", Some(0x000f_0005)),
        ] {
            assert_eq!(number(arch, name), expected, "{name} of {arch:?}");
        }
        assert!(is_known("open") && !is_known("opne") && !is_known("#"));
    }

    #[test]
    fn no_number_stands_for_two_names() {
        for arch in [Arch::X86_64, Arch::Aarch64, Arch::X86, Arch::Arm] {
            let mut numbers: Vec<u32> = calls(arch).map(|(_, number)| number).collect();
            let count = numbers.len();
            assert!(count > 300, "{arch:?}: {count}");
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count, "{arch:?}");
        }
    }
}
