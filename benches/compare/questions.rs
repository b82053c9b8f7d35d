// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the page asks, and which numbers answer.

use crate::runs::Group;

/// A question: its table has a column for each group that answers, in which others are held against one.
pub(crate) struct Question {
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
    pub(crate) answers: fn(&Group) -> bool,
    /// What the others are held against: the first of these that was measured.
    pub(crate) unit: &'static [&'static str],
    pub(crate) column: fn(&Group) -> String,
}

pub(crate) const ALL: [Question; 6] = [
    Question {
        title: "What does a box cost a program that starts many?",
        text: "A plain box, from programs that have nothing, memory, or threads that are busy with the allocator. The \
               floor makes the same system calls, written straight: what is above it is clonebox's own.",
        answers: |group| group.kind == "library",
        unit: &["floor"],
        column: |group| match (group.resident_mib, group.threads) {
            (0, 1) => "nothing resident".to_owned(),
            (mib, 1) => format!("{mib} MiB resident"),
            (_, threads) => format!("{threads} busy threads"),
        },
    },
    Question {
        title: "And with a root filesystem, on a host with many mounts?",
        text: "The floor of a template joins a mount namespace that is there, copies it, and mounts what each box has for \
               itself. `command` makes every mount each time, and copies the host's. hakoniwa launches from a program of its \
               own that carries the same.",
        answers: |group| group.kind == "library-root",
        unit: &["floor-once"],
        column: |group| {
            let mounts = format!("{} host mounts", group.mounts);
            match (group.resident_mib, group.threads) {
                (0, 1) => mounts,
                (0, threads) => format!("{mounts}, {threads} busy threads"),
                (mib, _) => format!("{mounts}, {mib} MiB resident"),
            }
        },
    },
    Question {
        title: "How many boxes a second, with all processors?",
        text: "One program with a thread for each processor, and for the floor as many programs, which share nothing. Here \
               more is better.",
        answers: |group| group.kind == "rate",
        unit: &["floor"],
        column: |group| format!("boxes a second, {} processors", group.threads),
    },
    Question {
        title: "What does a command cost?",
        text: "A plain box, one at a time and several at once. Each is timed from its spawn until it is reaped.",
        answers: |group| group.kind == "command",
        unit: &["clonebox-musl", "clonebox"],
        column: |group| at_once(group.at_once),
    },
    Question {
        title: "And a command with a root filesystem, on a host with many mounts?",
        text: "One at a time. The same mounts, as far as each can be told.",
        answers: |group| group.kind == "root" && group.at_once == 1,
        unit: &["clonebox-root", "clonebox-template-root"],
        column: |group| format!("{} host mounts", group.mounts),
    },
    Question {
        title: "And several of those at once?",
        text: "",
        answers: |group| group.kind == "root" && group.at_once > 1,
        unit: &["clonebox-root", "clonebox-template-root"],
        column: |group| format!("{} host mounts, {}", group.mounts, at_once(group.at_once)),
    },
];

fn at_once(count: usize) -> String {
    match count {
        1 => "one at a time".to_owned(),
        count => format!("{count} at once"),
    }
}

/// What a row of a table is, in words.
pub(crate) fn said(kind: &str, name: &str) -> &'static str {
    match (kind, name) {
        (_, "std") => "`std::process::Command`, no box",
        (_, "bare") => "vfork and execve, no box",
        ("library-root", "floor-once") => "floor of a template",
        ("rate", "floor") => "floor, copies of it",
        (_, "floor") => "floor",
        (_, "template" | "template-once") => "**clonebox**, `Template::spawn`",
        ("library-root", "command") => "**clonebox**, `Command::spawn`, all mounts each time",
        (_, "command") => "**clonebox**, `Command::spawn`",
        (_, "pool") => "**clonebox**, `Pool::spawn`",
        (_, "pool-later") => "**clonebox**, `Pool::spawn`, unmounted later",
        (_, "reexec") => "a program that executes itself",
        (_, "hakoniwa") => "hakoniwa, the crate",
        (_, "target") => "the program alone, no box",
        (_, "clonebox") => "**clonebox**, glibc",
        (_, "clonebox-musl") => "**clonebox**, musl: as installed",
        (_, "clonebox-root") => "**clonebox**, musl",
        (_, "clonebox-template-root") => "**clonebox** `--template`",
        (_, "clonebox-userns") => "**clonebox**, musl, `--userns auto`",
        (_, "unshare") => "`unshare`",
        (_, "bwrap" | "bwrap-root") => "bwrap",
        (_, "crun" | "crun-root") => "`crun run`",
        (_, "runc" | "runc-root") => "`runc run`",
        (_, "youki" | "youki-root") => "`youki run`",
        (_, "nsjail" | "nsjail-root") => "nsjail",
        (_, "nspawn-root") => "systemd-nspawn",
        (_, "firejail") => "firejail",
        _ => "?",
    }
}
