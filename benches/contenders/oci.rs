// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runtimes that take a bundle: a directory with a root filesystem and a config.json.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Contender;
use crate::support::Result;

/// The namespaces, the capabilities and the mount of a plain box, and no limits.
const CONFIG: &str = r#"{
  "ociVersion": "1.0.2",
  "process": {
    "user": { "uid": 0, "gid": 0 },
    "args": ["/exit"],
    "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
    "cwd": "/",
    "capabilities": {
      "bounding": [CAPS], "effective": [CAPS], "permitted": [CAPS]
    },
    "noNewPrivileges": true
  },
  "root": { "path": "rootfs" },
  "hostname": "bench-box",
  "mounts": [
    { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] }
  ],
  "linux": { "namespaces": [{ "type": "pid" }, { "type": "uts" }, { "type": "mount" }] }
}
"#;

/// The mounts, and what is covered, of a box with a root filesystem; `LIMITS` are resources or nothing.
const ROOT_CONFIG: &str = r#"{
  "ociVersion": "1.0.2",
  "process": {
    "user": { "uid": 0, "gid": 0 },
    "args": ["/exit"],
    "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
    "cwd": "/",
    "capabilities": {
      "bounding": [CAPS], "effective": [CAPS], "permitted": [CAPS]
    },
    "noNewPrivileges": true
  },
  "root": { "path": "rootfs" },
  "hostname": "bench-box",
  "mounts": [
    { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
    { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
      "options": ["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"] },
    { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
      "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
    { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
      "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
    { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] }
  ],
  "linux": {
    LIMITS
    "namespaces": [{ "type": "pid" }, { "type": "uts" }, { "type": "mount" }],
    "maskedPaths": [
      "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
      "/proc/timer_list", "/proc/timer_stats", "/proc/acpi", "/proc/asound", "/proc/scsi",
      "/sys/firmware", "/sys/devices/virtual/powercap"
    ],
    "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
  }
}
"#;

/// The limits of [`LIMITS`] in the words of the specification.
const RESOURCES: &str =
    r#""resources": { "memory": { "limit": 67108864 }, "pids": { "limit": 64 } },"#;

/// Memory and processes.
pub(crate) const LIMITS: [&str; 4] = ["--memory", "64m", "--pids-limit", "64"];

/// The word of a command that stands for the name of the container.
pub(crate) const NAME: &str = "<name>";

/// Names that no container has had: `run` refuses one that is known.
#[derive(Default)]
pub(crate) struct Names(u32);

impl Names {
    /// The command with a new name.
    pub(crate) fn command(&mut self, command: &Command) -> Command {
        self.0 += 1;
        let name = format!("clonebox-bench-{}-{}", std::process::id(), self.0);
        with_name(command, name.as_ref())
    }
}

/// The same command once more.
pub(crate) fn copy(command: &Command) -> Command {
    with_name(command, NAME.as_ref())
}

fn with_name(command: &Command, name: &OsStr) -> Command {
    let mut copy = Command::new(command.get_program());
    let envs = command.get_envs();
    let words = command.get_args();
    copy.args(words.map(|word| if word == NAME { name } else { word }))
        .env_clear()
        .envs(envs.filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    copy
}

/// A bundle with a root filesystem that has the program at `/exit`.
fn bundle(dir: &Path, name: &str, exit: &Path, config: &str) -> Result<PathBuf> {
    let bundle = dir.join(name);
    let root = bundle.join("rootfs");
    for place in ["dev", "proc", "sys"] {
        fs::create_dir_all(root.join(place))?;
    }
    fs::copy(exit, root.join("exit"))?;
    let quoted = super::KEPT.map(|capability| format!("\"{capability}\""));
    let config = config.replace("CAPS", &quoted.join(", "));
    fs::write(bundle.join("config.json"), config)?;
    Ok(bundle)
}

/// The root filesystem of the bundle that has all mounts.
pub(crate) fn rootfs(dir: &Path) -> PathBuf {
    dir.join("root").join("rootfs")
}

pub(crate) fn all(exit: &Path, dir: &Path) -> Result<Vec<Contender>> {
    let root = ROOT_CONFIG.replace("LIMITS", "");
    let limits = ROOT_CONFIG.replace("LIMITS", RESOURCES);
    let mut contenders = Vec::new();
    for (name, config, contender) in [
        ("bundle", CONFIG, ["crun", "runc", "youki"]),
        ("root", &root, ["crun-root", "runc-root", "youki-root"]),
        (
            "limits",
            &limits,
            ["crun-limits", "runc-limits", "youki-limits"],
        ),
    ] {
        let bundle = bundle(dir, name, exit, config)?;
        for (runtime, name) in ["crun", "runc", "youki"].into_iter().zip(contender) {
            let mut contender = Contender::new(name, runtime)
                .args(["run", "-b"])
                .args([&bundle])
                .args([NAME])
                .named();
            contender.slow = true;
            contenders.push(contender);
        }
    }
    Ok(contenders)
}
