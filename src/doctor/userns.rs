// SPDX-License-Identifier: MIT OR Apache-2.0
//! What restricts user namespaces, and which ids an ordinary user can map. Whether one can be made is
//! tried in `boxes.rs`.

use std::fs;

use super::{Finding, Health};
use crate::host::{find_program, read_number, subid, userns};

const TOPIC: &str = "user namespaces";

pub(super) fn examine() -> Vec<Finding> {
    let mut findings: Vec<Finding> = [number(), unprivileged(), apparmor()]
        .into_iter()
        .flatten()
        .collect();
    findings.extend(ranges());
    findings
}

/// A sysctl that is not there restricts nothing.
fn number() -> Option<Finding> {
    let most = read_number(userns::MOST)?;
    let finding = Finding::ok(TOPIC, "user.max_user_namespaces", most.to_string());
    Some(if most == 0 {
        let fix = "sysctl user.max_user_namespaces=10000".to_owned();
        finding.with(Health::Missing, fix)
    } else {
        finding
    })
}

fn unprivileged() -> Option<Finding> {
    let value = read_number(userns::UNPRIVILEGED)?;
    let name = "kernel.unprivileged_userns_clone";
    let finding = Finding::ok(TOPIC, name, value.to_string());
    Some(if value == 0 {
        finding.with(Health::Limited, format!("sysctl {name}=1"))
    } else {
        finding
    })
}

fn apparmor() -> Option<Finding> {
    let value = read_number(userns::APPARMOR)?;
    let name = "kernel.apparmor_restrict_unprivileged_userns";
    let finding = Finding::ok(TOPIC, name, value.to_string());
    Some(if value == 1 {
        finding.with(Health::Limited, format!("sysctl {name}=0"))
    } else {
        finding
    })
}

/// Root maps what it likes; everybody else what /etc/subuid and /etc/subgid give, by helpers.
fn ranges() -> Vec<Finding> {
    let uid = nix::unistd::geteuid();
    if uid.is_root() {
        return vec![Finding::ok(TOPIC, "id ranges", "root needs none")];
    }
    let user = subid::user_name(uid.as_raw()).unwrap_or_else(|| uid.to_string());
    [
        ("/etc/subuid", "newuidmap", "--add-subuids"),
        ("/etc/subgid", "newgidmap", "--add-subgids"),
    ]
    .map(|(file, helper, option)| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let ranges = subid::ranges(&text, &user, uid.as_raw());
        let count: u64 = ranges.iter().map(|range| u64::from(range.count)).sum();
        let finding = |detail: String| Finding::ok(TOPIC, file, detail);
        if count == 0 {
            let fix = format!("usermod {option} 100000-165535 {user}, with a range that is free");
            return finding(format!("gives no range to {user}")).with(Health::Limited, fix);
        }
        match subid::helper(helper) {
            Ok(_) => finding(format!("gives {count} ids to {user}")),
            Err(fault) => {
                let fix = match find_program(helper) {
                    Some(_) => fault,
                    None => "apt install uidmap".to_owned(),
                };
                finding(format!("gives {count} ids to {user}, and nobody maps them"))
                    .with(Health::Limited, fix)
            }
        }
    })
    .into()
}
