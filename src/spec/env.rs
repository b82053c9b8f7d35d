// SPDX-License-Identifier: MIT OR Apache-2.0
//! The environment, and files of it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use super::{Origin, Setting};

/// The environment: the caller's, or none, and changes to it in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// Whether the caller's environment is left out.
    pub clear: Option<Origin>,
    /// Variables to set (`Some`) or to leave out (`None`); the last word on a name counts.
    pub changes: Vec<Setting<(OsString, Option<OsString>)>>,
}

/// What is wrong with an environment file, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFileError {
    /// The line, counted from 1.
    pub line: usize,
    reason: &'static str,
}

impl fmt::Display for EnvFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for EnvFileError {}

/// Reads an environment file as docker does: `NAME=value` lines, taken to the letter (no quotes, no
/// escapes, no expansion); `NAME` alone takes the caller's value, if there is one; empty lines and
/// lines that begin with `#` are left out; white space before a name is ignored.
///
/// # Errors
///
/// The first line that is not of this form.
pub fn parse_env_file(bytes: &[u8]) -> Result<Vec<(OsString, Option<OsString>)>, EnvFileError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut variables = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let error = |reason| EnvFileError {
            line: index + 1,
            reason,
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if line.contains(&0) {
            return Err(error("a NUL byte cannot be in an environment"));
        }
        let (name, value) = match line.iter().position(|&byte| byte == b'=') {
            Some(at) => (
                &line[..at],
                Some(OsStr::from_bytes(&line[at + 1..]).to_owned()),
            ),
            None => (line, None),
        };
        if name.is_empty() {
            return Err(error("the name before the = is missing"));
        }
        if name.iter().any(u8::is_ascii_whitespace) {
            return Err(error("a name has no white space (write NAME=value)"));
        }
        variables.push((OsStr::from_bytes(name).to_owned(), value));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(OsString, Option<OsString>)>, EnvFileError> {
        parse_env_file(text.as_bytes())
    }

    #[test]
    fn values_are_taken_to_the_letter() {
        let variables = parse("# note\n\n  A=1 2 \"3\"\r\nB=\nC=x=y\nD\n").unwrap();
        let pair = |name: &str, value: Option<&str>| (name.into(), value.map(Into::into));
        assert_eq!(
            variables,
            [
                pair("A", Some("1 2 \"3\"")),
                pair("B", Some("")),
                pair("C", Some("x=y")),
                pair("D", None)
            ]
        );
    }

    #[test]
    fn an_error_names_the_line() {
        assert_eq!(
            parse("A=1\n=x").unwrap_err().to_string(),
            "line 2: the name before the = is missing"
        );
        assert_eq!(parse("\n\nexport A=1").unwrap_err().line, 3);
        assert_eq!(parse("A=\0").unwrap_err().line, 1);
    }
}
