// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runtimes that take a bundle: a directory with a root filesystem and a config.json.

use std::fs;
use std::path::Path;
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

/// Names that no container has had: `run` refuses one that is known.
pub(super) struct Names(u32);

impl Names {
    /// The command with a new name as its last word.
    pub(super) fn command(&mut self, command: &Command) -> Command {
        self.0 += 1;
        let mut named = Command::new(command.get_program());
        named
            .args(command.get_args())
            .arg(format!("clonebox-bench-{}-{}", std::process::id(), self.0))
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        named
    }
}

pub(super) fn all(exit: &Path, dir: &Path) -> Result<impl Iterator<Item = Contender>> {
    let bundle = dir.join("bundle");
    let root = bundle.join("rootfs");
    for place in ["dev", "proc"] {
        fs::create_dir_all(root.join(place))?;
    }
    fs::copy(exit, root.join("exit"))?;
    let quoted = super::KEPT.map(|capability| format!("\"{capability}\""));
    let config = CONFIG.replace("CAPS", &quoted.join(", "));
    fs::write(bundle.join("config.json"), config)?;
    Ok(["crun", "runc"].into_iter().map(move |name| {
        let mut contender = Contender::new(name, name)
            .args(["run", "-b"])
            .args([&bundle]);
        contender.slow = true;
        contender.container = Some(Names(0));
        contender
    }))
}
