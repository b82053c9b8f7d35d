// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of a box: options with their values, and where each stands.

use std::fmt::Display;
use std::ops::Deref;
use std::rc::Rc;

use clonebox::{Origin, Setting};

use crate::args::Args;
use crate::usage::UsageError;

/// An option, and its value if it takes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// With its two dashes.
    pub(crate) option: &'static str,
    pub(crate) value: Option<String>,
    /// Where it stands, if that is no command line.
    pub(crate) place: Option<Place>,
}

/// A place in a file of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file, or `profile` and its name.
    pub(crate) file: Rc<str>,
    /// From 1 on.
    pub(crate) line: usize,
    /// What stands there: `net = "none"`.
    pub(crate) text: String,
}

impl Word {
    /// As argh takes it: a long option, and its value if it takes one.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &str> {
        [Some(self.option), self.value.as_deref()]
            .into_iter()
            .flatten()
    }

    /// The same in the asker's words.
    pub(crate) fn origin(&self) -> Origin {
        match &self.place {
            Some(Place { file, line, text }) => Origin::text(format!("{file}:{line}: {text}")),
            None => typed(self.option, self.value.as_deref()),
        }
    }
}

fn typed(option: &str, value: Option<&str>) -> Origin {
    Origin::text(match value {
        Some(value) => format!("{option} {}", value.escape_default()),
        None => option.to_owned(),
    })
}

/// The options as argh has read them, and the words that they were read from.
#[derive(Debug)]
pub(crate) struct Typed {
    args: Args,
    words: Vec<Word>,
}

impl Deref for Typed {
    type Target = Args;

    fn deref(&self) -> &Args {
        &self.args
    }
}

impl Typed {
    pub(crate) fn parse(words: Vec<Word>) -> Result<Self, UsageError> {
        let pieces: Vec<&str> = words.iter().flat_map(Word::pieces).collect();
        let args = Args::parse(&pieces)?;
        Ok(Self { args, words })
    }

    pub(crate) fn words(&self) -> &[Word] {
        &self.words
    }

    /// Who asked for an option with this value, or for a switch.
    pub(crate) fn origin(&self, option: &str, value: Option<&str>) -> Origin {
        let mut words = self.words.iter();
        let word = words.find(|word| word.option == option && word.value.as_deref() == value);
        word.map_or_else(|| typed(option, value), Word::origin)
    }

    /// Who asked for a switch, if that is on.
    pub(crate) fn switch(&self, option: &str, on: bool) -> Option<Origin> {
        on.then(|| self.origin(option, None))
    }

    /// Reads an option's value, if there is one, and remembers who asked for it.
    pub(crate) fn optional<T, E: Display>(
        &self,
        option: &str,
        word: Option<&str>,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<Setting<T>>, UsageError> {
        word.map(|word| self.one(option, word, &read)).transpose()
    }

    pub(crate) fn repeated<T, E: Display>(
        &self,
        option: &str,
        words: &[String],
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<Setting<T>>, UsageError> {
        let one = |word: &String| self.one(option, word, &read);
        words.iter().map(one).collect()
    }

    pub(crate) fn one<T, E: Display>(
        &self,
        option: &str,
        word: &str,
        read: &impl Fn(&str) -> Result<T, E>,
    ) -> Result<Setting<T>, UsageError> {
        setting(self.origin(option, Some(word)), word, read)
    }
}

/// The value of an option of a subcommand.
pub(crate) fn optional<T, E: Display>(
    option: &str,
    word: Option<&str>,
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<Setting<T>>, UsageError> {
    let one = |word| setting(typed(option, Some(word)), word, &read);
    word.map(one).transpose()
}

/// A value that is read from a word.
pub(crate) fn setting<T, E: Display>(
    origin: Origin,
    word: &str,
    read: &impl Fn(&str) -> Result<T, E>,
) -> Result<Setting<T>, UsageError> {
    match read(word) {
        Ok(value) => Ok(Setting::new(value, origin)),
        Err(error) => Err(UsageError::new(format!("{origin}: {error}"))),
    }
}
