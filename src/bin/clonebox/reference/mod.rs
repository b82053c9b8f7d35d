// SPDX-License-Identifier: MIT OR Apache-2.0
//! What there is, as data: options and subcommands. Manual page, topics of `clonebox help` and completions are
//! made of it, and it is made of `args.rs` (which options there are), `help.rs` (their order on the page),
//! `texts.rs` (what they do at length), and the pages of the subcommands.

pub(crate) mod bash;
pub(crate) mod fish;
pub(crate) mod man;
mod texts;
pub(crate) mod topic;
pub(crate) mod zsh;

use argh::ArgsInfo;

use crate::args::{Args, Known, Takes, known};
use crate::commands;
use crate::help;

/// An option.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// With its two dashes.
    pub(crate) long: &'static str,
    /// The letter after one dash.
    pub(crate) short: Option<char>,
    pub(crate) takes: Takes,
    /// Whether every value counts.
    pub(crate) repeats: bool,
    /// What stands for its value.
    pub(crate) value: String,
    /// A few words.
    pub(crate) label: String,
    /// Sentences.
    pub(crate) text: String,
}

/// What completes a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Completion<'a> {
    /// One of these.
    Words(Vec<&'a str>),
    Directory,
    /// Any path.
    File,
    Nothing,
}

impl Entry {
    /// What completes its value, as the word that stands for it tells.
    pub(crate) fn completion(&self) -> Completion<'_> {
        let word = self.value.split(['[', ':']).next().unwrap_or_default();
        match word {
            "" => Completion::Nothing,
            "DIR" => Completion::Directory,
            "FILE" | "SRC" | "DEVICE" => Completion::File,
            word if word.starts_with(|first: char| first.is_ascii_lowercase()) => {
                Completion::Words(word.split('|').collect())
            }
            _ => Completion::Nothing,
        }
    }

    /// As it is typed: `-e, --env NAME[=VALUE]`.
    fn usage(&self) -> String {
        let short = self.short.map(|short| format!("-{short}, "));
        let value = match self.takes {
            Takes::Nothing => String::new(),
            Takes::Value => format!(" {}", self.value),
            Takes::Optionally(_) => format!("[={}]", self.value),
        };
        format!("{}{}{value}", short.unwrap_or_default(), self.long)
    }
}

/// The options of a box, in the order of `args.rs`.
pub(crate) fn options() -> Vec<Entry> {
    let info = Args::get_args_info();
    let entry = |known: Known| {
        let flag = info.flags.iter().find(|flag| flag.long == known.long);
        let label = flag.map_or("", |flag| flag.description);
        let text = texts::find(known.long);
        Entry {
            value: match (&known.takes, text) {
                (_, Some(text)) => text.value.to_owned(),
                (Takes::Nothing, None) => String::new(),
                (_, None) => "VALUE".to_owned(),
            },
            label: label.to_owned(),
            text: text.map_or_else(|| format!("Sets: {label}."), |text| text.text.to_owned()),
            long: known.long,
            short: known.short,
            takes: known.takes,
            repeats: known.repeats,
        }
    };
    let fixed = [
        ("--help", 'h', "prints one screen of help"),
        ("--version", 'V', "prints the version"),
    ];
    let fixed = fixed.map(|(long, short, label)| Entry {
        long,
        short: Some(short),
        takes: Takes::Nothing,
        repeats: false,
        value: String::new(),
        label: label.to_owned(),
        text: format!("P{}.", &label[1..]),
    });
    known::<Args>()
        .into_iter()
        .map(entry)
        .chain(fixed)
        .collect()
}

/// The options by the headings of `clonebox --help`, in its order.
pub(crate) fn sections() -> Vec<(&'static str, Vec<Entry>)> {
    let mut left = options();
    let mut sections: Vec<(&str, Vec<Entry>)> = Vec::new();
    for line in help::TEXT.lines() {
        let is_heading = line.len() < 20 && line.chars().all(|c| c.is_ascii_alphabetic());
        if is_heading && !line.is_empty() {
            sections.push((line, Vec::new()));
            continue;
        }
        let Some((_, entries)) = sections.last_mut() else {
            continue;
        };
        for word in line.split(|c: char| c.is_whitespace() || "=[],():".contains(c)) {
            if let Some(at) = left.iter().position(|entry| entry.long == word) {
                entries.push(left.remove(at));
            }
        }
    }
    if !left.is_empty() {
        sections.push(("Others", left));
    }
    sections
}

/// A subcommand.
#[derive(Debug)]
pub(crate) struct Subcommand {
    pub(crate) name: &'static str,
    /// What it does: a sentence.
    pub(crate) summary: &'static str,
    /// Its whole page.
    pub(crate) page: &'static str,
    /// Its options, as the page has them: the words, and what stands behind.
    pub(crate) options: Vec<(Vec<&'static str>, &'static str)>,
}

/// All subcommands.
pub(crate) fn subcommands() -> Vec<Subcommand> {
    let all = commands::ALL.iter();
    all.map(|subcommand| Subcommand {
        name: subcommand.name,
        summary: subcommand.help.lines().nth(1).unwrap_or_default(),
        page: subcommand.help,
        options: subcommand.help.lines().filter_map(option_of).collect(),
    })
    .collect()
}

/// An option in a line of a page: `  -s, --signal SIG   the signal`.
fn option_of(line: &'static str) -> Option<(Vec<&'static str>, &'static str)> {
    let line = line.strip_prefix("  ")?.trim_start();
    let (typed, label) = line.split_once("  ").unwrap_or((line, ""));
    let words: Vec<&str> = typed
        .split([' ', ',', '=', '['])
        .filter(|word| word.starts_with('-') && word.len() > 1)
        .collect();
    (line.starts_with('-') && !words.is_empty()).then(|| (words, label.trim()))
}

/// A text in lines of at most so many characters, cut between words.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().filter(|line| {
            line.is_empty() || line.chars().count() + 1 + word.chars().count() <= most
        });
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => *line = format!("{line} {word}"),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_a_text_and_every_text_an_option() {
        let options = known::<Args>();
        for option in &options {
            let text = texts::find(option.long);
            let text = text.unwrap_or_else(|| panic!("{} is missing in texts.rs", option.long));
            assert_eq!(
                text.value.is_empty(),
                option.takes == Takes::Nothing,
                "{}",
                option.long
            );
            let told = text.text.contains("May be repeated") || !option.repeats;
            assert!(told, "{} may be repeated", option.long);
            assert!(text.text.ends_with('.'), "{}", option.long);
        }
        assert_eq!(
            texts::ALL.len(),
            options.len(),
            "a text has no option, or two"
        );
    }

    #[test]
    fn every_option_has_its_place_under_a_heading_of_the_help() {
        let sections = sections();
        let count: usize = sections.iter().map(|(_, entries)| entries.len()).sum();
        assert_eq!(count, options().len());
        let names: Vec<&str> = sections.iter().map(|(name, _)| *name).collect();
        assert!(
            names.contains(&"Files") && !names.contains(&"Others"),
            "{names:?}"
        );
    }

    #[test]
    fn options_of_subcommands_are_read_from_their_pages() {
        assert_eq!(
            option_of("  -s, --signal SIG   the signal (TERM)"),
            Some((vec!["-s", "--signal"], "the signal (TERM)"))
        );
        assert_eq!(
            option_of("      --json   one object"),
            Some((vec!["--json"], "one object"))
        );
        for other in ["", "Usage: x [--json]", "  a line", "  - a point", "--json"] {
            assert_eq!(option_of(other), None, "{other}");
        }
    }
}
