// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making cgroups, and setting what is to hold for them.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, OFlag, openat};
use nix::sys::stat::Mode;

use super::{Cgroup, Directory, Place, sweep};
use crate::errno;
use crate::plan::{CgroupFile, CgroupGroup, Cgroups, shown};

/// How often a new cgroup may be taken for an old one before its maker gets hold of it.
const TRIES: usize = 100;

/// Why there is no cgroup.
#[derive(Debug)]
pub(crate) struct MakeError {
    /// What could not be done: a verb and an object.
    pub(crate) action: String,
    pub(crate) errno: Errno,
    /// The limit that it was for.
    pub(crate) file: Option<CgroupFile>,
}

fn cannot(action: String) -> impl Fn(io::Error) -> MakeError {
    move |error| MakeError {
        action: action.clone(),
        errno: errno::of(&error),
        file: None,
    }
}

impl Cgroup {
    /// Makes the cgroups of a box of this name. What others have left is removed on the way.
    pub(crate) fn make(plan: &Cgroups, name: &str) -> Result<Self, MakeError> {
        let mut made = Self {
            directories: Vec::with_capacity(plan.groups.len()),
        };
        for group in &plan.groups {
            let asked = group.files.first();
            let blame = |error: MakeError| MakeError {
                file: error.file.or_else(|| asked.cloned()),
                ..error
            };
            let parent = parent(group).map_err(blame)?;
            let directory = Directory::make_in(group, &parent, name).map_err(blame)?;
            // From here on it is removed if something goes wrong.
            made.directories.push(directory);
            if let Some(directory) = made.directories.last() {
                directory.set(group, &parent)?;
            }
        }
        Ok(made)
    }
}

/// The directory for the boxes' cgroups: the first that can be used. On version 2 it hands the
/// controllers on.
fn parent(group: &CgroupGroup) -> Result<PathBuf, MakeError> {
    let mut first = None;
    for parent in &group.parents {
        match prepare(group, parent) {
            Ok(path) => return Ok(path),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or(MakeError {
        action: "find a place for cgroups".to_owned(),
        errno: Errno::ENOENT,
        file: None,
    }))
}

fn prepare(group: &CgroupGroup, parent: &Path) -> Result<PathBuf, MakeError> {
    let mut path = group.mount.clone();
    let mut names = parent.components();
    loop {
        if group.unified {
            hand_on(group, &path)?;
        }
        let Some(name) = names.next() else {
            return Ok(path);
        };
        let above = path.clone();
        path.push(name);
        let made = fs::DirBuilder::new().mode(0o755).create(&path);
        match made {
            Ok(()) => {
                if group.controllers.contains(&"cpuset") && !group.unified {
                    inherit_cpuset(&above, &path)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if path.is_dir() => drop(error),
            Err(error) => return Err(cannot(format!("make the cgroup {}", shown(&path)))(error)),
        }
    }
}

/// Gives the controllers to the cgroups below: `cgroup.subtree_control`. The kernel refuses that to a
/// cgroup with processes of its own, other than the root.
fn hand_on(group: &CgroupGroup, path: &Path) -> Result<(), MakeError> {
    let file = path.join("cgroup.subtree_control");
    let given = fs::read_to_string(&file).unwrap_or_default();
    for controller in &group.controllers {
        if given.split_whitespace().any(|given| given == *controller) {
            continue;
        }
        let asked = group
            .files
            .iter()
            .find(|file| crate::spec::controller_of(&file.name) == Some(*controller));
        write(&file, &format!("+{controller}")).map_err(|errno| MakeError {
            action: format!("hand the {controller} controller on in {}", shown(path)),
            errno,
            file: asked.cloned(),
        })?;
    }
    Ok(())
}

/// A new cgroup of the cpuset controller has neither processors nor memory on version 1, and nobody can
/// enter it.
fn inherit_cpuset(above: &Path, path: &Path) -> Result<(), MakeError> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let cannot = |errno| MakeError {
            action: format!("set {}", shown(&path.join(name))),
            errno,
            file: None,
        };
        let value =
            fs::read_to_string(above.join(name)).map_err(|error| cannot(errno::of(&error)))?;
        write(&path.join(name), value.trim()).map_err(cannot)?;
    }
    Ok(())
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), Errno> {
    write_in(AT_FDCWD, path, text)
}

/// One write(2): what the kernel makes a limit of is not written in pieces.
fn write_in(directory: impl AsFd, name: &Path, text: &str) -> Result<(), Errno> {
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let file = openat(directory, name, flags, Mode::empty())?;
    nix::unistd::write(&file, text.as_bytes()).map(drop)
}

impl Directory {
    fn make_in(group: &CgroupGroup, parent: &Path, name: &str) -> Result<Self, MakeError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep::sweep(parent);
        let mut last = io::Error::from_raw_os_error(libc::EEXIST);
        let mut path = parent.to_owned();
        for _ in 0..TRIES {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            path = parent.join(super::name(name, std::process::id(), count));
            match fs::DirBuilder::new().mode(0o755).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => {
                    last = error;
                    break;
                }
            }
            // Somebody who sweeps may have been faster than the lock.
            match Self::hold(&path) {
                Ok(lock) => {
                    return Ok(Self {
                        place: Place {
                            unified: group.unified,
                            controllers: group.controllers.clone(),
                            path,
                        },
                        lock,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(cannot(format!("make the cgroup {}", shown(&path)))(last))
    }

    /// Locks a directory, and looks whether it still is the one of this path.
    pub(super) fn hold(path: &Path) -> io::Result<Flock<File>> {
        let lock = Flock::lock(File::open(path)?, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| io::Error::from(errno))?;
        if lock.metadata()?.ino() == fs::metadata(path)?.ino() {
            Ok(lock)
        } else {
            Err(io::Error::from_raw_os_error(libc::ESTALE))
        }
    }

    fn set(&self, group: &CgroupGroup, parent: &Path) -> Result<(), MakeError> {
        if !group.unified && group.controllers.contains(&"cpuset") {
            inherit_cpuset(parent, &self.place.path)?;
        }
        let mut alternatives = Vec::new();
        let mut is_one_there = false;
        for file in &group.files {
            match write_in(&*self.lock, Path::new(&file.name), &file.value) {
                Ok(()) => is_one_there |= file.alternative,
                Err(Errno::ENOENT) if file.alternative => alternatives.push(file),
                Err(errno) => {
                    return Err(MakeError {
                        action: format!("set {} to {}", file.name, file.value.escape_default()),
                        errno,
                        file: Some(file.clone()),
                    });
                }
            }
        }
        match alternatives.first() {
            Some(&first) if !is_one_there => {
                let names: Vec<&str> = alternatives.iter().map(|file| &*file.name).collect();
                Err(MakeError {
                    action: format!("set {}", names.join(" or ")),
                    errno: Errno::ENOENT,
                    file: Some(first.clone()),
                })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn door(&self) -> nix::Result<OwnedFd> {
        let name = if self.place.unified {
            "cgroup.procs"
        } else {
            "tasks"
        };
        let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        openat(&*self.lock, name, flags, Mode::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Origin;

    fn group(files: &[(&str, &str)]) -> CgroupGroup {
        CgroupGroup {
            unified: true,
            mount: PathBuf::new(),
            parents: Vec::new(),
            names: String::new(),
            controllers: Vec::new(),
            files: files
                .iter()
                .map(|&(name, value)| CgroupFile {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    origin: Origin::Default,
                    alternative: name.ends_with(".weight"),
                })
                .collect(),
        }
    }

    #[test]
    fn of_alternatives_those_that_are_there_are_written_and_one_has_to_be() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let of = |path: &Path| Directory {
            place: Place {
                unified: true,
                controllers: Vec::new(),
                path: path.to_owned(),
            },
            lock: Directory::hold(path).expect("nobody else has it"),
        };
        let set = |files: &[(&str, &str)]| of(path).set(&group(files), path);
        let weights = [
            ("pids.max", "9"),
            ("io.weight", "1"),
            ("io.bfq.weight", "2"),
        ];
        fs::write(path.join("pids.max"), "").expect("it is ours");
        let none = set(&weights).expect_err("there is no weight");
        assert_eq!(none.action, "set io.weight or io.bfq.weight");
        assert_eq!(none.errno, Errno::ENOENT);
        assert!(none.file.is_some_and(|file| file.alternative));
        fs::write(path.join("io.bfq.weight"), "").expect("it is ours");
        set(&weights).expect("there is one");
        let text = |name: &str| fs::read_to_string(path.join(name)).ok();
        assert_eq!(text("io.bfq.weight").as_deref(), Some("2"));
        assert_eq!(text("io.weight"), None);
        let missing = set(&[("pids.min", "9")]).expect_err("that is no alternative");
        assert_eq!(missing.action, "set pids.min to 9");
    }
}
