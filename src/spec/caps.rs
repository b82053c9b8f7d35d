// SPDX-License-Identifier: MIT OR Apache-2.0
//! Capabilities: which ones the program keeps. See capabilities(7).

use std::fmt;
use std::str::FromStr;

pub use caps::Capability;

use super::Setting;

/// A set of capabilities as the kernel keeps it: bit N stands for capability N.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    /// No capability.
    pub const NONE: Self = Self(0);
    /// Every capability, including those that no kernel has yet.
    pub const ALL: Self = Self(u64::MAX);
    /// What a program that believes to be root in its box needs for ordinary work: CHOWN,
    /// DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, SYS_CHROOT and
    /// SETFCAP. It is docker's set without MKNOD, NET_RAW and AUDIT_WRITE.
    pub const DEFAULT: Self = Self(
        1 << 0
            | 1 << 1
            | 1 << 3
            | 1 << 4
            | 1 << 5
            | 1 << 6
            | 1 << 7
            | 1 << 8
            | 1 << 10
            | 1 << 18
            | 1 << 31,
    );

    /// Whether it has the capability of this number.
    pub fn contains(self, number: u8) -> bool {
        number < 64 && self.0 & (1 << number) != 0
    }

    /// The numbers of its capabilities up to `last`, ascending.
    pub fn numbers(self, last: u8) -> impl Iterator<Item = u8> {
        (0..=last.min(63)).filter(move |&number| self.contains(number))
    }
}

/// The name of a capability by its number, with `CAP_`.
pub(crate) fn name(number: u8) -> String {
    caps::all()
        .into_iter()
        .find(|capability| capability.index() == number)
        .map_or_else(
            || format!("capability {number}"),
            |capability| capability.to_string(),
        )
}

/// One word of `--cap-add` or `--cap-drop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every capability there is.
    All,
    /// None: the word changes nothing, and is there so that a script may say it.
    None,
    /// This one.
    One(Capability),
}

/// Changes to [`CapabilitySet::DEFAULT`], in docker's sense: dropping ALL starts from nothing, adding
/// ALL from everything; then the single ones are added, then dropped. The order of words is without
/// meaning.
#[derive(Clone, Debug, Default)]
pub struct Caps {
    /// What to add.
    pub add: Vec<Setting<Selection>>,
    /// What to drop.
    pub drop: Vec<Setting<Selection>>,
}

impl Caps {
    /// The set that the program keeps, if its caller has it.
    pub fn kept(&self) -> CapabilitySet {
        let all = |list: &[Setting<Selection>]| list.iter().any(|one| one.value == Selection::All);
        let mask = |list: &[Setting<Selection>]| {
            list.iter().fold(0, |mask, one| match one.value {
                Selection::One(capability) => mask | capability.bitmask(),
                Selection::All | Selection::None => mask,
            })
        };
        let start = match (all(&self.drop), all(&self.add)) {
            (_, true) => CapabilitySet::ALL,
            (true, false) => CapabilitySet::NONE,
            (false, false) => CapabilitySet::DEFAULT,
        };
        CapabilitySet((start.0 | mask(&self.add)) & !mask(&self.drop))
    }
}

/// A capability that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapsParseError {
    word: String,
    nearest: Option<String>,
}

impl fmt::Display for CapsParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no capability {:?}", self.word)?;
        match &self.nearest {
            Some(name) => write!(f, "; {name} is near"),
            None => f.write_str("; capabilities(7) lists them"),
        }
    }
}

impl std::error::Error for CapsParseError {}

impl FromStr for Selection {
    type Err = CapsParseError;

    /// Reads a name with or without `CAP_`, in capitals or not, or `ALL`, or `NONE`.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let upper = word.to_ascii_uppercase();
        let name = if upper.starts_with("CAP_") {
            upper.clone()
        } else {
            format!("CAP_{upper}")
        };
        match (upper.as_str(), Capability::from_str(&name)) {
            ("ALL", _) => Ok(Self::All),
            ("NONE", _) => Ok(Self::None),
            (_, Ok(capability)) => Ok(Self::One(capability)),
            (_, Err(_)) => Err(CapsParseError {
                word: word.to_owned(),
                nearest: nearest(&name),
            }),
        }
    }
}

/// The capability of a number.
pub(super) fn of_number(number: u8) -> Option<Capability> {
    let mut all = caps::all().into_iter();
    all.find(|capability| capability.index() == number)
}

fn nearest(name: &str) -> Option<String> {
    caps::all()
        .into_iter()
        .map(|capability| capability.to_string())
        .map(|known| (strsim::osa_distance(&known, name), known))
        .filter(|(distance, _)| *distance <= 3)
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(add: &[&str], drop: &[&str]) -> u64 {
        let read = |words: &[&str]| {
            words
                .iter()
                .map(|word| Setting::default_of(word.parse().unwrap()))
                .collect()
        };
        Caps {
            add: read(add),
            drop: read(drop),
        }
        .kept()
        .0
    }

    #[test]
    fn the_default_is_dockers_without_three() {
        let docker = 0xa804_25fb_u64;
        let three = Capability::CAP_MKNOD.bitmask()
            | Capability::CAP_NET_RAW.bitmask()
            | Capability::CAP_AUDIT_WRITE.bitmask();
        assert_eq!(kept(&[], &[]), docker & !three);
    }

    #[test]
    fn words_combine_as_dockers_do() {
        assert_eq!(
            kept(&["net_admin"], &["ALL"]),
            Capability::CAP_NET_ADMIN.bitmask()
        );
        assert_eq!(
            kept(&["ALL"], &["CAP_CHOWN"]),
            !Capability::CAP_CHOWN.bitmask()
        );
        assert_eq!(kept(&["NONE"], &["none"]), CapabilitySet::DEFAULT.0);
        assert_eq!(kept(&[], &["all"]), 0);
    }

    #[test]
    fn an_unknown_capability_names_the_nearest() {
        let error = "SYS_ADMN".parse::<Selection>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no capability \"SYS_ADMN\"; CAP_SYS_ADMIN is near"
        );
    }
}
