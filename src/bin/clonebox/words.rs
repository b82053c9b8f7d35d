// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the words of the command line to options for argh and the command.
//!
//! argh takes no `--option=value`, no optional value and no bytes that are not UTF-8. The command's
//! words are bytes: so they are split off first.

use std::ffi::OsString;
use std::iter::Peekable;

use crate::args::{Args, Known, Takes, known};
use crate::suggest;
use crate::usage::UsageError;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// `--help`
    Help,
    /// `--version`
    Version,
    /// A box.
    Run {
        /// Long options, each followed by its value if it takes one.
        options: Vec<String>,
        /// The command: a program and its arguments.
        command: Vec<OsString>,
    },
}

/// Splits the words at the command, which begins after `--` or with the first word that is no option.
pub(crate) fn read(words: impl Iterator<Item = OsString>) -> Result<Request, UsageError> {
    let known = known::<Args>();
    let mut words = words.peekable();
    let mut options = Options::new("clonebox", &known);
    while let Some(word) = words.next_if(is_option) {
        if word == "--" {
            break;
        }
        match word.to_str() {
            Some("--help" | "-h") => return Ok(Request::Help),
            Some("--version" | "-V") => return Ok(Request::Version),
            _ => options.read(word, &mut words)?,
        }
    }
    let command: Vec<OsString> = words.collect();
    if command.is_empty() {
        return Err(UsageError::new(
            "no command: try `clonebox -- /bin/sh`, or `clonebox --help`",
        ));
    }
    let options = options.normalised();
    Ok(Request::Run { options, command })
}

/// Options that are read one after the other.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    /// What they are options of, as it is typed.
    command: &'a str,
    known: &'a [Known],
    found: Vec<(String, Option<String>)>,
}

impl<'a> Options<'a> {
    pub(crate) fn new(command: &'a str, known: &'a [Known]) -> Self {
        Self {
            command,
            known,
            found: Vec::new(),
        }
    }

    /// Reads a word that is an option, and its value, which may be the next one.
    pub(crate) fn read(
        &mut self,
        word: OsString,
        words: &mut Peekable<impl Iterator<Item = OsString>>,
    ) -> Result<(), UsageError> {
        let word = utf8(word)?;
        let (option, name, value) = find(self.known, &word)
            .ok_or_else(|| UsageError::new(suggest::unknown(self.command, &word, self.known)))?;
        let value = match (option.takes, value) {
            (Takes::Nothing, None) => None,
            (Takes::Nothing, Some(_)) => {
                return Err(UsageError::new(format!("{name} takes no value")));
            }
            (_, Some(value)) => Some(value),
            (Takes::Optionally(default), None) => Some(default.to_owned()),
            (Takes::Value, None) => match words.next() {
                Some(value) => Some(utf8(value)?),
                None => return Err(UsageError::new(format!("{name} needs a value"))),
            },
        };
        if !option.repeats {
            // As in docker, the last word counts: a script may append to a command line.
            self.found.retain(|(earlier, _)| *earlier != option.long);
        }
        self.found.push((option.long.clone(), value));
        Ok(())
    }

    /// Long options, each followed by its value if it takes one.
    pub(crate) fn normalised(self) -> Vec<String> {
        self.found
            .into_iter()
            .flat_map(|(option, value)| [Some(option), value])
            .flatten()
            .collect()
    }
}

pub(crate) fn is_option(word: &OsString) -> bool {
    let bytes = word.as_encoded_bytes();
    bytes.starts_with(b"-") && bytes.len() > 1
}

/// The option that a word is, the name that it was given, and the value if that is in the word:
/// `--workdir=/tmp`, `-w=/tmp`, `-w/tmp`.
fn find<'a, 'b>(known: &'a [Known], word: &'b str) -> Option<(&'a Known, &'b str, Option<String>)> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    if let Some(option) = known.iter().find(|option| option.long == name) {
        return Some((option, name, value.map(str::to_owned)));
    }
    let letter = word.strip_prefix('-')?.chars().next()?;
    let option = known.iter().find(|option| option.short == Some(letter))?;
    let (name, rest) = word.split_at(2);
    let value = rest.strip_prefix('=').unwrap_or(rest);
    let value = (!rest.is_empty()).then(|| value.to_owned());
    Some((option, name, value))
}

pub(crate) fn utf8(word: OsString) -> Result<String, UsageError> {
    word.into_string().map_err(|word| {
        let shown = word.as_encoded_bytes().escape_ascii();
        UsageError::new(format!(
            "the option {shown} is not UTF-8; only the command and its arguments may be any bytes"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn split(words: &[&str]) -> Result<Request, UsageError> {
        read(words.iter().map(OsString::from))
    }

    fn run(options: &[&str], command: &[&str]) -> Result<Request, UsageError> {
        let options = options.iter().map(ToString::to_string).collect();
        Ok(Request::Run {
            options,
            command: command.iter().map(OsString::from).collect(),
        })
    }

    #[test]
    fn the_command_begins_after_two_dashes_or_with_the_first_word_that_is_no_option() {
        assert_eq!(
            split(&["--name", "x", "--", "-c"]),
            run(&["--name", "x"], &["-c"])
        );
        assert_eq!(
            split(&["--init", "sh", "--name"]),
            run(&["--init"], &["sh", "--name"])
        );
        assert_eq!(
            split(&["-w", "--", "sh"]),
            run(&["--workdir", "--"], &["sh"])
        );
    }

    #[test]
    fn values_stand_in_the_next_word_or_after_an_equals_sign() {
        assert_eq!(split(&["--name=x", "sh"]), run(&["--name", "x"], &["sh"]));
        assert_eq!(
            split(&["-e", "A=1", "-e=B=2", "sh"]),
            run(&["--env", "A=1", "--env", "B=2"], &["sh"])
        );
        assert_eq!(
            split(&["--explain", "sh"]),
            run(&["--explain", "text"], &["sh"])
        );
        assert_eq!(
            split(&["--explain=json", "sh"]),
            run(&["--explain", "json"], &["sh"])
        );
        assert!(split(&["--init=yes", "sh"]).is_err());
        assert!(split(&["--name"]).is_err());
    }

    #[test]
    fn the_last_value_counts_unless_all_do() {
        assert_eq!(
            split(&["--name=a", "--init", "--init", "--name=b", "sh"]),
            run(&["--init", "--name", "b"], &["sh"])
        );
        assert_eq!(
            split(&["-e", "A", "-e", "B", "sh"]),
            run(&["--env", "A", "--env", "B"], &["sh"])
        );
    }

    #[test]
    fn the_commands_words_are_bytes_and_the_options_are_not() {
        let bytes = || OsString::from_vec(vec![0xff, b'x']);
        let words = [OsString::from("--"), bytes()];
        assert_eq!(
            read(words.into_iter()),
            Ok(Request::Run {
                options: vec![],
                command: vec![bytes()]
            })
        );
        let error = read([OsString::from("--name"), bytes()].into_iter()).unwrap_err();
        assert!(error.to_string().contains(r"\xffx"), "{error}");
    }

    #[test]
    fn help_and_version_are_asked_for_before_the_command_only() {
        assert_eq!(split(&["--help"]), Ok(Request::Help));
        assert_eq!(split(&["-V"]), Ok(Request::Version));
        assert_eq!(split(&["ls", "--help"]), run(&[], &["ls", "--help"]));
    }
}
