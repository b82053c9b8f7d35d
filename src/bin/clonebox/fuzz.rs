// SPDX-License-Identifier: MIT OR Apache-2.0
//! What holds for every command line, whoever types it: it is read, or refused with a reason that drives no
//! terminal. proptest makes lines up, and so does a fuzzer: `fuzz/run command_line`.

use std::ffi::{OsStr, OsString};

use crate::args::{Args, Known, Takes, known};
use crate::choices::Choices;
use crate::config::{self, Said};
use crate::mounts::is_mount;
use crate::typed::{Typed, Word};
use crate::usage::UsageError;
use crate::words::{self, Request};
use crate::{commands, convert};

/// Pieces of values.
const VALUES: [&str; 32] = [
    "a",
    "/",
    ":",
    ",",
    "=",
    "-",
    ".",
    "0",
    "1",
    "9",
    "64m",
    "web",
    "ALL",
    "NONE",
    "host",
    "none",
    "private",
    "auto",
    "nofile",
    "src=",
    "dst=",
    "type=",
    "ro",
    "size=",
    "1.5",
    "s",
    "ms",
    "\u{1b}[2J",
    "\u{e9}",
    "99999999999999999999",
    "monotonic=",
    "CAP_",
];
/// Options whose values are paths of the host: a made-up one is not opened.
const OPENED: [&str; 3] = ["--env-file", "--file", "--config"];

/// A word that is an option, or not quite.
fn option(known: &[Known], choices: &mut Choices<'_>) -> (OsString, Option<OsString>) {
    let option = &known[choices.below(known.len())];
    let name = match option.short {
        Some(short) if choices.yes() => format!("-{short}"),
        _ => option.long.to_owned(),
    };
    if choices.rarely(16) {
        return (choices.os_text(&["-", "--", &name, "="]), None);
    }
    let value = if OPENED.contains(&option.long) {
        "/dev/null/none".into()
    } else {
        choices.os_text(&VALUES)
    };
    match option.takes {
        Takes::Nothing => (name.into(), None),
        Takes::Value if choices.yes() => (name.into(), Some(value)),
        _ => {
            let mut word = OsString::from(name);
            word.push("=");
            word.push(value);
            (word, None)
        }
    }
}

fn line(choices: &mut Choices<'_>) -> Vec<OsString> {
    let known = known::<Args>();
    // A plan that is only printed opens no file for a report.
    let mut words: Vec<OsString> = vec!["--explain".into()];
    while !choices.is_over() && words.len() < 24 {
        let (word, value) = option(&known, choices);
        words.push(word);
        words.extend(value);
    }
    words
}

fn assert_harmless(error: &UsageError, words: &[OsString]) {
    let text = error.to_string();
    let harmless = text.chars().all(|c| !c.is_control());
    assert!(harmless && !text.is_empty(), "{text:?} of {words:?}");
}

/// What `clonebox config` prints says the same to `--config`.
fn is_written_and_read_again(words: &[Word], known: &[Known]) {
    // No word of a command line has one.
    let mut values = words.iter().filter_map(|word| word.value.as_ref());
    if values.any(|value| value.contains('\0')) {
        return;
    }
    let text = config::write(words);
    let said = config::read("box.toml", &text, known).expect("what is written can be read");
    let again = said.into_iter().map(|said| match said {
        Said::On { word, .. } => word,
        Said::Off { option } => panic!("{option} is off in {text}"),
    });
    let again: Vec<Word> = again.collect();
    assert_eq!(config::write(&again), text);
    let sorted = |words: &[Word]| {
        let pair = |word: &Word| (word.option, word.value.clone());
        let (mounts, mut others): (Vec<_>, Vec<_>) = words
            .iter()
            .map(pair)
            .partition(|(option, _)| is_mount(option));
        others.sort_by_key(|(one, _)| *one);
        (mounts, others)
    };
    assert_eq!(sorted(&again), sorted(words), "{text}");
}

/// Any bytes are a file of words, or refused.
fn any_file_is_read_or_refused(data: &[u8]) {
    let known = known::<Args>();
    let text = file(&mut Choices::new(data), &known);
    match config::read("box.toml", &text, &known) {
        Ok(said) => {
            let on = said.into_iter().filter_map(|said| match said {
                Said::On { word, .. } => Some(word),
                Said::Off { .. } => None,
            });
            let on: Vec<Word> = on.collect();
            for word in &on {
                let harmless = word.origin().to_string().chars().all(|c| !c.is_control());
                assert!(harmless, "{word:?}");
            }
            is_written_and_read_again(&on, &known);
        }
        Err(error) => assert_harmless(&error, &[text.into()]),
    }
}

/// A file of words, or not quite.
fn file(choices: &mut Choices<'_>, known: &[Known]) -> String {
    const PIECES: [&str; 24] = [
        "\n", " ", "=", "\"", "'", "[", "]", "{", "}", ",", "#", "true", "false", "1", "0.5",
        "0x1", "\"a\"", "'/a'", "\\u0000", "\u{1b}", "\u{e9}", "mounts", "profile", "\"\"\"",
    ];
    let mut text = String::new();
    while !choices.is_over() && text.len() < 4096 {
        text += known[choices.below(known.len())]
            .long
            .trim_start_matches('-');
        text += choices.pick(&[" = ", " = true", " = 'a'", " = 64", " = ['/a', '/b']", ""]);
        text += &choices.text(&PIECES);
        text += "\n";
    }
    text
}

/// Any words are read, or refused.
pub(crate) fn any_command_line_is_read_or_refused(data: &[u8]) {
    let mut words = line(&mut Choices::new(data));
    let command = [OsString::from("--"), "/bin/true".into(), "--name".into()];
    words.extend(command);
    let read = words::read(words.iter().cloned());
    let (options, rest) = match read {
        Ok(Request::Run { options, command }) => (options, command),
        Ok(Request::Help | Request::Version) => return,
        Err(error) => return assert_harmless(&error, &words),
    };
    // The command arrives as it was typed.
    assert!(words.ends_with(&rest), "{words:?} {rest:?}");
    let known = known::<Args>();
    for word in &options {
        let is_known = known.iter().any(|known| known.long == word.option);
        assert!(is_known, "{options:?}");
    }
    is_written_and_read_again(&options, &known);
    if !options.iter().any(|word| word.option == "--explain") {
        return;
    }
    let options = Typed::parse(options).and_then(|typed| convert::options(&typed, rest));
    match options {
        Ok(options) => {
            for violation in options.spec.validate() {
                let text = violation.to_string();
                assert!(
                    text.chars().all(|c| !c.is_control()),
                    "{text:?} of {words:?}"
                );
            }
        }
        Err(error) => assert_harmless(&error, &words),
    }
    // No option is taken for a subcommand.
    assert!(
        words
            .first()
            .is_none_or(|word| commands::find(OsStr::new(word)).is_none())
    );
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| match data.split_first() {
    Some((&b'#', data)) => any_file_is_read_or_refused(data),
    _ => any_command_line_is_read_or_refused(data),
});

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::any;
    use proptest::test_runner::{Config, TestRunner};

    fn holds(property: fn(&[u8])) {
        let config = Config {
            failure_persistence: None,
            ..Config::default()
        };
        let tried = TestRunner::new(config).run(&vec(any::<u8>(), 0..512), |data| {
            property(&data);
            Ok(())
        });
        tried.unwrap();
    }

    #[test]
    fn any_command_line_is_read_or_refused_with_a_reason() {
        holds(any_command_line_is_read_or_refused);
    }

    #[test]
    fn any_file_of_words_is_read_or_refused_with_a_reason() {
        holds(any_file_is_read_or_refused);
    }
}
