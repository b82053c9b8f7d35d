// SPDX-License-Identifier: MIT OR Apache-2.0
//! Profiles in JSON: those of the OCI runtime specification, and docker's, which adds `includes`,
//! `excludes` and `archMap`.

use clonebox_seccomp::{
    ALLOW, Arch, Condition, KILL_PROCESS, KILL_THREAD, LOG, Op, TRACE, TRAP, errno, is_known,
    nearest,
};
use serde_json::Value;

use super::{ProfileRule, SeccompProfile, When};
use crate::spec::Selection;

type Result<T> = std::result::Result<T, String>;

/// What an `errnoRet` is when there is none: EPERM.
const EPERM: u16 = 1;
/// `SECCOMP_FILTER_FLAG_*` of `linux/seccomp.h`.
const FLAG_LOG: u32 = 2;
const FLAG_SPEC_ALLOW: u32 = 4;

pub(super) fn read(text: &[u8]) -> Result<SeccompProfile> {
    let profile: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if !profile.is_object() {
        return Err("a profile is an object".to_owned());
    }
    if profile
        .get("listenerPath")
        .is_some_and(|path| !path.is_null())
    {
        return Err("listenerPath: nobody is told of system calls here".to_owned());
    }
    let default = action(&profile, "defaultAction", "defaultErrnoRet")?;
    let mut flags = 0;
    for flag in list(&profile, "flags")? {
        flags |= match flag.as_str() {
            Some("SECCOMP_FILTER_FLAG_LOG") => FLAG_LOG,
            Some("SECCOMP_FILTER_FLAG_SPEC_ALLOW") => FLAG_SPEC_ALLOW,
            // The program has one thread when the filter is installed.
            Some("SECCOMP_FILTER_FLAG_TSYNC") => 0,
            _ => return Err(format!("flags: {flag} is none that is known")),
        };
    }
    let mut rules = Vec::new();
    for (index, rule) in list(&profile, "syscalls")?.iter().enumerate() {
        let told =
            self::rule(rule, default).map_err(|reason| format!("syscalls[{index}]: {reason}"))?;
        // As with runc: what is the default anyway makes no rule of its own.
        rules.extend(told.filter(|rule| rule.word != default));
    }
    Ok(SeccompProfile {
        default,
        flags,
        arches: arches(&profile)?,
        rules,
    })
}

/// Those among the architectures that a profile lists which machines of ours have.
fn arches(profile: &Value) -> Result<Vec<Arch>> {
    let mut names: Vec<&Value> = list(profile, "architectures")?.iter().collect();
    for entry in list(profile, "archMap")? {
        names.extend(list(entry, "subArchitectures")?);
        names.extend(entry.get("architecture"));
    }
    Ok(names
        .into_iter()
        .filter_map(|name| match name.as_str()? {
            "SCMP_ARCH_X86_64" => Some(Arch::X86_64),
            "SCMP_ARCH_X86" => Some(Arch::X86),
            "SCMP_ARCH_AARCH64" => Some(Arch::Aarch64),
            "SCMP_ARCH_ARM" => Some(Arch::Arm),
            _ => None,
        })
        .collect())
}

fn rule(rule: &Value, default: u32) -> Result<Option<ProfileRule>> {
    let word = action(rule, "action", "errnoRet")?;
    let mut names = Vec::new();
    let single = rule.get("name").filter(|name| !name.is_null());
    for name in list(rule, "names")?.iter().chain(single) {
        let name = name.as_str().ok_or("a name is a string")?;
        if is_known(name) {
            names.push(name.to_owned());
        } else if !is_made(word) && is_made(default) {
            // A call that stays allowed because its name is misspelt is a hole. Where others are refused anyway
            // it is one of another architecture: podman's profile has swapcontext of PowerPC.
            let near = nearest(|known| strsim::osa_distance(known, name), 2);
            let near = near.map_or(String::new(), |near| format!("; {near} is near"));
            return Err(format!("there is no system call {name:?}{near}"));
        }
    }
    let conditions = list(rule, "args")?
        .iter()
        .map(condition)
        .collect::<Result<Vec<Condition>>>()?;
    // As with runc: several about one argument are alternatives.
    let repeats = |one: &Condition| {
        conditions
            .iter()
            .filter(|other| other.index == one.index)
            .count()
            > 1
    };
    let alternatives = if conditions.iter().any(repeats) {
        conditions.into_iter().map(|one| vec![one]).collect()
    } else {
        vec![conditions]
    };
    let includes = rule.get("includes").unwrap_or(&Value::Null);
    let needs = kernel_is_recent(includes)?;
    Ok(needs.then_some(ProfileRule {
        names,
        word,
        alternatives,
        includes: when(includes)?,
        excludes: when(rule.get("excludes").unwrap_or(&Value::Null))?,
    }))
}

fn is_made(word: u32) -> bool {
    word == ALLOW || word == LOG
}

/// There is no test for the kernel's version: one that clonebox runs on is 5.10 at least.
fn kernel_is_recent(includes: &Value) -> Result<bool> {
    let Some(version) = includes.get("minKernel").and_then(Value::as_str) else {
        return Ok(true);
    };
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) <= (5, 10) => Ok(true),
        _ => Err(format!(
            "minKernel {version:?}: 5.10 is the latest that is known to be there"
        )),
    }
}

fn when(value: &Value) -> Result<When> {
    let mut capabilities = 0;
    for name in list(value, "caps")? {
        let name = name.as_str().ok_or("a capability is a string")?;
        match name.parse::<Selection>() {
            Ok(Selection::One(capability)) => capabilities |= capability.bitmask(),
            _ => return Err(format!("there is no capability {name:?}")),
        }
    }
    let arches = list(value, "arches")?.iter();
    let arches = arches.filter_map(|name| name.as_str().map(str::to_owned));
    Ok(When {
        capabilities,
        arches: arches.collect(),
    })
}

fn condition(arg: &Value) -> Result<Condition> {
    let number = |name: &str| match arg.get(name) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value
            .as_u64()
            .ok_or_else(|| format!("args: {name} is a number, not {value}")),
    };
    let (index, value, second) = (number("index")?, number("value")?, number("valueTwo")?);
    let index = u8::try_from(index).ok().filter(|index| *index < 6);
    let index = index.ok_or("args: an index is 0 to 5")?;
    let plain = |op| Ok((u64::MAX, op, value));
    let (mask, op, value) = match arg.get("op").and_then(Value::as_str).unwrap_or_default() {
        "SCMP_CMP_EQ" => plain(Op::Equal),
        "SCMP_CMP_NE" => plain(Op::NotEqual),
        "SCMP_CMP_LT" => plain(Op::Less),
        "SCMP_CMP_LE" => plain(Op::LessOrEqual),
        "SCMP_CMP_GT" => plain(Op::Greater),
        "SCMP_CMP_GE" => plain(Op::GreaterOrEqual),
        "SCMP_CMP_MASKED_EQ" => Ok((value, Op::Equal, second & value)),
        other => Err(format!("args: {other:?} compares nothing")),
    }?;
    Ok(Condition {
        index,
        mask,
        op,
        value,
    })
}

fn action(object: &Value, name: &str, errno_name: &str) -> Result<u32> {
    let number = match object.get(errno_name) {
        None | Some(Value::Null) => EPERM,
        Some(value) => value
            .as_u64()
            .and_then(|number| u16::try_from(number).ok())
            .filter(|number| *number <= 4095)
            .ok_or_else(|| format!("{errno_name} is 0 to 4095, not {value}"))?,
    };
    match object.get(name).and_then(Value::as_str) {
        Some("SCMP_ACT_ALLOW") => Ok(ALLOW),
        Some("SCMP_ACT_LOG") => Ok(LOG),
        Some("SCMP_ACT_ERRNO") => Ok(errno(number)),
        Some("SCMP_ACT_TRACE") => Ok(TRACE | u32::from(number)),
        Some("SCMP_ACT_TRAP") => Ok(TRAP),
        Some("SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD") => Ok(KILL_THREAD),
        Some("SCMP_ACT_KILL_PROCESS") => Ok(KILL_PROCESS),
        Some("SCMP_ACT_NOTIFY") => {
            Err("SCMP_ACT_NOTIFY: nobody is told of system calls here".to_owned())
        }
        Some(other) => Err(format!("{name} {other:?} is none that is known")),
        None => Err(format!("there is no {name}")),
    }
}

/// The elements of an array that may be missing.
fn list<'a>(object: &'a Value, name: &str) -> Result<&'a [Value]> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(other) => Err(format!("{name} is an array, not {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, told: &str) {
        assert_eq!(read(text.as_bytes()).unwrap_err(), told);
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_place() {
        refused("[]", "a profile is an object");
        refused("{}", "there is no defaultAction");
        refused(
            r#"{"defaultAction": "X"}"#,
            "defaultAction \"X\" is none that is known",
        );
        let with =
            |rule: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rule}]}}"#);
        refused(
            &with(r#"{"names": ["mout"], "action": "SCMP_ACT_ERRNO"}"#),
            "syscalls[0]: there is no system call \"mout\"; mount is near",
        );
        refused(
            &with(r#"{"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096}"#),
            "syscalls[0]: errnoRet is 0 to 4095, not 4096",
        );
        refused(
            &with(
                r#"{"names": ["mount"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}"#,
            ),
            "syscalls[0]: args: an index is 0 to 5",
        );
        refused(
            &with(r#"{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}"#),
            "syscalls[0]: SCMP_ACT_NOTIFY: nobody is told of system calls here",
        );
    }

    #[test]
    fn a_call_of_another_architecture_may_be_refused_where_all_others_are() {
        let profile = read(
            br#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
                "syscalls": [{"names": ["swapcontext", "mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}"#,
        )
        .unwrap();
        assert_eq!(profile.rules[0].names, ["mount"]);
    }

    #[test]
    fn conditions_about_one_argument_are_alternatives() {
        let profile = read(
            br#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["personality"], "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}]}"#,
        )
        .unwrap();
        assert_eq!(profile.rules[0].alternatives.len(), 2);
    }

    #[test]
    fn a_rule_that_says_what_is_the_default_is_none() {
        let profile = read(
            br#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
                "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                             {"names": ["mount"], "action": "SCMP_ACT_ERRNO"}]}"#,
        )
        .unwrap();
        assert_eq!(profile.rules.len(), 1);
        assert_eq!(profile.rules[0].word, errno(1));
    }
}
