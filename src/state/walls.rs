// SPDX-License-Identifier: MIT OR Apache-2.0
//! What confines a box, as it is written down for programs that come into it later: the kernel does not tell all
//! of it. It stands beside the record, because it is read for that only.

use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::command::Template;
use crate::launch::resolve;
use crate::plan::{DEVICES, UserFacts};
use crate::spec::{
    Access, CapabilitySet, Dev, Landlock, Origin, PathRule, SeccompFilter, Setting, Spec,
    TimeOffset, User, Walls,
};

/// The form of the file. One of another form is not understood.
const FORM: u64 = 1;

const ACCESS: [(&str, Access); 3] = [
    ("read", Access::Read),
    ("execute", Access::Execute),
    ("write", Access::Write),
];

/// What is written of a box before it starts.
pub(super) fn to_text(template: &Template) -> String {
    let (spec, plan) = (template.spec(), template.plan());
    let seccomp = plan.seccomp_program().map(|program| {
        json!({ "program": hexadecimal(&program), "log": plan.logs_refused_calls(), "traced": plan.is_traced() })
    });
    let login = match &template.facts.user {
        Some(Ok(UserFacts { groups, home, .. })) => {
            json!({ "groups": groups, "home": bytes(home.as_os_str()) })
        }
        _ => Value::Null,
    };
    let landlock = &spec.landlock;
    let rules = landlock.paths.iter().map(|rule| {
        let PathRule { path, access } = &rule.value;
        let word = ACCESS.iter().find(|(_, known)| known == access);
        json!({ "path": bytes(without_links(spec, path).as_os_str()), "access": word.map(|(word, _)| word) })
    });
    let ports = |ports: &[Setting<u16>]| -> Value { ports.iter().map(|port| port.value).collect() };
    let devices = match (&spec.rootfs, spec.dev.value) {
        (Some(_), Dev::Minimal) => DEVICES.to_vec(),
        (Some(_), Dev::None) => Vec::new(),
        (Some(_), Dev::Host) | (None, _) => template.facts.devices.clone(),
    };
    let devices = devices.iter().map(|device| device.to_string_lossy());
    let limits = spec.rlimits.iter().map(|limit| limit.value.to_string());
    let time = spec.namespaces.time.as_ref();
    let walls = json!({
        "form": FORM,
        "caps": plan.caps.0,
        "rootfs": spec.rootfs.is_some(),
        "no_new_privs": spec.no_new_privs.value,
        "seccomp": seccomp,
        "landlock": {
            "paths": rules.collect::<Vec<_>>(),
            "connect": ports(&landlock.connect),
            "bind": ports(&landlock.bind),
            "strict": landlock.strict.is_some(),
            "devices": devices.collect::<Vec<_>>(),
        },
        "rlimits": limits.collect::<Vec<_>>(),
        "user": [plan.user.uid, plan.user.gid],
        "login": login,
        "workdir": spec.workdir.as_ref().map(|workdir| bytes(workdir.value.as_os_str())),
        "time": time.map(|time| [time.value.monotonic_s, time.value.boottime_s]),
    });
    format!("{walls}\n")
}

/// Reads it. `origin` is the box, as whoever joins it has named it.
///
/// # Errors
///
/// Why nobody can be confined so.
pub(super) fn from_text(text: &str, origin: &Origin) -> Result<Walls, &'static str> {
    const UNKNOWN: &str = "what confines it is not known";
    let value: Value = serde_json::from_str(text).map_err(|_| UNKNOWN)?;
    if value["seccomp"]["traced"] == true {
        return Err("its filter of system calls is only traced (--seccomp-trace)");
    }
    read(&value, origin).ok_or(UNKNOWN)
}

fn read(value: &Value, origin: &Origin) -> Option<Walls> {
    if value["form"].as_u64()? != FORM {
        return None;
    }
    let list = |value: &Value| value.as_array().cloned();
    let id = |value: &Value| u32::try_from(value.as_u64()?).ok();
    let seccomp = match &value["seccomp"] {
        Value::Null => None,
        seccomp => {
            let program = from_hexadecimal(seccomp["program"].as_str()?)?;
            match SeccompFilter::from_program(&program).ok()? {
                SeccompFilter::Program(program) => Some((program, seccomp["log"].as_bool()?)),
                _ => return None,
            }
        }
    };
    let landlock = &value["landlock"];
    let rule = |value: &Value| {
        let word = value["access"].as_str()?;
        let (_, access) = ACCESS.into_iter().find(|(known, _)| *known == word)?;
        let path = path(&value["path"])?;
        Some(Setting::new(PathRule { path, access }, origin.clone()))
    };
    let port = |value: &Value| {
        let port = u16::try_from(value.as_u64()?).ok()?;
        Some(Setting::new(port, origin.clone()))
    };
    let device = |value: &Value| {
        let name = value.as_str()?;
        DEVICES.into_iter().find(|known| known.to_str() == Ok(name))
    };
    let all = |value: &Value, one: &dyn Fn(&Value) -> Option<Setting<u16>>| {
        list(value)?.iter().map(one).collect::<Option<Vec<_>>>()
    };
    Some(Walls {
        caps: CapabilitySet(value["caps"].as_u64()?),
        rootfs: value["rootfs"].as_bool()?,
        no_new_privs: value["no_new_privs"].as_bool()?,
        seccomp,
        landlock: Landlock {
            paths: list(&landlock["paths"])?
                .iter()
                .map(rule)
                .collect::<Option<_>>()?,
            connect: all(&landlock["connect"], &port)?,
            bind: all(&landlock["bind"], &port)?,
            strict: landlock["strict"].as_bool()?.then(|| origin.clone()),
        },
        devices: list(&landlock["devices"])?
            .iter()
            .map(device)
            .collect::<Option<_>>()?,
        rlimits: list(&value["rlimits"])?
            .iter()
            .map(|limit| limit.as_str()?.parse().ok())
            .collect::<Option<_>>()?,
        user: User {
            uid: id(&value["user"][0])?,
            gid: id(&value["user"][1])?,
        },
        login: match &value["login"] {
            Value::Null => None,
            login => Some((
                list(&login["groups"])?
                    .iter()
                    .map(id)
                    .collect::<Option<_>>()?,
                path(&login["home"])?,
            )),
        },
        workdir: match &value["workdir"] {
            Value::Null => None,
            workdir => Some(path(workdir)?),
        },
        time: match &value["time"] {
            Value::Null => None,
            time => Some(TimeOffset {
                monotonic_s: time[0].as_i64()?,
                boottime_s: time[1].as_i64()?,
            }),
        },
    })
}

/// The path in the box, without symbolic links as far as they can be followed before the box is there.
fn without_links(spec: &Spec, path: &Path) -> PathBuf {
    let found = match &spec.rootfs {
        None => fs::canonicalize(path).ok(),
        Some(rootfs) => resolve(&rootfs.value.path, path),
    };
    let absolute = || std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    found.unwrap_or_else(absolute)
}

/// A path may be any bytes.
pub(super) fn bytes(text: &OsStr) -> Value {
    match text.to_str() {
        Some(text) => text.into(),
        None => text.as_bytes().into(),
    }
}

pub(super) fn path(value: &Value) -> Option<PathBuf> {
    if let Some(text) = value.as_str() {
        return Some(text.into());
    }
    let bytes = value.as_array()?.iter();
    let bytes: Option<Vec<u8>> = bytes
        .map(|byte| u8::try_from(byte.as_u64()?).ok())
        .collect();
    Some(OsStr::from_bytes(&bytes?).into())
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    rest.is_empty()
        .then(|| pairs.iter().map(byte).collect())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, TemplateMounts};
    use crate::spec::Arch;

    fn written() -> String {
        let mut command = Command::new("true");
        command
            .seccomp(SeccompFilter::Default)
            .landlock_path(Access::Write, "/tmp")
            .landlock_connect(443)
            .rlimit("nofile=64:128".parse().unwrap())
            .user(User { uid: 3, gid: 4 })
            .current_dir(OsStr::from_bytes(b"/tmp/\xff"))
            .template_mounts(TemplateMounts::EachLaunch);
        if cfg!(target_arch = "x86_64") {
            command.seccomp_allow_arch(Arch::X86);
        }
        to_text(&command.prepare().unwrap())
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let origin = Origin::text("NAME");
        let walls = from_text(&written(), &origin).unwrap();
        assert!(walls.no_new_privs && walls.seccomp.is_some());
        assert_eq!(walls.landlock.paths[0].value.access, Access::Write);
        assert_eq!(walls.landlock.connect[0].value, 443);
        assert_eq!(walls.rlimits[0].to_string(), "nofile=64:128");
        assert_eq!(walls.user, User { uid: 3, gid: 4 });
        let workdir = walls.workdir.unwrap();
        assert_eq!(workdir.as_os_str().as_bytes(), b"/tmp/\xff");
    }

    #[test]
    fn what_is_not_understood_confines_nobody() {
        let origin = Origin::text("NAME");
        let text = written();
        for length in 0..text.trim_end().len() {
            assert!(from_text(&text[..length], &origin).is_err(), "{length}");
        }
        let value: Value = serde_json::from_str(&text).unwrap();
        for field in value.as_object().unwrap().keys() {
            for wrong in [json!({}), json!(-1), json!([[]])] {
                let mut value = value.clone();
                value[field] = wrong;
                assert!(from_text(&value.to_string(), &origin).is_err(), "{field}");
            }
        }
        let traced = text.replace("\"traced\":false", "\"traced\":true");
        assert!(
            from_text(&traced, &origin)
                .unwrap_err()
                .contains("--seccomp-trace")
        );
    }
}
