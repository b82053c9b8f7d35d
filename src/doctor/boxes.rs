// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boxes, tried. A program that is not there ends each at its last step, execve(2): whoever gets that far
//! has a box.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Finding, Health};
use crate::command::Command;
use crate::error::{Error, ErrorKind};
use crate::host;
use crate::spec::{
    Cpus, Namespace, Network, Origin, Rootfs, Setting, Spec, TimeOffset, Tty, UserNamespace, Writes,
};

const TOPIC: &str = "boxes";
pub(super) const PLAIN: &str = "plain box";
const PASTA: &str = "pasta network";
const NOWHERE: &str = "/dev/null/none";

/// A kind of box: its name, and how it differs from the plain one.
type Kind = (&'static str, fn(&mut Spec, &Path));

const KINDS: [Kind; 13] = [
    (PLAIN, |_, _| {}),
    ("user namespace", |spec, _| {
        spec.namespaces.user = asked(UserNamespace::Auto);
    }),
    ("init", |spec, _| spec.init = Some(origin())),
    ("terminal", |spec, _| spec.tty = asked(Tty::New)),
    ("network namespace", |spec, _| {
        spec.namespaces.net = asked(Namespace::Private.into());
    }),
    (PASTA, |spec, _| {
        spec.namespaces.net = asked(Network::Pasta);
    }),
    ("ipc namespace", |spec, _| {
        spec.namespaces.ipc = asked(Namespace::Private);
    }),
    ("cgroup namespace", |spec, _| {
        spec.namespaces.cgroup = asked(Namespace::Private);
    }),
    ("root filesystem", |spec, root| {
        spec.rootfs = Some(rootfs(root, Writes::Through));
    }),
    ("overlay", |spec, root| {
        spec.rootfs = Some(rootfs(root, Writes::Discard));
    }),
    ("memory limit", |spec, _| {
        spec.limits.memory = Some(asked(64 << 20));
    }),
    ("processor limit", |spec, _| {
        spec.limits.cpus = Some(asked(Cpus(1000)));
    }),
    ("process limit", |spec, _| {
        spec.limits.pids = Some(asked(64));
    }),
];

fn origin() -> Origin {
    Origin::Call("Diagnosis::examine")
}

fn asked<T>(value: T) -> Setting<T> {
    Setting::new(value, origin())
}

fn rootfs(root: &Path, writes: Writes) -> Setting<Rootfs> {
    asked(Rootfs {
        path: root.to_owned(),
        writes,
    })
}

/// Tries one box of each kind.
pub(super) fn examine() -> Vec<Finding> {
    let root = EmptyRoot::new();
    let mut findings: Vec<Finding> = Vec::new();
    for (name, change) in KINDS {
        let path = match &root {
            Ok(root) => root.0.as_path(),
            Err(_) => Path::new("/"),
        };
        let mut spec = Spec::new(NOWHERE);
        change(&mut spec, path);
        let finding = match (&spec.rootfs, &root) {
            (Some(_), Err(reason)) => {
                let fix = "set TMPDIR to a directory that this user may write to";
                Finding::ok(TOPIC, name, format!("not tried: {reason}")).with(Health::Limited, fix)
            }
            _ if name == PASTA && host::find_program("pasta").is_none() => {
                Finding::ok(TOPIC, name, "there is no pasta in PATH")
                    .with(Health::Missing, "apt install passt")
            }
            _ => finding(name, try_box(spec)),
        };
        let plain = findings.first();
        findings.push(without_repetition(finding, plain));
    }
    let time = finding("time namespace", try_clocks());
    let time = without_repetition(time, findings.first());
    findings.push(time);
    findings
}

/// The way out where none has been found.
const UNKNOWN: &str = "nothing that is looked for is in the way: try as root, outside of a container, or on another kernel";

fn finding(name: &'static str, tried: Result<(), Error>) -> Finding {
    match tried {
        Ok(()) => Finding::ok(TOPIC, name, "starts"),
        Err(error) => Finding::ok(TOPIC, name, error.to_string())
            .with(Health::Missing, error.hint().unwrap_or(UNKNOWN)),
    }
}

/// What keeps every box from starting is said of the plain one.
fn without_repetition(finding: Finding, plain: Option<&Finding>) -> Finding {
    let same = plain.filter(|plain| plain.health != Health::Ok && plain.detail == finding.detail);
    if same.is_none() {
        return finding;
    }
    Finding {
        detail: format!("as the {PLAIN}"),
        ..finding
    }
}

/// Starts a box as far as execve(2).
fn try_box(spec: Spec) -> Result<(), Error> {
    match Command::from(spec).spawn() {
        Err(error) if error.kind() != ErrorKind::Exec => Err(error),
        // The box of a program that cannot be there is not to be expected; it must not stay.
        Ok(mut child) => {
            let _ = child.kill();
            let _ = child.wait();
            Ok(())
        }
        Err(_) => Ok(()),
    }
}

/// Clocks of its own are entered at execve(2), by some kernels not at all: so this program is one that is
/// there, and lasts. Without sleep(1) it is as with the others.
fn try_clocks() -> Result<(), Error> {
    let mut spec = Spec::new("sleep");
    spec.exec.args = vec!["10".into()];
    spec.namespaces.time = Some(asked(TimeOffset {
        monotonic_s: 1,
        boottime_s: 1,
    }));
    try_box(spec)
}

/// A root filesystem with nothing in it but its mount points, removed when it is dropped.
struct EmptyRoot(PathBuf);

impl EmptyRoot {
    const MOUNT_POINTS: [&str; 3] = ["proc", "sys", "dev"];

    fn new() -> Result<Self, String> {
        let template = std::env::temp_dir().join("clonebox-doctor-XXXXXX");
        let cannot = |error: &dyn std::fmt::Display| {
            format!(
                "no directory can be made in {}: {error}",
                std::env::temp_dir().display()
            )
        };
        let root = Self(nix::unistd::mkdtemp(&template).map_err(|errno| cannot(&errno.desc()))?);
        for name in Self::MOUNT_POINTS {
            fs::create_dir(root.0.join(name)).map_err(|error| cannot(&error))?;
        }
        Ok(root)
    }
}

impl Drop for EmptyRoot {
    fn drop(&mut self) {
        // No tree is walked: nothing else is in it.
        for name in Self::MOUNT_POINTS {
            let _ = fs::remove_dir(self.0.join(name));
        }
        let _ = fs::remove_dir(&self.0);
    }
}
