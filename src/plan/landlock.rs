// SPDX-License-Identifier: MIT OR Apache-2.0
//! Landlock: what of the files that it sees a box may use. See landlock(7).
//!
//! A rule is about what a descriptor stands for, so the paths are opened when the box sees what its program
//! will see: after the mounts. Here the child has CAP_SYS_ADMIN, in its user namespace at least, and needs
//! no no_new_privs. What follows opens no file until execve(2), which the kernel allows for a file that is
//! on no mount: the sealed program of ours.
//!
//! The kernel finds the descriptor of a rule in memory that the plan owns. So it has a number that is known
//! when the plan is made.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clonebox_child::OnError;

use super::access::{
    BIND, CONNECT, EXECUTE, Enforced, FILES, OF_A_FILE, PORTS, READ_DIR, READ_FILE, SCOPES,
};
use super::call::{Call, FlagNames, Value, quoted_bare, show_flags};
use super::draft::Draft;
use super::fd;
use super::path::{LOOK_UP, close, open_host, open_without_links};
use super::slot;
use super::step::Steps;
use crate::spec::{Access, Dev, Origin, PathRule, Setting};

/// Devices that keep nothing and tell nothing, and that programs expect to be there.
pub(crate) const DEVICES: [&CStr; 6] = [
    c"/dev/null",
    c"/dev/zero",
    c"/dev/full",
    c"/dev/random",
    c"/dev/urandom",
    c"/dev/tty",
];

/// The rules, and the end of everything else.
pub(super) fn restrict(draft: &Draft<'_>, steps: &mut Steps) {
    let landlock = &draft.spec.landlock;
    let Some(enforced) = draft.landlock.filter(|enforced| enforced.any()) else {
        return;
    };
    let origin = landlock.origin().unwrap_or(&Origin::Default);
    let number = draft.numbers.rule.filter(|_| enforced.files != 0);
    if let Some(number) = number {
        reserve(origin, number, steps);
    }
    let args = [ruleset(enforced), Value::Int(24), Value::Int(0)];
    let create = Call::new(
        "landlock_create_ruleset",
        libc::SYS_landlock_create_ruleset,
        args,
    );
    let action = "make a Landlock ruleset";
    steps.push(origin, action, create.save(slot::RULES));
    if enforced.files != 0 {
        for rule in &landlock.paths {
            path(rule, enforced, draft, steps);
        }
        for device in devices(draft) {
            let path = Path::new(OsStr::from_bytes(device.to_bytes()));
            let access = OF_A_FILE & !EXECUTE & enforced.files;
            beneath(&Origin::Default, path, &[access], draft, steps);
        }
    }
    for (bit, ports) in [(CONNECT, &landlock.connect), (BIND, &landlock.bind)] {
        for port in ports.iter().filter(|_| enforced.ports & bit != 0) {
            port_rule(port, bit, steps);
        }
    }
    let args = [Value::Slot(slot::RULES), Value::Int(0)];
    let restrict = Call::new(
        "landlock_restrict_self",
        libc::SYS_landlock_restrict_self,
        args,
    );
    steps.push(origin, "give up what no Landlock rule allows", restrict);
    close(origin, slot::RULES, steps);
    if number.is_some() {
        close(origin, slot::NEXT, steps);
        let args = [Value::Slot(slot::TARGET)];
        let call = Call::new("close", libc::SYS_close, args);
        let call = call.on_error(OnError::Ignore(libc::EBADF));
        steps.push(origin, "close a descriptor", call);
    }
}

/// Takes the number that rules have for what they are about, so that no other descriptor gets it. The one
/// that is opened for that may have it already: then it is not copied, and closed once only.
fn reserve(origin: &Origin, number: i32, steps: &mut Steps) {
    let open = open_host(Path::new("/"), LOOK_UP);
    let copy = fd::dup(slot::TARGET, number, libc::O_CLOEXEC);
    let action = "reserve a descriptor for Landlock rules";
    steps.push(origin, action, open.save(slot::TARGET));
    steps.push(origin, action, copy.on_error(OnError::Ignore(libc::EINVAL)));
}

/// Those of the devices that the box has.
fn devices<'a>(draft: &'a Draft<'_>) -> &'a [&'static CStr] {
    if let Some(join) = &draft.spec.join {
        return &join.value.walls.devices;
    }
    match (&draft.spec.rootfs, draft.spec.dev.value) {
        (Some(_), Dev::Minimal) => &DEVICES,
        // Whatever has their names in a root of somebody else's is none of them.
        (Some(_), Dev::None) => &[],
        (Some(_), Dev::Host) | (None, _) => &draft.facts.devices,
    }
}

fn path(rule: &Setting<PathRule>, enforced: Enforced, draft: &Draft<'_>, steps: &mut Steps) {
    let access = match rule.value.access {
        Access::Read => READ_FILE | READ_DIR,
        Access::Execute => READ_FILE | READ_DIR | EXECUTE,
        Access::Write => !EXECUTE,
    };
    // The kernel takes what is about directories for no other file: that is a call of its own, which may
    // be refused.
    let access = [OF_A_FILE, !OF_A_FILE].map(|kind| access & kind & enforced.files);
    beneath(&rule.origin, &rule.value.path, &access, draft, steps);
}

/// Allows this access below a path, and more than the first of it if that is a directory.
fn beneath(origin: &Origin, path: &Path, access: &[u64], draft: &Draft<'_>, steps: &mut Steps) {
    let Some(number) = draft.numbers.rule else {
        return;
    };
    let shown = quoted_bare(path.as_os_str().as_bytes());
    let action = format!("open {shown} for a Landlock rule");
    // In a box that runs a link may be of its making.
    let open = if draft.spec.join.is_some() {
        open_without_links(path)
    } else {
        open_host(path, LOOK_UP)
    };
    steps.push(origin, action.clone(), open.save(slot::OPENED));
    steps.push(
        origin,
        action,
        fd::dup(slot::OPENED, number, libc::O_CLOEXEC).save(slot::NEXT),
    );
    close(origin, slot::OPENED, steps);
    for (index, &bits) in access.iter().enumerate() {
        let bytes = [&bits.to_ne_bytes()[..], &number.to_ne_bytes()].concat();
        let call = add_rule("LANDLOCK_RULE_PATH_BENEATH", 1, bytes, |bytes| {
            let (access, rest) = word(bytes);
            let number = rest
                .first_chunk()
                .map_or(-1, |word| i32::from_ne_bytes(*word));
            let access = named(FILES, access);
            format!("{{allowed_access={access}, parent_fd={number}}}")
        });
        let call = if index > 0 {
            call.on_error(OnError::Ignore(libc::EINVAL))
        } else {
            call
        };
        steps.push(origin, format!("allow access to {shown}"), call);
    }
}

fn port_rule(port: &Setting<u16>, access: u64, steps: &mut Steps) {
    let words = [access, u64::from(port.value)];
    let bytes = words.map(u64::to_ne_bytes).as_flattened().to_vec();
    let call = add_rule("LANDLOCK_RULE_NET_PORT", 2, bytes, |bytes| {
        let (access, rest) = word(bytes);
        let (port, _) = word(rest);
        let access = named(PORTS, access);
        format!("{{allowed_access={access}, port={port}}}")
    });
    steps.push(&port.origin, format!("allow TCP port {}", port.value), call);
}

fn add_rule(kind: &'static str, number: usize, rule: Vec<u8>, show: fn(&[u8]) -> String) -> Call {
    let args = [
        Value::Slot(slot::RULES),
        Value::Name(kind, number),
        Value::Struct(rule.into(), show),
        Value::Int(0),
    ];
    Call::new("landlock_add_rule", libc::SYS_landlock_add_rule, args)
}

/// The kernel's `struct landlock_ruleset_attr`. Older ones are shorter; the kernel takes a longer one
/// whose rest is 0.
fn ruleset(enforced: Enforced) -> Value {
    let words = [enforced.files, enforced.ports, enforced.scopes];
    let bytes = words.map(u64::to_ne_bytes).as_flattened().into();
    Value::Struct(bytes, |bytes| {
        let (files, rest) = word(bytes);
        let (ports, rest) = word(rest);
        let (scopes, _) = word(rest);
        format!(
            "{{handled_access_fs={}, handled_access_net={}, scoped={}}}",
            named(FILES, files),
            named(PORTS, ports),
            named(SCOPES, scopes)
        )
    })
}

fn word(bytes: &[u8]) -> (u64, &[u8]) {
    bytes
        .split_first_chunk()
        .map_or((0, bytes), |(word, rest)| (u64::from_ne_bytes(*word), rest))
}

fn named(names: FlagNames, bits: u64) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = show_flags(names, bits, &mut text);
    text
}
