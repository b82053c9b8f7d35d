// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the words of the command line to options for argh and the command.
//!
//! argh takes no `--option=value`, no optional value and no bytes that are not UTF-8. The command's
//! words are bytes: so they are split off first.

use std::cell::LazyCell;
use std::ffi::OsString;
use std::iter::Peekable;
use std::rc::Rc;

use crate::args::{Args, Known, Takes, known};
use crate::config::{self, Said};
use crate::suggest;
use crate::typed::Word;
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
        /// The options, with those of profiles and files in the place of their words.
        options: Vec<Word>,
        /// The command: a program and its arguments.
        command: Vec<OsString>,
    },
}

/// Options that say the same thing in other words.
const ALTERNATIVES: [&[&str]; 2] = [
    &["--rootfs", "--rootfs-overlay"],
    &["--cpu-weight", "--cpu-shares"],
];

/// Splits the words at the command, which begins after `--` or with the first word that is no option.
pub(crate) fn read(words: impl Iterator<Item = OsString>) -> Result<Request, UsageError> {
    let mut words = words.peekable();
    let mut options = Options::new("clonebox", known::<Args>);
    while let Some(word) = words.next_if(is_option) {
        if word == "--" {
            break;
        }
        match word.to_str() {
            Some("--help" | "-h") => return Ok(Request::Help),
            Some("--version" | "-V") => return Ok(Request::Version),
            _ => options.read(word, &mut words)?,
        }
        options.replace_files()?;
    }
    Ok(Request::Run {
        options: options.into_words(),
        command: words.collect(),
    })
}

/// What there has to be.
pub(crate) fn no_command() -> UsageError {
    UsageError::new("no command: try `clonebox -- /bin/sh`, or `clonebox --help`")
}

/// Options that are read one after the other.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    /// What they are options of, as it is typed.
    command: &'a str,
    /// A start without an option does not have them made.
    known: LazyCell<Vec<Known>>,
    found: Vec<Word>,
}

impl<'a> Options<'a> {
    pub(crate) fn new(command: &'a str, known: fn() -> Vec<Known>) -> Self {
        Self {
            command,
            known: LazyCell::new(known),
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
        let (option, name, value) = find(&self.known, &word)
            .ok_or_else(|| UsageError::new(suggest::unknown(self.command, &word, &self.known)))?;
        let value = match (option.takes, value.as_deref()) {
            (Takes::Nothing, None) => None,
            // As in docker. What a profile turns on can be turned off.
            (Takes::Nothing, Some("true")) => None,
            (Takes::Nothing, Some("false")) => {
                self.take_back(option.long);
                return Ok(());
            }
            (Takes::Nothing, Some(_)) => {
                return Err(UsageError::new(format!(
                    "{name} takes no value but true or false"
                )));
            }
            (_, Some(value)) => Some(value.to_owned()),
            (Takes::Optionally(default), None) => Some(default.to_owned()),
            (Takes::Value, None) => match words.next() {
                Some(value) => Some(utf8(value)?),
                None => return Err(UsageError::new(format!("{name} needs a value"))),
            },
        };
        self.push(
            Word {
                option: option.long,
                value,
                place: None,
            },
            option.repeats,
        );
        Ok(())
    }

    /// As in docker, the last word counts unless all do: a script may append to a command line.
    fn push(&mut self, word: Word, repeats: bool) {
        if !repeats {
            self.take_back(word.option);
        }
        let file = |word: &Word| word.place.as_ref().map(|place| Rc::clone(&place.file));
        // Who types another word for what a file has said means to change it.
        let others = ALTERNATIVES.iter().find(|all| all.contains(&&*word.option));
        for other in others.into_iter().flat_map(|all| all.iter()) {
            let here = file(&word);
            self.found.retain(|earlier| {
                earlier.option != *other || earlier.place.is_none() || file(earlier) == here
            });
        }
        self.found.push(word);
    }

    fn take_back(&mut self, option: &str) {
        self.found.retain(|earlier| earlier.option != option);
    }

    /// Puts what a profile or a file says in the place of its word, which is the last.
    fn replace_files(&mut self) -> Result<(), UsageError> {
        let is_file = |word: &mut Word| matches!(word.option, "--profile" | "--config");
        let Some(word) = self.found.pop_if(is_file) else {
            return Ok(());
        };
        for said in config::words(&word, &self.known)? {
            match said {
                Said::On { word, repeats } => self.push(word, repeats),
                Said::Off { option } => self.take_back(option),
            }
        }
        Ok(())
    }

    pub(crate) fn into_words(self) -> Vec<Word> {
        self.found
    }
}

pub(crate) fn is_option(word: &OsString) -> bool {
    let bytes = word.as_encoded_bytes();
    bytes.starts_with(b"-") && bytes.len() > 1
}

/// The option that a word is, the name that it was given, and the value if that is in the word:
/// `--workdir=/tmp`, `-w=/tmp`, `-w/tmp`.
fn find<'a>(known: &[Known], word: &'a str) -> Option<(Known, &'a str, Option<String>)> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    if let Some(option) = known.iter().find(|option| option.long == name) {
        return Some((*option, name, value.map(str::to_owned)));
    }
    let letter = word.strip_prefix('-')?.chars().next()?;
    let option = known.iter().find(|option| option.short == Some(letter))?;
    let (name, rest) = word.split_at(2);
    let value = rest.strip_prefix('=').unwrap_or(rest);
    let value = (!rest.is_empty()).then(|| value.to_owned());
    Some((*option, name, value))
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

    /// The long options, each followed by its value if it takes one, and the command.
    fn pieces(words: &[&str]) -> (Vec<String>, Vec<OsString>) {
        match split(words) {
            Ok(Request::Run { options, command }) => {
                let pieces = options.iter().flat_map(Word::pieces);
                (pieces.map(str::to_owned).collect(), command)
            }
            other => panic!("{other:?}"),
        }
    }

    fn run(options: &[&str], command: &[&str]) -> (Vec<String>, Vec<OsString>) {
        let options = options.iter().map(ToString::to_string).collect();
        (options, command.iter().map(OsString::from).collect())
    }

    #[test]
    fn the_command_begins_after_two_dashes_or_with_the_first_word_that_is_no_option() {
        assert_eq!(
            pieces(&["--name", "x", "--", "-c"]),
            run(&["--name", "x"], &["-c"])
        );
        assert_eq!(
            pieces(&["--init", "sh", "--name"]),
            run(&["--init"], &["sh", "--name"])
        );
        assert_eq!(
            pieces(&["-w", "--", "sh"]),
            run(&["--workdir", "--"], &["sh"])
        );
    }

    #[test]
    fn values_stand_in_the_next_word_or_after_an_equals_sign() {
        assert_eq!(pieces(&["--name=x", "sh"]), run(&["--name", "x"], &["sh"]));
        assert_eq!(
            pieces(&["-e", "A=1", "-e=B=2", "sh"]),
            run(&["--env", "A=1", "--env", "B=2"], &["sh"])
        );
        assert_eq!(
            pieces(&["--explain", "sh"]),
            run(&["--explain", "text"], &["sh"])
        );
        assert_eq!(
            pieces(&["--explain=json", "sh"]),
            run(&["--explain", "json"], &["sh"])
        );
        assert_eq!(split(&["--init=true", "sh"]), split(&["--init", "sh"]));
        assert_eq!(pieces(&["--init", "--init=false", "sh"]), run(&[], &["sh"]));
        assert!(split(&["--init=yes", "sh"]).is_err());
        assert!(split(&["--name"]).is_err());
    }

    #[test]
    fn the_last_value_counts_unless_all_do() {
        assert_eq!(
            pieces(&["--name=a", "--init", "--init", "--name=b", "sh"]),
            run(&["--init", "--name", "b"], &["sh"])
        );
        assert_eq!(
            pieces(&["-e", "A", "-e", "B", "sh"]),
            run(&["--env", "A", "--env", "B"], &["sh"])
        );
    }

    #[test]
    fn a_profile_stands_in_the_place_of_its_word_and_later_words_win() {
        let (options, _) = pieces(&["--net", "host", "--profile", "shell", "--seccomp=off", "sh"]);
        let text = options.join(" ");
        let expected = "--net host --init --ipc private --cgroupns private --seccomp off";
        assert_eq!(text, expected);
        let (options, _) = pieces(&[
            "--profile=build",
            "--rootfs-overlay=/srv",
            "--init=false",
            "sh",
        ]);
        assert!(!options.contains(&"--rootfs".to_owned()), "{options:?}");
        assert!(!options.contains(&"--init".to_owned()), "{options:?}");
        // Two words on the command line are a mistake that is reported elsewhere.
        let both = ["--rootfs", "/a", "--rootfs-overlay", "/b"];
        assert_eq!(pieces(&[&both[..], &["sh"]].concat()), run(&both, &["sh"]));
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
        assert_eq!(pieces(&["ls", "--help"]), run(&[], &["ls", "--help"]));
    }
}
