// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files of words, in TOML: the options of a box without their dashes. A profile is such a file that is part of
//! this program.
//!
//! What a file says stands in the place of the word that names it, so that later words win.

use std::fmt::{Display, Write as _};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_writer::{TomlStringBuilder, TomlWrite as _};

use crate::args::{Known, Takes};
use crate::mounts::is_mount;
use crate::typed::{Place, Word};
use crate::usage::UsageError;
use crate::{profile, suggest};

/// What a file says of an option.
#[derive(Debug)]
pub(crate) enum Said {
    /// It is given.
    On { word: Word, repeats: bool },
    /// What was said of it before does not count.
    Off { option: &'static str },
}

/// Bytes of a file that are read. Our own limit.
const MOST: u64 = 1 << 20;

/// The key of mounts whose order counts: `mounts = [{ tmpfs = "/a" }, { volume = "b:/a/b" }]`.
const MOUNTS: &str = "mounts";

/// What a profile or a file says that a word names.
pub(crate) fn words(word: &Word, known: &[Known]) -> Result<Vec<Said>, UsageError> {
    let name = word.value.as_deref().unwrap_or_default();
    let origin = word.origin();
    let wrong = |reason: &dyn Display| UsageError::new(format!("{origin}: {reason}"));
    if word.option == "--profile" {
        let text = profile::text(name).map_err(|reason| wrong(&reason))?;
        return read(&format!("profile {name}"), text, known);
    }
    let text = load(name).map_err(|error| wrong(&error))?;
    read(&name.escape_default().to_string(), &text, known)
}

fn load(path: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST {
        let reason = format!("the file has more than {MOST} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(text)
}

/// Reads a text; its name is for messages.
pub(crate) fn read(name: &str, text: &str, known: &[Known]) -> Result<Vec<Said>, UsageError> {
    let mut reader = Reader {
        file: name.into(),
        text,
        known,
        said: Vec::new(),
    };
    match DeTable::parse(text) {
        Ok(table) => reader.table(table.get_ref())?,
        Err(error) => {
            let span = error.span().unwrap_or_default();
            return Err(reader.wrong(span.start, &printable(error.message())));
        }
    }
    Ok(reader.said)
}

struct Reader<'a> {
    file: Rc<str>,
    text: &'a str,
    known: &'a [Known],
    said: Vec<Said>,
}

type Checked = Result<(), UsageError>;

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }

    fn wrong(&self, at: usize, reason: &dyn Display) -> UsageError {
        UsageError::new(format!("{}:{}: {reason}", self.file, self.line(at)))
    }

    /// The keys in the order in which they are written.
    fn table(&mut self, table: &DeTable<'_>) -> Checked {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            match (key.get_ref().as_ref(), value.get_ref()) {
                (MOUNTS, DeValue::Array(mounts)) => self.mounts(mounts)?,
                (name, _) => self.key(name, key.span().start, value)?,
            }
        }
        Ok(())
    }

    fn mounts<'i>(&mut self, mounts: &(impl AsRef<[Spanned<DeValue<'i>>]> + ?Sized)) -> Checked {
        for mount in mounts.as_ref() {
            let start = mount.span().start;
            let one = match mount.get_ref() {
                DeValue::Table(table) if table.len() == 1 => table.iter().next(),
                _ => None,
            };
            let Some((key, value)) = one else {
                return Err(self.wrong(start, &"expected one mount, as in { tmpfs = \"/tmp\" }"));
            };
            let name = key.get_ref().as_ref();
            if !is_mount(&format!("--{name}")) {
                let name = printable(name);
                return Err(self.wrong(start, &format!("{name} is no mount")));
            }
            self.key(name, start, value)?;
        }
        Ok(())
    }

    fn key(&mut self, name: &str, start: usize, value: &Spanned<DeValue<'_>>) -> Checked {
        let option = format!("--{name}");
        let known = self.known;
        let Some(option) = known.iter().find(|known| known.long == option) else {
            let reason = suggest::unknown_key(&printable(name), &option, known);
            return Err(self.wrong(start, &reason));
        };
        match value.get_ref() {
            DeValue::Array(values) if option.repeats => {
                for value in values.iter() {
                    self.value(option, value)?;
                }
                Ok(())
            }
            _ => self.value(option, value),
        }
    }

    fn value(&mut self, option: &Known, value: &Spanned<DeValue<'_>>) -> Checked {
        let span = value.span();
        let text = match (option.takes, value.get_ref()) {
            (_, DeValue::Boolean(false)) => {
                let option = option.long;
                self.said.push(Said::Off { option });
                return Ok(());
            }
            (Takes::Nothing, DeValue::Boolean(true)) => None,
            (Takes::Optionally(default), DeValue::Boolean(true)) => Some(default),
            (Takes::Nothing, _) => return Err(self.expected(option, span, "true or false")),
            (_, DeValue::String(text)) if !text.contains('\0') => Some(text.as_ref()),
            (_, DeValue::String(_)) => {
                return Err(self.expected(option, span, "a text without a NUL byte"));
            }
            (_, DeValue::Integer(number)) if number.radix() == 10 => Some(number.as_str()),
            (_, DeValue::Float(number)) => Some(number.as_str()),
            (_, DeValue::Integer(_)) => {
                return Err(self.expected(option, span, "a decimal number, or a text in quotes"));
            }
            _ if option.repeats => {
                return Err(self.expected(option, span, "a text, or a list of texts"));
            }
            _ => return Err(self.expected(option, span, "one text or number, or false")),
        };
        let word = Word {
            option: option.long,
            value: text.map(str::to_owned),
            place: Some(Place {
                file: Rc::clone(&self.file),
                line: self.line(span.start),
                text: self.shown(option, span),
            }),
        };
        if option.long == "--config" {
            let reason = "a file of words names no other; give --config more than once";
            return Err(UsageError::new(format!("{}: {reason}", word.origin())));
        }
        if option.long == "--profile" {
            self.said.extend(words(&word, self.known)?);
            return Ok(());
        }
        let repeats = option.repeats;
        self.said.push(Said::On { word, repeats });
        Ok(())
    }

    /// A key with one value, as it is written.
    fn shown(&self, option: &Known, span: Range<usize>) -> String {
        let written = self.text.get(span).unwrap_or_default();
        format!("{} = {}", key_of(option.long), printable(written))
    }

    fn expected(&self, option: &Known, span: Range<usize>, what: &str) -> UsageError {
        let start = span.start;
        let reason = format!("{}: expected {what}", self.shown(option, span));
        self.wrong(start, &reason)
    }
}

/// A text that drives no terminal.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            ' '..='~' => shown.push(c),
            _ => shown.extend(c.escape_default()),
        }
    }
    shown
}

/// An option as a key.
fn key_of(option: &str) -> &str {
    option.trim_start_matches('-')
}

/// Words as a text that [`read`] reads.
pub(crate) fn write(words: &[Word]) -> String {
    let (mounts, others): (Vec<_>, Vec<_>) = words.iter().partition(|word| is_mount(word.option));
    let mut text = grouped(&others);
    let sorted = groups(&mounts).concat();
    if sorted == mounts {
        text += &grouped(&mounts);
    } else {
        let mounts = mounts
            .iter()
            .map(|word| format!("    {{ {} = {} }},\n", key_of(word.option), value(word)));
        // Writing to a String does not fail.
        let _ = write!(text, "{MOUNTS} = [\n{}]\n", mounts.collect::<String>());
    }
    text
}

/// The words of each option together, in the order in which options come first.
fn groups<'a>(words: &[&'a Word]) -> Vec<Vec<&'a Word>> {
    let mut groups: Vec<Vec<&Word>> = Vec::new();
    for word in words {
        let same = |group: &&mut Vec<&Word>| group[0].option == word.option;
        match groups.iter_mut().find(same) {
            Some(group) => group.push(word),
            None => groups.push(vec![word]),
        }
    }
    groups
}

fn grouped(words: &[&Word]) -> String {
    let mut text = String::new();
    for group in groups(words) {
        let key = key_of(group[0].option);
        let values: Vec<String> = group.iter().map(|word| value(word)).collect();
        // Writing to a String does not fail.
        let _ = match values.as_slice() {
            [value] => writeln!(text, "{key} = {value}"),
            _ => writeln!(text, "{key} = [\n    {},\n]", values.join(",\n    ")),
        };
    }
    text
}

fn value(word: &Word) -> String {
    let Some(value) = &word.value else {
        return "true".to_owned();
    };
    let number = value.parse::<i64>().map(|number| number.to_string());
    if number.as_ref() == Ok(value) {
        return value.clone();
    }
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = text.value(TomlStringBuilder::new(value).as_basic());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, known};

    fn said(text: &str) -> Result<Vec<Word>, String> {
        let said = read("box.toml", text, &known::<Args>()).map_err(|error| error.to_string())?;
        let on = said.into_iter().filter_map(|said| match said {
            Said::On { word, .. } => Some(word),
            Said::Off { .. } => None,
        });
        Ok(on.collect())
    }

    fn pieces(text: &str) -> Vec<String> {
        let words = said(text).unwrap();
        words
            .iter()
            .flat_map(Word::pieces)
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn keys_are_options_in_the_order_of_the_file() {
        let text = "read-only = true\nnet = 'none'\ntmpfs = ['/b', '/a']\ncpus = 0.5\npids-limit = 64\ndetach = true\n";
        let expected =
            "--read-only --net none --tmpfs /b --tmpfs /a --cpus 0.5 --pids-limit 64 --detach kept";
        assert_eq!(pieces(text).join(" "), expected);
        assert_eq!(pieces("init = false\nmemory = false\ntmpfs = []"), [""; 0]);
        let text = "mounts = [{ tmpfs = '/a' }, { volume = 'b:/a/b' }, { tmpfs = '/a/c' }]";
        assert_eq!(
            pieces(text).join(" "),
            "--tmpfs /a --volume b:/a/b --tmpfs /a/c"
        );
    }

    #[test]
    fn what_is_wrong_names_the_line_and_the_key() {
        for (text, expected) in [
            (
                "\nnett = 'none'",
                "box.toml:2: there is no word nett; did you mean net?",
            ),
            (
                "net = true",
                "box.toml:1: net = true: expected one text or number, or false",
            ),
            (
                "net = ['none']",
                "box.toml:1: net = ['none']: expected one text or number, or false",
            ),
            (
                "init = 'yes'",
                "box.toml:1: init = 'yes': expected true or false",
            ),
            (
                "umask = 0o22",
                "box.toml:1: umask = 0o22: expected a decimal number, or a text in quotes",
            ),
            (
                "name = \"a\\u0000\"",
                "box.toml:1: name = \"a\\u0000\": expected a text without a NUL byte",
            ),
            (
                "tmpfs = [\n'/a',\n1979-05-27]",
                "box.toml:3: tmpfs = 1979-05-27: expected a text, or a list of texts",
            ),
            (
                "config = 'a'",
                "box.toml:1: config = 'a': a file of words names no other; give --config more than once",
            ),
            (
                "profile = 'untrustd'",
                "box.toml:1: profile = 'untrustd': there is no profile untrustd; did you mean untrusted?",
            ),
            ("mounts = [{ init = true }]", "box.toml:1: init is no mount"),
            (
                "mounts = ['/a']",
                "box.toml:1: expected one mount, as in { tmpfs = \"/tmp\" }",
            ),
        ] {
            assert_eq!(said(text).unwrap_err(), expected);
        }
        let error = said("net = none\n").unwrap_err();
        assert!(error.starts_with("box.toml:1: "), "{error}");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let all = "read-only = true\nnet = \"none\"\npids-limit = 64\nenv = [\n    \"A=\\\"\\n\",\n    \"B=1\",\n]\n\
                   tmpfs = \"/a\"\n";
        assert_eq!(write(&said(all).unwrap()), all);
        let mixed = "mounts = [\n    { tmpfs = \"/a\" },\n    { volume = \"b:/a/b\" },\n    { tmpfs = \"/a/c\" },\n]\n";
        assert_eq!(write(&said(mixed).unwrap()), mixed);
    }
}
