// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stopping all processes of a box at once, and letting them go on. See cgroups(7).
//!
//! On version 2 every cgroup can be frozen. On version 1 another hierarchy does that, in which a box has no
//! cgroup: it gets one for as long as it is paused, beside the one that it is in. Signals cannot do the
//! same: a SIGSTOP is seen by the parents of those who are stopped, and misses those who are just being forked.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::cgroup::Place;
use crate::errno;
use crate::host::mountinfo::Table;

/// How long the kernel may take to freeze all. Our own choice: one that sleeps in a call that cannot be
/// interrupted may hold it up for ever.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);
/// How often new processes are looked for that were forked while others were moved.
const ROUNDS: usize = 100;

/// What freezes a box.
#[derive(Debug)]
pub(crate) enum Freezer {
    /// Its cgroup of version 2.
    Unified(PathBuf),
    /// A cgroup of the freezer of version 1, made for that, and one that has all of its processes.
    Legacy { path: PathBuf, members: Place },
}

impl Freezer {
    /// That of a box with these cgroups; `None` without any.
    pub(crate) fn of(places: &[Place], pid: u32) -> Option<Self> {
        if let Some(place) = places.iter().find(|place| place.unified) {
            return Some(Self::Unified(place.path.clone()));
        }
        let members = places.first()?.clone();
        let name = members.path.file_name()?.to_owned();
        let (mount, root) = hierarchy()?;
        let table = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let own = table.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let is_freezer = parts.next()?.split(',').any(|name| name == "freezer");
            parts.next().filter(|_| is_freezer)
        })?;
        let own = Path::new(own);
        let own = mount.join(
            own.strip_prefix(&root)
                .unwrap_or(own.strip_prefix("/").ok()?),
        );
        let path = if own.ends_with(&name) {
            own
        } else {
            own.join(&name)
        };
        Some(Self::Legacy { path, members })
    }

    pub(crate) fn is_frozen(&self) -> bool {
        let (file, thawed) = match self {
            Self::Unified(path) => (path.join("cgroup.freeze"), "0"),
            Self::Legacy { path, .. } => (path.join("freezer.state"), "THAWED"),
        };
        fs::read_to_string(file).is_ok_and(|state| state.trim() != thawed)
    }

    /// Returns when all are frozen.
    pub(crate) fn freeze(&self) -> Result<(), Errno> {
        let (file, frozen) = match self {
            Self::Unified(path) => {
                write(&path.join("cgroup.freeze"), "1")?;
                (path.join("cgroup.events"), "frozen 1")
            }
            Self::Legacy { path, members } => {
                gather(path, members).inspect_err(|_| {
                    let _ = self.thaw();
                })?;
                write(&path.join("freezer.state"), "FROZEN")?;
                (path.join("freezer.state"), "FROZEN")
            }
        };
        let deadline = Instant::now() + PATIENCE;
        while !fs::read_to_string(&file).is_ok_and(|text| text.lines().any(|line| line == frozen)) {
            if Instant::now() >= deadline {
                self.thaw()?;
                return Err(Errno::ETIMEDOUT);
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    pub(crate) fn thaw(&self) -> Result<(), Errno> {
        match self {
            Self::Unified(path) => write(&path.join("cgroup.freeze"), "0"),
            Self::Legacy { path, .. } => {
                write(&path.join("freezer.state"), "THAWED")?;
                let Some(above) = path.parent() else {
                    return Ok(());
                };
                for _ in 0..ROUNDS {
                    for process in processes(path) {
                        enter(above, process)?;
                    }
                    match fs::remove_dir(path) {
                        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                        _ => break,
                    }
                }
                Ok(())
            }
        }
    }
}

/// Moves all processes of a box into a new cgroup.
fn gather(path: &Path, members: &Place) -> Result<(), Errno> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(errno::of(&error));
        }
        _ => {}
    }
    for _ in 0..ROUNDS {
        let inside = processes(path);
        let all = processes(&members.path);
        let missing: Vec<u32> = all
            .iter()
            .copied()
            .filter(|process| !inside.contains(process))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        for process in missing {
            enter(path, process)?;
        }
        // An id may have been used again by somebody else before it was moved: that one goes back.
        let all = processes(&members.path);
        if let Some(above) = path.parent() {
            for process in processes(path)
                .into_iter()
                .filter(|process| !all.contains(process))
            {
                enter(above, process)?;
            }
        }
    }
    Err(Errno::EAGAIN)
}

/// Where the hierarchy of the freezer is mounted, and which part of it.
fn hierarchy() -> Option<(PathBuf, PathBuf)> {
    let table = Table::read()?;
    let mut mounts = table.mounts();
    let found = mounts.find(|mount| {
        let mut options = mount.options.split(|&byte| byte == b',');
        mount.kind == b"cgroup" && options.any(|option| option == b"freezer")
    });
    found.map(|mount| (mount.point(), mount.root()))
}

fn processes(path: &Path) -> Vec<u32> {
    let list = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Moves a process. One that has ended meanwhile needs not be.
fn enter(path: &Path, process: u32) -> Result<(), Errno> {
    match write(&path.join("cgroup.procs"), &process.to_string()) {
        Err(Errno::ESRCH) => Ok(()),
        other => other,
    }
}

fn write(path: &Path, text: &str) -> Result<(), Errno> {
    fs::write(path, text).map_err(|error| errno::of(&error))
}
