// SPDX-License-Identifier: MIT OR Apache-2.0
//! Profiles as text that people review. `default.profile` says what the lines mean.

use std::fmt;

use crate::policy::{Answer, Condition, Op, Profile, Section};
use crate::{ALLOW, errno, is_known};

/// What is wrong with a profile, and in which line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for ParseError {}

/// The profile of boxes that are not told otherwise.
///
/// # Errors
///
/// None: the file is a part of this crate, and a test reads it.
pub fn default_profile() -> Result<Profile, ParseError> {
    parse(include_str!("default.profile"))
}

/// Reads a profile.
///
/// # Errors
///
/// The first line that makes no sense.
pub fn parse(text: &str) -> Result<Profile, ParseError> {
    let mut profile = Profile {
        otherwise: Answer::always(errno(EPERM)),
        unknown: Answer::always(errno(ENOSYS)),
        sections: Vec::new(),
    };
    for (index, line) in text.lines().enumerate() {
        let told = read(line, &mut profile);
        told.map_err(|reason| ParseError {
            line: index + 1,
            reason,
        })?;
    }
    Ok(profile)
}

fn read(line: &str, profile: &mut Profile) -> Result<(), String> {
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(());
    }
    if line.starts_with(' ') {
        let section = profile.sections.last_mut().ok_or("no section has begun")?;
        for name in line.split_whitespace() {
            if !is_known(name) {
                return Err(format!("there is no system call {name:?}"));
            }
            section.names.push(name.to_owned());
        }
        return Ok(());
    }
    let (head, conditions) = match line.split_once(" where ") {
        Some((head, conditions)) => (head, self::conditions(conditions)?),
        None => (line, Vec::new()),
    };
    let words: Vec<&str> = head.split_whitespace().collect();
    let answer = match words[..] {
        ["otherwise", word] => {
            profile.otherwise = Answer::always(errno(errno_of(word)?));
            return Ok(());
        }
        ["unknown", word] => {
            profile.unknown = Answer::always(errno(errno_of(word)?));
            return Ok(());
        }
        ["allow"] => Answer::ALLOW,
        ["allow", "if", ref names @ ..] if conditions.is_empty() => Answer {
            word: ALLOW,
            unless: capabilities(names)?,
        },
        ["refuse", word] => Answer::always(errno(errno_of(word)?)),
        _ => return Err(format!("{line:?} begins no section")),
    };
    profile.sections.push(Section {
        answer,
        conditions,
        names: Vec::new(),
    });
    Ok(())
}

const EPERM: u16 = 1;
const ENOSYS: u16 = 38;
const EAFNOSUPPORT: u16 = 97;

fn errno_of(word: &str) -> Result<u16, String> {
    match word {
        "EPERM" => Ok(EPERM),
        "ENOSYS" => Ok(ENOSYS),
        "EAFNOSUPPORT" => Ok(EAFNOSUPPORT),
        _ => Err(format!("{word:?} is no error that is known here")),
    }
}

/// Names of `linux/capability.h` that a profile may ask for.
const CAPABILITIES: &[(&str, u8)] = &[
    ("CAP_DAC_READ_SEARCH", 2),
    ("CAP_SYS_MODULE", 16),
    ("CAP_SYS_RAWIO", 17),
    ("CAP_SYS_CHROOT", 18),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_SYS_PACCT", 20),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_SYS_BOOT", 22),
    ("CAP_SYS_NICE", 23),
    ("CAP_SYS_TIME", 25),
    ("CAP_SYS_TTY_CONFIG", 26),
    ("CAP_SYSLOG", 34),
    ("CAP_PERFMON", 38),
    ("CAP_BPF", 39),
];

fn capabilities(names: &[&str]) -> Result<u64, String> {
    names
        .split(|word| *word == "or")
        .try_fold(0, |set, name| match name {
            [name] => CAPABILITIES
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, number)| set | 1 << number)
                .ok_or_else(|| format!("there is no capability {name:?}")),
            _ => Err("expected CAP_X or CAP_Y".to_owned()),
        })
}

fn conditions(text: &str) -> Result<Vec<Condition>, String> {
    text.split(" and ").map(condition).collect()
}

fn condition(text: &str) -> Result<Condition, String> {
    let expected = || format!("{text:?} is no condition, as in arg1:32 & 0xff == 2");
    let words: Vec<&str> = text.split_whitespace().collect();
    let (arg, mask, value) = match words[..] {
        [arg, "==", value] => (arg, u64::MAX, value),
        [arg, "&", mask, "==", value] => (arg, number(mask).ok_or_else(expected)?, value),
        _ => return Err(expected()),
    };
    let (arg, width) = match arg.strip_suffix(":32") {
        Some(arg) => (arg, u64::from(u32::MAX)),
        None => (arg, u64::MAX),
    };
    let index = arg.strip_prefix("arg").and_then(|index| index.parse().ok());
    Ok(Condition {
        index: index.filter(|index| *index < 6).ok_or_else(expected)?,
        mask: mask & width,
        op: Op::Equal,
        value: number(value).ok_or_else(expected)?,
    })
}

fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_profile_is_read_and_speaks_of_most_calls() {
        let profile = default_profile().unwrap();
        let names: usize = profile
            .sections
            .iter()
            .map(|section| section.names.len())
            .sum();
        assert!(names > 350, "{names}");
        assert_eq!(profile.otherwise, Answer::always(errno(EPERM)));
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line() {
        for (text, told) in [
            ("    read", "line 1: no section has begun"),
            (
                "allow\n    raed",
                "line 2: there is no system call \"raed\"",
            ),
            ("# x\nforbid", "line 2: \"forbid\" begins no section"),
            ("refuse EX", "line 1: \"EX\" is no error that is known here"),
            ("allow if CAP_X", "line 1: there is no capability \"CAP_X\""),
            (
                "allow where arg6 == 0",
                "line 1: \"arg6 == 0\" is no condition, as in arg1:32 & 0xff == 2",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn a_condition_may_look_at_half_an_argument() {
        let half = condition("arg1:32 & 0xf0 == 16").unwrap();
        assert_eq!((half.index, half.mask, half.value), (1, 0xf0, 16));
        assert_eq!(condition("arg0:32 == 1").unwrap().mask, 0xffff_ffff);
        assert_eq!(condition("arg0 == 1").unwrap().mask, u64::MAX);
    }
}
