// SPDX-License-Identifier: MIT OR Apache-2.0
//! Topics of `clonebox help`: a heading of the help, with its options at length, or one option.

use std::fmt::Write as _;

use super::{Entry, sections, wrapped};
use crate::profile;

/// The topic that has what each profile says.
const PROFILES: &str = "profiles";

/// The page about a topic, if it is one.
pub(crate) fn page(topic: &str) -> Option<String> {
    if topic.eq_ignore_ascii_case(PROFILES) {
        return Some(profile::page());
    }
    let sections = sections();
    let all = sections.iter().flat_map(|(_, entries)| entries);
    let mut headings = sections.iter();
    if let Some((_, entries)) = headings.find(|(name, _)| name.eq_ignore_ascii_case(topic)) {
        let pages: Vec<String> = entries.iter().map(entry_page).collect();
        return Some(pages.join("\n"));
    }
    let word = topic.trim_start_matches('-');
    let is_short = |entry: &Entry| entry.short.is_some_and(|short| word == short.to_string());
    let option = all
        .filter(|_| !word.is_empty())
        .find(|entry| entry.long[2..] == *word || is_short(entry));
    option.map(entry_page)
}

/// The topics that have pages, but for the single options.
pub(crate) fn names() -> Vec<String> {
    let sections = sections();
    sections
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .chain([PROFILES.to_owned()])
        .collect()
}

fn entry_page(entry: &Entry) -> String {
    let mut page = format!("{}\n", entry.usage());
    for line in wrapped(&entry.text, 72) {
        // Writing to a String does not fail.
        let _ = writeln!(page, "      {line}");
    }
    page
}
