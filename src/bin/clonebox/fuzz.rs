// SPDX-License-Identifier: MIT OR Apache-2.0
//! What holds for every command line, whoever types it: it is read, or refused with a reason that drives no
//! terminal. proptest makes lines up, and so does a fuzzer: `fuzz/run command_line`.

use std::ffi::{OsStr, OsString};

use crate::args::{Args, Known, Takes, known};
use crate::choices::Choices;
use crate::usage::UsageError;
use crate::words::{self, Request};
use crate::{commands, convert, mounts};

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
const OPENED: [&str; 2] = ["--env-file", "--file"];

/// A word that is an option, or not quite.
fn option(known: &[Known], choices: &mut Choices<'_>) -> (OsString, Option<OsString>) {
    let option = &known[choices.below(known.len())];
    let name = match option.short {
        Some(short) if choices.yes() => format!("-{short}"),
        _ => option.long.clone(),
    };
    if choices.rarely(16) {
        return (choices.os_text(&["-", "--", &name, "="]), None);
    }
    let value = if OPENED.contains(&option.long.as_str()) {
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
    let first = options.first().map_or("--explain", String::as_str);
    assert!(known.iter().any(|known| known.long == first), "{options:?}");
    if !options.contains(&"--explain".to_owned()) {
        return;
    }
    let mounts = match mounts::in_order(&options) {
        Ok(mounts) => mounts,
        Err(error) => return assert_harmless(&error, &words),
    };
    let options = Args::parse(&options).and_then(|args| convert::options(args, rest));
    match options {
        Ok(mut options) => {
            options.spec.mounts = mounts;
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
libfuzzer_sys::fuzz_target!(|data: &[u8]| any_command_line_is_read_or_refused(data));

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::any;
    use proptest::test_runner::{Config, TestRunner};

    #[test]
    fn any_command_line_is_read_or_refused_with_a_reason() {
        let config = Config {
            failure_persistence: None,
            ..Config::default()
        };
        let tried = TestRunner::new(config).run(&vec(any::<u8>(), 0..512), |data| {
            any_command_line_is_read_or_refused(&data);
            Ok(())
        });
        tried.unwrap();
    }
}
