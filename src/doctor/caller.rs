// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the calling process may do, and where it runs.

use super::{Finding, Health};
use crate::host::{caller, proc};
use crate::plan::HostFacts;
use crate::spec::{Spec, capability_name};

const TOPIC: &str = "caller";

pub(super) fn examine() -> Vec<Finding> {
    vec![
        capabilities(),
        new_privileges(),
        filter(),
        container(),
        chroot(),
        procfs(),
    ]
}

fn capabilities() -> Finding {
    let facts = HostFacts::gather(&Spec::new("/"));
    let has: Vec<u8> = facts.effective.numbers(facts.last_cap).collect();
    let lacks: Vec<String> = (0..=facts.last_cap)
        .filter(|number| !has.contains(number))
        .map(capability_name)
        .collect();
    let finding = |detail: String| Finding::ok(TOPIC, "capabilities", detail);
    match (has.as_slice(), lacks.as_slice()) {
        ([], _) => finding("none; a box gets a user namespace, in which it has its own".to_owned()),
        (_, []) => finding("all".to_owned()),
        (has, lacks) if has.len() < lacks.len() => {
            let has: Vec<String> = has.iter().copied().map(capability_name).collect();
            let fix = "start clonebox as root, or give its container --privileged";
            finding(format!("only {}", has.join(", "))).with(Health::Limited, fix)
        }
        (_, lacks) => {
            let lacks = lacks.join(", ");
            let fix = format!(
                "let what has started this process leave it {lacks}: of a container, --cap-add"
            );
            finding(format!("all but {lacks}")).with(Health::Limited, fix)
        }
    }
}

fn new_privileges() -> Finding {
    let finding = |detail| Finding::ok(TOPIC, "set-user-id", detail);
    if caller::has_no_new_privs() {
        finding("no_new_privs is set: sudo and newuidmap have no effect")
            .with(Health::Limited, "start clonebox from outside of that: a box with --allow-new-privs, a service with NoNewPrivileges=no")
    } else {
        finding("has its effect")
    }
}

fn filter() -> Finding {
    let finding = |detail| Finding::ok(TOPIC, "seccomp filter", detail);
    if !caller::has_filter() {
        return finding("none is in force");
    }
    let fix = if caller::is_filtered() {
        caller::FILTERED
    } else {
        "where it is in the way of a box: start that container with --security-opt seccomp=unconfined, that box with \
         --seccomp off, or clonebox outside of it"
    };
    finding("one is in force, and boxes inherit it").with(Health::Limited, fix)
}

fn container() -> Finding {
    let detail = match caller::container() {
        None => "no sign of one".to_owned(),
        Some(sign) => format!("this is one, as {sign} tells"),
    };
    Finding::ok(TOPIC, "container", detail)
}

fn chroot() -> Finding {
    let finding = |detail| Finding::ok(TOPIC, "root", detail);
    if caller::is_in_chroot() {
        finding("this process is in a chroot: there are no user namespaces").with(
            Health::Limited,
            "enter it by pivot_root(2) instead, as clonebox --rootfs DIRECTORY does",
        )
    } else {
        finding("that of the mount namespace")
    }
}

fn procfs() -> Finding {
    let finding = |detail| Finding::ok(TOPIC, "/proc", detail);
    if !std::path::Path::new("/proc/self").exists() {
        return finding("it is not mounted").with(Health::Missing, "mount -t proc proc /proc");
    }
    match proc::refusal() {
        None => finding("all of it is to be seen"),
        Some(reason) => finding("parts of it are covered").with(Health::Limited, reason),
    }
}
