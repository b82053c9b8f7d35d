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

/// A user that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserParseError;

impl fmt::Display for UserParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected UID or UID:GID, numbers from 0 to 4294967294")
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
