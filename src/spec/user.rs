// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ids of the program. See credentials(7).

use std::fmt;
use std::str::FromStr;

/// The ids that the program runs as. `u32::MAX` is none: the kernel reads it as "leave as it is".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

/// A user, and perhaps a group, each by name or by number: docker's `--user`.
///
/// A user that is listed brings its group, the other groups that list it, and its home directory; with a
/// group it has that one only. A number that is not listed has the group 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The group.
    pub group: Option<String>,
}

impl FromStr for Login {
    type Err = UserParseError;

    /// Reads `USER` or `USER:GROUP`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        // What begins like a number is one.
        let fine = |word: &str| {
            let plain = |byte: u8| byte > b' ' && byte != b':' && byte != 0x7f;
            let number =
                word.starts_with(|first: char| first.is_ascii_digit() || "+-".contains(first));
            !word.is_empty()
                && word.bytes().all(plain)
                && (!number || super::passwd::id(word).is_some())
        };
        if fine(user) && group.is_none_or(fine) {
            Ok(Self {
                user: user.to_owned(),
                group: group.map(str::to_owned),
            })
        } else {
            Err(UserParseError)
        }
    }
}

/// A user that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserParseError;

impl fmt::Display for UserParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected USER or USER:GROUP: names, or numbers from 0 to 4294967294")
    }
}

impl std::error::Error for UserParseError {}

impl FromStr for User {
    type Err = UserParseError;

    /// Reads `UID` or `UID:GID`, decimal digits only. Without a group it is the group 0, as in docker.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse()
                .ok()
                .filter(|&id| digits && id != u32::MAX)
                .ok_or(UserParseError)
        };
        let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
        Ok(Self {
            uid: id(uid)?,
            gid: id(gid)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_names_or_numbers() {
        let login = |user: &str, group: Option<&str>| {
            Ok(Login {
                user: user.to_owned(),
                group: group.map(str::to_owned),
            })
        };
        assert_eq!("web".parse(), login("web", None));
        assert_eq!("1000:adm".parse(), login("1000", Some("adm")));
        for wrong in [
            "",
            ":",
            "a:",
            ":a",
            "a:b:c",
            "-1",
            "+1",
            "1x",
            "4294967295",
            "4294967296",
            "a b",
            "1:-1",
            "a\n",
        ] {
            assert_eq!(wrong.parse::<Login>(), Err(UserParseError), "{wrong:?}");
        }
    }

    #[test]
    fn users_are_read_strictly() {
        assert_eq!("1000".parse(), Ok(User { uid: 1000, gid: 0 }));
        assert_eq!(
            "1000:100".parse(),
            Ok(User {
                uid: 1000,
                gid: 100
            })
        );
        for wrong in [
            "",
            ":",
            "1000:",
            ":5",
            "-1",
            "+1",
            "4294967295",
            "4294967296",
            "1:2:3",
            "root",
            " 1",
        ] {
            assert_eq!(wrong.parse::<User>(), Err(UserParseError), "{wrong:?}");
        }
    }
}
