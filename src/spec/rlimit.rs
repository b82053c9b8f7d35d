// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resource limits. See setrlimit(2).

use std::fmt;
use std::str::FromStr;

use nix::sys::resource::{self, RLIM_INFINITY};

pub use resource::Resource;

/// The words of docker's `--ulimit`, and what they limit. Units are the kernel's: bytes, seconds of
/// processor time for `cpu`, microseconds for `rttime`, otherwise counts.
const NAMES: [(&str, Resource, &str); 16] = [
    ("as", Resource::RLIMIT_AS, "RLIMIT_AS"),
    ("core", Resource::RLIMIT_CORE, "RLIMIT_CORE"),
    ("cpu", Resource::RLIMIT_CPU, "RLIMIT_CPU"),
    ("data", Resource::RLIMIT_DATA, "RLIMIT_DATA"),
    ("fsize", Resource::RLIMIT_FSIZE, "RLIMIT_FSIZE"),
    ("locks", Resource::RLIMIT_LOCKS, "RLIMIT_LOCKS"),
    ("memlock", Resource::RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK"),
    ("msgqueue", Resource::RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE"),
    ("nice", Resource::RLIMIT_NICE, "RLIMIT_NICE"),
    ("nofile", Resource::RLIMIT_NOFILE, "RLIMIT_NOFILE"),
    ("nproc", Resource::RLIMIT_NPROC, "RLIMIT_NPROC"),
    ("rss", Resource::RLIMIT_RSS, "RLIMIT_RSS"),
    ("rtprio", Resource::RLIMIT_RTPRIO, "RLIMIT_RTPRIO"),
    ("rttime", Resource::RLIMIT_RTTIME, "RLIMIT_RTTIME"),
    (
        "sigpending",
        Resource::RLIMIT_SIGPENDING,
        "RLIMIT_SIGPENDING",
    ),
    ("stack", Resource::RLIMIT_STACK, "RLIMIT_STACK"),
];

/// One resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// What is limited.
    pub resource: Resource,
    /// The limit in force; `u64::MAX` is none.
    pub soft: u64,
    /// How far the program itself may raise it; `u64::MAX` is without end.
    pub hard: u64,
}

impl Rlimit {
    /// The kernel's name of what is limited, such as `RLIMIT_NOFILE`.
    pub(crate) fn name(&self) -> &'static str {
        let known = NAMES
            .iter()
            .find(|(_, resource, _)| *resource == self.resource);
        known.map_or("RLIMIT", |(_, _, name)| name)
    }
}

impl fmt::Display for Rlimit {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |limit: u64| match limit {
            RLIM_INFINITY => "unlimited".to_owned(),
            limit => limit.to_string(),
        };
        let known = NAMES
            .iter()
            .find(|(_, resource, _)| *resource == self.resource);
        let name = known.map_or("rlimit", |(name, ..)| name);
        write!(f, "{name}={}:{}", number(self.soft), number(self.hard))
    }
}

/// A resource limit that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RlimitParseError {
    /// Not `NAME=SOFT[:HARD]`.
    Form,
    /// No such resource.
    Resource(String),
    /// Not a number and not `unlimited`.
    Number(String),
    /// The soft limit is above the hard one.
    Order,
}

impl fmt::Display for RlimitParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("expected NAME=SOFT[:HARD], as in nofile=1024:4096"),
            Self::Resource(name) => {
                write!(f, "there is no limit {name:?}; there are")?;
                NAMES.iter().try_for_each(|(name, ..)| write!(f, " {name}"))
            }
            Self::Number(text) => write!(f, "{text:?} is neither a number nor `unlimited`"),
            Self::Order => f.write_str("the soft limit is above the hard one"),
        }
    }
}

impl std::error::Error for RlimitParseError {}

impl FromStr for Rlimit {
    type Err = RlimitParseError;

    /// Reads docker's form: `NAME=SOFT` or `NAME=SOFT:HARD`; `unlimited` or `-1` is no limit.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, limits) = text.split_once('=').ok_or(RlimitParseError::Form)?;
        let (_, resource, _) = NAMES
            .into_iter()
            .find(|(known, ..)| *known == name)
            .ok_or_else(|| RlimitParseError::Resource(name.to_owned()))?;
        let number = |text: &str| match text {
            "unlimited" | "-1" => Ok(RLIM_INFINITY),
            _ => text
                .parse()
                .ok()
                .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
                .ok_or_else(|| RlimitParseError::Number(text.to_owned())),
        };
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let (soft, hard) = (number(soft)?, number(hard)?);
        if soft > hard {
            return Err(RlimitParseError::Order);
        }
        Ok(Self {
            resource,
            soft,
            hard,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_docker_writes_them() {
        let limit = |resource, soft, hard| {
            Ok(Rlimit {
                resource,
                soft,
                hard,
            })
        };
        assert_eq!(
            "nofile=1024:4096".parse(),
            limit(Resource::RLIMIT_NOFILE, 1024, 4096)
        );
        assert_eq!("core=0".parse(), limit(Resource::RLIMIT_CORE, 0, 0));
        assert_eq!(
            "cpu=1:unlimited".parse(),
            limit(Resource::RLIMIT_CPU, 1, u64::MAX)
        );
        for text in ["nofile=1024:4096", "core=0:unlimited"] {
            assert_eq!(text.parse::<Rlimit>().unwrap().to_string(), text);
        }
        assert_eq!("nofile".parse::<Rlimit>(), Err(RlimitParseError::Form));
        assert_eq!("nofile=2:1".parse::<Rlimit>(), Err(RlimitParseError::Order));
        assert_eq!(
            "nofile=x".parse::<Rlimit>(),
            Err(RlimitParseError::Number("x".into()))
        );
        assert_eq!(
            "nofile=+1".parse::<Rlimit>(),
            Err(RlimitParseError::Number("+1".into()))
        );
        assert_eq!(
            "files=1".parse::<Rlimit>(),
            Err(RlimitParseError::Resource("files".into()))
        );
    }
}
