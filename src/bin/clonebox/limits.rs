// SPDX-License-Identifier: MIT OR Apache-2.0
//! The limits, in docker's words.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use clonebox::{Cpus, DeviceLimit, LimitParseError, Limits, Rate, Swap, parse_bytes};

use crate::typed::Typed;
use crate::usage::UsageError;

/// Reads the options that limit the box as a whole.
pub(crate) fn limits(args: &Typed) -> Result<Limits, UsageError> {
    let weight = args.optional("--cpu-weight", args.cpu_weight.as_deref(), weight)?;
    let shares = args.optional("--cpu-shares", args.cpu_shares.as_deref(), shares)?;
    if let (Some(weight), Some(shares)) = (&weight, &shares) {
        return Err(UsageError::new(format!(
            "{} and {}: they are two words for one thing",
            weight.origin, shares.origin
        )));
    }
    let mut devices = Vec::new();
    for (option, words, rate, number) in [
        (
            "--device-read-bps",
            &args.device_read_bps,
            Rate::ReadBytes,
            bytes as Number,
        ),
        (
            "--device-write-bps",
            &args.device_write_bps,
            Rate::WriteBytes,
            bytes,
        ),
        (
            "--device-read-iops",
            &args.device_read_iops,
            Rate::ReadOperations,
            count,
        ),
        (
            "--device-write-iops",
            &args.device_write_iops,
            Rate::WriteOperations,
            count,
        ),
    ] {
        for word in words {
            devices.push(args.one(option, word, &|word| device(word, rate, number))?);
        }
    }
    Ok(Limits {
        memory: args.optional("--memory", args.memory.as_deref(), parse_bytes)?,
        memory_reservation: args.optional(
            "--memory-reservation",
            args.memory_reservation.as_deref(),
            parse_bytes,
        )?,
        memory_swap: args.optional("--memory-swap", args.memory_swap.as_deref(), |word| {
            word.parse::<Swap>()
        })?,
        cpus: args.optional("--cpus", args.cpus.as_deref(), |word| word.parse::<Cpus>())?,
        cpu_weight: weight.or(shares),
        cpuset_cpus: args.optional("--cpuset-cpus", args.cpuset_cpus.as_deref(), string)?,
        cpuset_mems: args.optional("--cpuset-mems", args.cpuset_mems.as_deref(), string)?,
        pids: args.optional("--pids-limit", args.pids_limit.as_deref(), count)?,
        io_weight: args.optional("--io-weight", args.io_weight.as_deref(), self::weight)?,
        devices,
        files: args.repeated("--cgroup-conf", &args.cgroup_conf, |word| {
            word.split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .ok_or("expected FILE=VALUE, as in memory.high=32m")
        })?,
        parent: args.optional("--cgroup-parent", args.cgroup_parent.as_deref(), |word| {
            string(word).map(PathBuf::from)
        })?,
        best_effort: args.switch("--best-effort-limits", args.best_effort_limits),
    })
}

type Number = fn(&str) -> Result<u64, String>;

fn string(word: &str) -> Result<String, &'static str> {
    Ok(word.to_owned())
}

fn bytes(word: &str) -> Result<u64, String> {
    parse_bytes(word).map_err(|error: LimitParseError| error.to_string())
}

fn count(word: &str) -> Result<u64, String> {
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse()
        .ok()
        .filter(|&number| digits && number > 0)
        .ok_or_else(|| "expected a whole number from 1 on".to_owned())
}

fn weight(word: &str) -> Result<u32, &'static str> {
    count(word)
        .ok()
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number <= 10_000)
        .ok_or("expected a weight from 1 to 10000; 100 is usual")
}

/// Shares as version 1 and docker have them: 1024 are usual.
fn shares(word: &str) -> Result<u32, &'static str> {
    let shares = count(word)
        .ok()
        .filter(|shares| (2..=262_144).contains(shares));
    let shares = shares.ok_or("expected shares from 2 to 262144; 1024 are usual")?;
    Ok((shares * 100).div_ceil(1024).clamp(1, 10_000) as u32)
}

/// `PATH:RATE`, the path that of a block device.
fn device(word: &str, rate: Rate, number: Number) -> Result<DeviceLimit, String> {
    let (path, text) = word
        .rsplit_once(':')
        .filter(|(path, _)| !path.is_empty())
        .ok_or("expected DEVICE:RATE, as in /dev/sda:1m")?;
    let shown = path.escape_default();
    let found = std::fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?;
    if !found.file_type().is_block_device() {
        return Err(format!("{shown} is no block device"));
    }
    Ok(DeviceLimit {
        device: (libc::major(found.rdev()), libc::minor(found.rdev())),
        rate,
        per_second: number(text)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_weights_of_another_scale() {
        assert_eq!(shares("1024"), Ok(100));
        assert_eq!(shares("2"), Ok(1));
        assert_eq!(shares("262144"), Ok(10_000));
        for wrong in ["", "0", "1", "262145", "-5", "x"] {
            assert!(shares(wrong).is_err(), "{wrong}");
        }
    }
}
