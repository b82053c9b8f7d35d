// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a box may use of the machine: limits of a cgroup. See cgroups(7).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Origin, Setting};

/// Limits for a box and all its processes together. They hold from its first instruction on.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Memory in bytes. Who needs more is killed.
    pub memory: Option<Setting<u64>>,
    /// Memory in bytes that is left to the box as long as there is other to be had.
    pub memory_reservation: Option<Setting<u64>>,
    /// Memory and swap together.
    pub memory_swap: Option<Setting<Swap>>,
    /// Processors.
    pub cpus: Option<Setting<Cpus>>,
    /// The share of the processors where they are not enough for all, 1 to 10000; 100 is usual.
    pub cpu_weight: Option<Setting<u32>>,
    /// The processors that may be used: numbers and ranges, as in `0-2,4`.
    pub cpuset_cpus: Option<Setting<String>>,
    /// The memory nodes that may be used.
    pub cpuset_mems: Option<Setting<String>>,
    /// Processes and threads.
    pub pids: Option<Setting<u64>>,
    /// The share of the disks, 1 to 10000; 100 is usual.
    pub io_weight: Option<Setting<u32>>,
    /// Rates of devices.
    pub devices: Vec<Setting<DeviceLimit>>,
    /// Files of the cgroup, and what is written to them.
    pub files: Vec<Setting<(String, String)>>,
    /// The cgroup in which that of the box is made: a path below the root of its hierarchy.
    pub parent: Option<Setting<PathBuf>>,
    /// Who wants a box even if a limit cannot be set.
    pub best_effort: Option<Origin>,
}

impl Limits {
    /// Whether a limit is asked for.
    pub(crate) fn any(&self) -> bool {
        self.memory.is_some()
            || self.memory_reservation.is_some()
            || self.memory_swap.is_some()
            || self.cpus.is_some()
            || self.cpu_weight.is_some()
            || self.cpuset_cpus.is_some()
            || self.cpuset_mems.is_some()
            || self.pids.is_some()
            || self.io_weight.is_some()
            || !self.devices.is_empty()
            || !self.files.is_empty()
    }
}

/// A limit of memory and swap together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// So many bytes.
    Bytes(u64),
    /// None.
    Unlimited,
}

/// A number of processors, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus(pub u32);

/// A rate of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceLimit {
    /// Its major and minor number.
    pub device: (u32, u32),
    /// What is limited.
    pub rate: Rate,
    /// How much a second: bytes or operations.
    pub per_second: u64,
}

/// What is limited of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Bytes read.
    ReadBytes,
    /// Bytes written.
    WriteBytes,
    /// Reads.
    ReadOperations,
    /// Writes.
    WriteOperations,
}

/// A limit that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitParseError(&'static str);

impl fmt::Display for LimitParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for LimitParseError {}

/// Reads a number of bytes as docker does: `64m`, `1.5g`, `4096`; the units b, k, m, g, t are powers of
/// 1024, in either case, and may be followed by `b`.
///
/// # Errors
///
/// If it is none, or 0, or does not fit.
pub fn parse_bytes(text: &str) -> Result<u64, LimitParseError> {
    const ERROR: LimitParseError =
        LimitParseError("expected a number of bytes, as in 4096, 64k, 64m, 1.5g");
    let lower = text.to_ascii_lowercase();
    let number = lower
        .strip_suffix('b')
        .filter(|rest| !rest.is_empty())
        .unwrap_or(&lower);
    let (digits, shift) = [('k', 10), ('m', 20), ('g', 30), ('t', 40)]
        .into_iter()
        .find_map(|(unit, shift)| Some((number.strip_suffix(unit)?, shift)))
        .unwrap_or((number, 0));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let pointed = digits.contains('.');
    if whole.is_empty() || !plain(whole) || !plain(fraction) || pointed == fraction.is_empty() {
        return Err(ERROR);
    }
    if fraction.len() > 9 || (pointed && shift == 0) {
        return Err(ERROR);
    }
    let unit = 1u128 << shift;
    let scale = 10u128.pow(fraction.len() as u32);
    let part: u128 = if pointed {
        fraction.parse().map_err(|_| ERROR)?
    } else {
        0
    };
    let whole: u64 = whole.parse().map_err(|_| ERROR)?;
    let bytes = u128::from(whole) * unit + part * unit / scale;
    match u64::try_from(bytes) {
        Ok(bytes) if bytes > 0 && i64::try_from(bytes).is_ok() => Ok(bytes),
        _ => Err(ERROR),
    }
}

impl FromStr for Swap {
    type Err = LimitParseError;

    /// Reads a number of bytes, or -1 for no limit.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "-1" => Ok(Self::Unlimited),
            text => parse_bytes(text).map(Self::Bytes),
        }
    }
}

impl FromStr for Cpus {
    type Err = LimitParseError;

    /// Reads a decimal number with at most three digits behind the point, at least 0.01.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ERROR: LimitParseError =
            LimitParseError("expected a number of processors from 0.01 on, as in 1.5");
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(whole) || !plain(fraction) || fraction.len() > 3 {
            return Err(ERROR);
        }
        let whole: u32 = whole.parse().map_err(|_| ERROR)?;
        let part: u32 = format!("{fraction:0<3}").parse().map_err(|_| ERROR)?;
        match whole
            .checked_mul(1000)
            .and_then(|whole| whole.checked_add(part))
        {
            Some(thousandths) if (10..=1_000_000_000).contains(&thousandths) => {
                Ok(Self(thousandths))
            }
            _ => Err(ERROR),
        }
    }
}

/// The controller that a file belongs to.
pub(crate) fn controller_of(name: &str) -> Option<&'static str> {
    const CONTROLLERS: [(&str, &str); 9] = [
        ("memory", "memory"),
        ("cpu", "cpu"),
        ("cpuset", "cpuset"),
        ("pids", "pids"),
        ("io", "io"),
        ("blkio", "io"),
        ("hugetlb", "hugetlb"),
        ("rdma", "rdma"),
        ("misc", "misc"),
    ];
    let (prefix, _) = name.split_once('.')?;
    CONTROLLERS
        .into_iter()
        .find_map(|(word, controller)| (word == prefix).then_some(controller))
}

/// Whether a text is a list of numbers and ranges.
pub(super) fn is_list(text: &str) -> bool {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| digits)
    };
    text.split(',').all(|part| match part.split_once('-') {
        None => number(part).is_some(),
        Some((first, last)) => {
            matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_docker_does() {
        for (text, bytes) in [
            ("4096", 4096),
            ("4096b", 4096),
            ("64k", 64 << 10),
            ("64M", 64 << 20),
            ("64mb", 64 << 20),
            ("2g", 2 << 30),
            ("1.5g", 3 << 29),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for wrong in [
            "",
            "0",
            "m",
            "b",
            "-1",
            "+1",
            "1.",
            ".5m",
            "1.5",
            "1e3",
            "1x",
            "64 m",
            "1mm",
            "1.5.5g",
            "99999999999t",
            "18446744073709551616",
        ] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!("-1".parse(), Ok(Swap::Unlimited));
    }

    #[test]
    fn processors_are_read_in_thousandths() {
        for (text, thousandths) in [("1", 1000), ("1.5", 1500), ("0.01", 10), ("2.125", 2125)] {
            assert_eq!(text.parse(), Ok(Cpus(thousandths)), "{text}");
        }
        for wrong in [
            "",
            "0",
            "0.001",
            "-1",
            "1.",
            ".5",
            "1.0001",
            "x",
            "9999999999",
        ] {
            assert!(wrong.parse::<Cpus>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_are_numbers_and_ranges() {
        assert!(is_list("0") && is_list("0-2,4"));
        for wrong in ["", ",", "0-", "2-1", "a", "0,,1", "-1", "0-1-2"] {
            assert!(!is_list(wrong), "{wrong}");
        }
    }
}
