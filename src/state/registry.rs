// SPDX-License-Identifier: MIT OR Apache-2.0
//! All boxes of a user.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use super::claim::Claim;
use super::directory::{ASIDE, Directory, is_locked};
use super::entry::Entry;
use super::record::{Host, Record};
use crate::cgroup::Place;
use crate::command::Template;
use crate::error::Error;
use crate::plan::Plan;
use crate::spec::{ParentDeath, Writes};

/// What root's boxes are in.
const RUN: &str = "/run/clonebox";
/// The suffix of a record.
const RECORD: &str = ".box";
/// The suffixes of what may be beside one.
pub(super) const BESIDE: [&str; 5] = [".plan", ".walls", ".log", ".log.old", ".sock"];

/// The boxes with a name: in `/run/clonebox` for root, in `$XDG_RUNTIME_DIR/clonebox` for others.
///
/// It may be used from any thread and any number of processes at once.
#[derive(Clone, Debug)]
pub struct Registry {
    path: PathBuf,
}

impl Registry {
    /// That of the caller. Nothing is made or opened yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State) for an ordinary user without an XDG_RUNTIME_DIR.
    pub fn of_user() -> Result<Self, Error> {
        if geteuid().is_root() {
            return Ok(Self::at(RUN));
        }
        match env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
            Some(path) if path.is_absolute() => Ok(Self::at(path.join("clonebox"))),
            Some(path) if !path.as_os_str().is_empty() => Err(Error::state(format!(
                "XDG_RUNTIME_DIR is {path:?}, and no absolute path"
            ))),
            _ => Err(Error::state(
                "there is no place for the state of boxes with names: XDG_RUNTIME_DIR is not set \
                 (a directory that is this user's alone)"
                    .to_owned(),
            )),
        }
    }

    /// One in a directory of the caller's choice, which is made when a name is claimed.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Claims the name of a template, before its box is spawned: see [`Claim`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State) if another box has the name, or if the directory is
    /// not the caller's alone.
    pub fn claim(&self, template: &Template) -> Result<Claim, Error> {
        let plan = template.plan();
        let overlay = template.spec().rootfs.as_ref().and_then(|rootfs| {
            // Others look from another directory.
            let whole = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let lower = whole(&rootfs.value.path);
            match &rootfs.value.writes {
                Writes::Through | Writes::Memory => None,
                Writes::Discard => Some((lower, None)),
                Writes::Keep(upper) => Some((lower, Some(whole(upper)))),
            }
        });
        let exec = &template.spec().exec;
        let words = exec.argv().map(|word| word.to_string_lossy().into_owned());
        let record = Record {
            name: plan.name().to_owned(),
            command: words.collect(),
            created: SystemTime::now(),
            process: None,
            host: Host::here().clone(),
            cgroups: Vec::new(),
            cgroups_expected: expected(plan),
            overlay,
            detached: false,
            end: None,
        };
        let directory = Arc::new(Directory::make(&self.path)?);
        let _lock = directory.lock()?;
        sweep(&directory)?;
        let file = file_of(&record.name);
        if !matches!(
            directory.open_file(&file, OFlag::O_RDONLY),
            Err(Errno::ENOENT)
        ) {
            return Err(taken(&directory, &record.name));
        }
        Claim::new(Arc::clone(&directory), record, template)
    }

    /// All boxes, by name. What is left of boxes that are gone is removed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State) if the directory cannot be read, or is not the caller's
    /// alone. If there is none, there are no boxes.
    pub fn entries(&self) -> Result<Vec<Entry>, Error> {
        let Some(directory) = Directory::open(&self.path)?.map(Arc::new) else {
            return Ok(Vec::new());
        };
        let (gone, there) = read_all(&directory)?;
        if gone {
            let _lock = directory.lock()?;
            sweep(&directory)?;
        }
        Ok(there)
    }

    /// The box of a name; or, if no box has it, of a process id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State) if there is none; and as [`entries`](Self::entries).
    pub fn find(&self, name: &str) -> Result<Entry, Error> {
        let missing = || Error::state(format!("there is no box {}", name.escape_default()));
        if let Some(directory) = Directory::open(&self.path)?.map(Arc::new)
            && crate::spec::is_name(name)
            && let Some(entry) = Entry::open(&directory, &file_of(name))
            && !entry.is_gone()
        {
            return Ok(entry);
        }
        let pid: u32 = name.parse().map_err(|_| missing())?;
        let mut entries = self.entries()?.into_iter();
        entries
            .find(|entry| entry.pid() == Some(pid))
            .ok_or_else(missing)
    }
}

/// The cgroups to be cleared if the launcher is killed before it says which they are. A box that may survive it is left
/// alone.
fn expected(plan: &Plan) -> Vec<Place> {
    if plan.parent_death == ParentDeath::Survive {
        return Vec::new();
    }
    Place::expected(&plan.cgroups, plan.name())
}

pub(super) fn file_of(name: &str) -> String {
    format!("{name}{RECORD}")
}

/// The boxes that are there, and whether something is left of others.
fn read_all(directory: &Arc<Directory>) -> Result<(bool, Vec<Entry>), Error> {
    let names = directory.names()?;
    let records = names.iter().filter(|name| name.ends_with(RECORD));
    let entries = records.filter_map(|name| Entry::open(directory, name));
    let (gone, there): (Vec<Entry>, Vec<Entry>) = entries.partition(Entry::is_gone);
    Ok((!gone.is_empty(), there))
}

/// Removes what is left of boxes that are gone. Under the lock of the directory: nobody can claim a name
/// meanwhile.
fn sweep(directory: &Arc<Directory>) -> Result<(), Error> {
    let mut names = directory.names()?;
    names.sort_unstable();
    for name in &names {
        if let Some(record) = name.strip_suffix(ASIDE) {
            // A record of a box that is just starting is written aside as well, by whoever has its lock.
            if Entry::open(directory, record).is_none_or(|entry| !entry.is_cared_for()) {
                directory.remove(name);
            }
        } else if let Some(box_name) = BESIDE.iter().find_map(|suffix| name.strip_suffix(suffix)) {
            // Of a claim that was killed before it wrote the record, under the lock as well.
            if names.binary_search(&file_of(box_name)).is_err() {
                directory.remove(name);
            }
        } else if name.ends_with(RECORD) {
            // Most are cared for, and that is told soonest.
            let free = directory
                .open_file(name, OFlag::O_RDONLY)
                .ok()
                .filter(|file| !is_locked(file));
            let entry = free.and_then(|_| Entry::open(directory, name));
            if let Some(entry) = entry.filter(Entry::is_gone) {
                entry.erase();
            }
        }
    }
    Ok(())
}

fn taken(directory: &Arc<Directory>, name: &str) -> Error {
    Error::state(match Entry::open(directory, &file_of(name)) {
        Some(entry) if entry.has_ended() => {
            format!("there is a box {name} already, which has ended: clonebox rm {name} forgets it")
        }
        Some(entry) => match entry.pid() {
            Some(pid) => format!("there is a box {name} already: process {pid}"),
            None => format!("there is a box {name} already, which is starting"),
        },
        None => format!(
            "the name {name} is taken by a file that is no record of a box: {}",
            directory.path().join(file_of(name)).display()
        ),
    })
}
