// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel has of a process: namespaces, mounts, privileges. See proc(5).

use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::spec::{CapabilitySet, capability_name};

/// The kinds of namespaces, as /proc names them.
const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// All that is looked at. What cannot be read, because the process has ended or belongs to somebody else, is
/// null or missing.
pub(crate) fn inspect(pid: u32) -> Value {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let link = |name: &str| {
        let target = fs::read_link(proc.join(name)).ok()?;
        Some(target.to_string_lossy().into_owned())
    };
    let own: Map<String, Value> = NAMESPACES
        .into_iter()
        .map(|kind| {
            (
                kind.to_owned(),
                namespace(link(&format!("ns/{kind}")), kind),
            )
        })
        .collect();
    let status = fs::read_to_string(proc.join("status")).unwrap_or_default();
    let field = |name: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    };
    let number = |name: &str| field(name).and_then(|text| text.parse::<u64>().ok());
    let ids = |name: &str| {
        let text = field(name)?;
        text.split_whitespace()
            .map(|id| id.parse().ok())
            .collect::<Option<Vec<u64>>>()
    };
    let capabilities = |name: &str| {
        field(name)
            .and_then(|text| u64::from_str_radix(text, 16).ok())
            .map(names)
    };
    json!({
        "pid": pid,
        "executable": link("exe"),
        "root": link("root"),
        "working_directory": link("cwd"),
        "namespaces": own,
        "mounts": mounts(&fs::read_to_string(proc.join("mountinfo")).unwrap_or_default()),
        "user_ids": ids("Uid"),
        "group_ids": ids("Gid"),
        "groups": ids("Groups"),
        "capabilities": {
            "effective": capabilities("CapEff"),
            "permitted": capabilities("CapPrm"),
            "inheritable": capabilities("CapInh"),
            "bounding": capabilities("CapBnd"),
            "ambient": capabilities("CapAmb"),
        },
        "no_new_privs": number("NoNewPrivs").map(|set| set == 1),
        "seccomp": match number("Seccomp") {
            Some(0) => json!("off"),
            Some(1) => json!("strict"),
            Some(2) => json!("filter"),
            _ => Value::Null,
        },
        "seccomp_filters": number("Seccomp_filters"),
        "threads": number("Threads"),
        "membership": membership(&fs::read_to_string(proc.join("cgroup")).unwrap_or_default()),
    })
}

/// The bounding set of a process.
pub(crate) fn bounding_set(pid: u32) -> Option<CapabilitySet> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut lines = status.lines();
    let text = lines.find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(text.trim(), 16).ok().map(CapabilitySet)
}

/// A namespace: its inode, and whether the caller is in it as well.
fn namespace(link: Option<String>, kind: &str) -> Value {
    let Some(link) = link else { return Value::Null };
    let ours = fs::read_link(format!("/proc/self/ns/{kind}")).ok();
    let inode = link
        .rsplit_once('[')
        .and_then(|(_, rest)| rest.strip_suffix(']')?.parse::<u64>().ok());
    json!({ "inode": inode, "shared": ours.is_some_and(|ours| ours.as_os_str() == link.as_str()) })
}

fn names(mask: u64) -> Vec<String> {
    let set = (0..64).filter(|number| mask >> number & 1 == 1);
    set.map(capability_name).collect()
}

/// The table of mounts, escaped as the kernel has it: proc_pid_mountinfo(5).
fn mounts(table: &str) -> Vec<Value> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let before: Vec<&str> = before.split(' ').collect();
        let mut after = after.split(' ');
        Some(json!({
            "target": before.get(4)?,
            "root": before.get(3)?,
            "options": before.get(5)?,
            "propagation": before.get(6..)?,
            "type": after.next()?,
            "source": after.next()?,
            "filesystem_options": after.next(),
        }))
    };
    table.lines().filter_map(mount).collect()
}

/// The cgroups, one for each hierarchy: proc_pid_cgroup(5).
fn membership(table: &str) -> Vec<Value> {
    let one = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some(json!({ "controllers": parts.next()?, "path": parts.next()? }))
    };
    table.lines().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_with_and_without_propagation() {
        let table = "36 35 98:0 /a /mnt\\0402 rw,noatime master:1 shared:2 - ext3 /dev/root rw\n36 35 98:0 / / rw - tmpfs t rw\n";
        let found = mounts(table);
        assert_eq!(found[0]["target"], "/mnt\\0402");
        assert_eq!(found[0]["propagation"], json!(["master:1", "shared:2"]));
        assert_eq!(found[1]["type"], "tmpfs");
        assert_eq!(found[1]["propagation"], json!([]));
    }

    #[test]
    fn capabilities_have_names() {
        assert_eq!(names(1 << 21 | 1), ["CAP_CHOWN", "CAP_SYS_ADMIN"]);
    }
}
