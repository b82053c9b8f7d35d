// SPDX-License-Identifier: MIT OR Apache-2.0
//! A box that is there, for whoever has not started it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use serde_json::{Value, json};

use super::directory::{self, Directory, read};
use super::log::LogReader;
use super::record::{Host, Record};
use super::registry::{BESIDE, file_of};
use super::walls;
use crate::cgroup::{Load, Place, clear_left};
use crate::errno;
use crate::error::Error;
use crate::live::{Change, Freezer, diff};
use crate::pidfd::{self, Identity};
use crate::spec::{Join, NetworkNamespace, Origin, Walls};

/// How a box is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BoxState {
    /// Its name is claimed; its program does not run yet.
    Starting,
    /// Its program runs.
    Running,
    /// It has been paused.
    Paused,
    /// It has ended, with this code if somebody was there to see it.
    Ended(Option<u8>),
    /// It belongs to another process namespace: nothing can be done about it from here.
    Elsewhere,
}

/// A box with a name. The handle holds no process: each thing that is done looks first whether it is still
/// the box's.
#[derive(Debug)]
pub struct Entry {
    pub(super) directory: Arc<Directory>,
    pub(super) file: File,
    pub(super) record: Record,
}

impl Entry {
    pub(super) fn open(directory: &Arc<Directory>, name: &str) -> Option<Self> {
        let file = directory.open_file(name, OFlag::O_RDONLY).ok()?;
        let record = Record::from_text(&read(&file).ok()?)?;
        (file_of(&record.name) == name).then(|| Self {
            directory: Arc::clone(directory),
            file,
            record,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// The process id of its first process, in the caller's process namespace; `None` while it starts.
    pub fn pid(&self) -> Option<u32> {
        self.record.process.map(|process| process.pid)
    }

    /// Its command, for people: bytes that are not UTF-8 are replaced.
    pub fn command(&self) -> &[String] {
        &self.record.command
    }

    /// When it was started.
    pub fn created(&self) -> SystemTime {
        self.record.created
    }

    /// It does not depend on the process that has started it.
    pub fn is_detached(&self) -> bool {
        self.record.detached
    }

    /// How it is.
    pub fn state(&self) -> BoxState {
        if let Some(end) = &self.record.end {
            return BoxState::Ended(exit_code(end));
        }
        if !self.is_here() {
            return BoxState::Elsewhere;
        }
        match (self.record.process, self.pidfd()) {
            (None, _) => BoxState::Starting,
            (Some(_), Err(_)) => BoxState::Ended(None),
            (Some(_), Ok(_)) if self.is_paused() => BoxState::Paused,
            (Some(_), Ok(_)) => BoxState::Running,
        }
    }

    /// A pidfd of its first process, for which it has been proven that it is that.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State) if it has ended, is only starting or is elsewhere.
    pub fn pidfd(&self) -> Result<OwnedFd, Error> {
        let name = self.name();
        if !self.is_here() {
            return Err(Error::state(format!(
                "the box {name} belongs to another process namespace"
            )));
        }
        let process = self.record.process.filter(|_| self.record.end.is_none());
        let found = match process {
            Some(process) => process.find().map_err(|error| {
                Error::state_failed(&format!("find the box {name}"), errno::of(&error))
            })?,
            None if self.record.end.is_none() => {
                return Err(Error::state(format!("the box {name} is only starting")));
            }
            None => None,
        };
        found.ok_or_else(|| self.ended())
    }

    fn ended(&self) -> Error {
        Error::state(format!("the box {} has ended", self.name()))
    }

    /// Its network namespace, for [`Network::Join`](crate::Network::Join).
    ///
    /// # Errors
    ///
    /// As [`pidfd`](Self::pidfd); [`ErrorKind::State`](crate::ErrorKind::State) if the namespace cannot be opened.
    pub fn network(&self) -> Result<NetworkNamespace, Error> {
        let pidfd = self.pidfd()?;
        let name = self.name();
        let network = NetworkNamespace::of(self.pid().unwrap_or_default(), &pidfd);
        // What was opened by a number is the box's if its process lives afterwards.
        if pidfd::has_ended(&pidfd) {
            return Err(self.ended());
        }
        network.map_err(|errno| {
            Error::state_failed(&format!("open the network of the box {name}"), errno)
        })
    }

    /// The box as the place of a program that comes into it: [`Command::join`](crate::Command::join). What its
    /// first process may do at this moment, and what was written down when it was started, confine it.
    ///
    /// # Errors
    ///
    /// As [`pidfd`](Self::pidfd); [`ErrorKind::State`](crate::ErrorKind::State) if it is paused, or if it is not
    /// known what confines it.
    pub fn join(&self) -> Result<Join, Error> {
        let name = self.name();
        let pidfd = self.pidfd()?;
        if self.is_paused() {
            return Err(Error::state(format!(
                "the box {name} is paused: clonebox unpause {name}"
            )));
        }
        let confined = self.walls();
        // What was read is that of the box if its process lives afterwards. If it does not, that is why nothing could
        // be read.
        if pidfd::has_ended(&pidfd) {
            return Err(self.ended());
        }
        let (process, walls) = confined?;
        let cgroups = self.record.cgroups.iter();
        Ok(Join {
            name: name.to_owned(),
            process,
            cgroups: cgroups
                .map(|place| (place.unified, place.path.clone()))
                .collect(),
            walls,
            settled: false,
        })
    }

    /// What confines its first process, and which one that is.
    fn walls(&self) -> Result<(Identity, Walls), Error> {
        let name = self.name();
        let refuse =
            |reason: &str| Error::state(format!("the box {name} cannot be joined: {reason}"));
        let file = format!("{name}.walls");
        let text = self.directory.open_file(&file, OFlag::O_RDONLY);
        let text = text.ok().and_then(|file| read(&file).ok());
        let origin = Origin::text(format!("the box {name}"));
        let mut walls = walls::from_text(&text.unwrap_or_default(), &origin).map_err(refuse)?;
        let process = self
            .record
            .process
            .ok_or_else(|| refuse("it is only starting"))?;
        let now = crate::live::bounding_set(process.pid);
        walls.caps.0 &= now
            .ok_or_else(|| refuse("its capabilities cannot be read"))?
            .0;
        Ok((process, walls))
    }

    /// What its cgroups have in use; nothing is known of a box without.
    pub fn load(&self) -> Load {
        let mut load = Load::default();
        for place in &self.record.cgroups {
            place.add_to(&mut load);
        }
        load
    }

    /// What it has written over its root filesystem, if that is an overlay whose upper layer is kept.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State) if there is no such layer or if it cannot be read.
    pub fn diff(&self) -> Result<Vec<(Change, PathBuf)>, Error> {
        self.diff_with(|_| {})
    }

    /// The same, where that may take long: each path that has been compared is told, also one that is in no change.
    ///
    /// # Errors
    ///
    /// As [`diff`](Self::diff).
    pub fn diff_with(
        &self,
        mut compared: impl FnMut(&Path),
    ) -> Result<Vec<(Change, PathBuf)>, Error> {
        let name = self.name();
        match self.overlay() {
            Some((lower, Some(upper))) => {
                diff(lower, &upper.join("upper"), &mut compared).map_err(|errno| {
                    Error::state_failed(&format!("look at what the box {name} has written"), errno)
                })
            }
            Some((_, None)) => Err(Error::state(format!(
                "what the box {name} writes over its root lies in memory that only the box can reach: start it with --upper"
            ))),
            None => Err(Error::state(format!(
                "the root of the box {name} is no overlay: start it with --rootfs-overlay and --upper"
            ))),
        }
    }

    /// A connection to whoever keeps it, for [`Supervisor::attach`](crate::Supervisor::attach).
    ///
    /// # Errors
    ///
    /// As [`pidfd`](Self::pidfd); [`ErrorKind::State`](crate::ErrorKind::State) if nobody keeps it.
    pub fn attach(&self) -> Result<OwnedFd, Error> {
        self.pidfd()?;
        let name = self.name();
        let connected = self.directory.connect(&format!("{name}.sock"));
        connected.map_err(|errno| match errno {
            Errno::ENOENT | Errno::ECONNREFUSED => Error::state(format!(
                "the box {name} has no keeper to let anybody in: it was not started with --detach"
            )),
            errno => Error::state_failed(&format!("attach to the box {name}"), errno),
        })
    }

    /// What it has written, if somebody keeps that.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State) if it has no log.
    pub fn log(&self) -> Result<LogReader, Error> {
        let name = self.name();
        LogReader::open(&self.directory, name).map_err(|errno| match errno {
            Errno::ENOENT => Error::state(format!(
                "the box {name} has no log: it was not started with --detach"
            )),
            errno => Error::state_failed(&format!("open the log of the box {name}"), errno),
        })
    }

    /// The plan that it was started by.
    pub fn plan(&self) -> Option<Value> {
        let name = format!("{}.plan", self.name());
        let file = self.directory.open_file(&name, OFlag::O_RDONLY).ok()?;
        serde_json::from_str(&read(&file).ok()?).ok()
    }

    /// The lower directory of its root if that is an overlay, and the upper one if that is kept.
    pub fn overlay(&self) -> Option<(&Path, Option<&Path>)> {
        let (lower, upper) = self.record.overlay.as_ref()?;
        Some((lower, upper.as_deref()))
    }

    /// What is known of it: an object with `name`, `pid`, `created_unix_s`, `state` (`starting`, `running`,
    /// `paused`, `ended` or `elsewhere`), `exit_code`, `detached`, `command`, `memory_bytes`,
    /// `memory_limit_bytes`, `cpu_s`, `pids`; null where there is nothing to tell.
    pub fn to_json(&self) -> Value {
        let state = self.state();
        let (word, code) = match state {
            BoxState::Starting => ("starting", None),
            BoxState::Running => ("running", None),
            BoxState::Paused => ("paused", None),
            BoxState::Ended(code) => ("ended", code),
            BoxState::Elsewhere => ("elsewhere", None),
        };
        let load = self.load();
        let created = self.created().duration_since(SystemTime::UNIX_EPOCH);
        json!({
            "name": self.name(),
            "pid": self.pid(),
            "created_unix_s": created.unwrap_or_default().as_secs_f64(),
            "state": word,
            "exit_code": code,
            "detached": self.is_detached(),
            "command": self.command(),
            "memory_bytes": load.memory_bytes,
            "memory_limit_bytes": load.memory_limit_bytes,
            "cpu_s": load.cpu.map(|time| time.as_secs_f64()),
            "pids": load.pids,
        })
    }

    /// What is known of it, as [`to_json`](Self::to_json); `plan`, as [`Plan::to_json`](crate::Plan::to_json);
    /// `cgroups`, of each its `path` and the `files` in it; and `kernel`: namespaces, mounts, ids,
    /// capabilities, no_new_privs and seccomp of its first process, as it is at this moment. `kernel` is null
    /// for a box that has ended.
    pub fn inspect(&self) -> Value {
        let mut all = self.to_json();
        all["plan"] = self.plan().unwrap_or_default();
        let cgroups = self.record.cgroups.iter().map(|place| {
            let files: serde_json::Map<String, Value> = place
                .files()
                .into_iter()
                .map(|(name, text)| (name, text.into()))
                .collect();
            json!({ "path": place.path.to_string_lossy(), "files": files })
        });
        all["cgroups"] = cgroups.collect();
        // What was read is that of the box if its process lives afterwards: its id was not used again.
        let kernel = self.pid().map(crate::live::inspect);
        all["kernel"] = kernel.filter(|_| self.pidfd().is_ok()).unwrap_or_default();
        all
    }

    pub(super) fn freezer(&self) -> Option<Freezer> {
        Freezer::of(&self.record.cgroups, self.pid()?)
    }

    fn is_paused(&self) -> bool {
        self.freezer().is_some_and(|freezer| freezer.is_frozen())
    }

    fn is_here(&self) -> bool {
        self.record.host == *Host::here()
    }

    /// Whether its launcher or its keeper lives.
    pub(super) fn is_cared_for(&self) -> bool {
        directory::is_locked(&self.file)
    }

    pub(super) fn is_alive(&self) -> bool {
        let process = self.record.process.filter(|_| self.is_here());
        // What cannot be told is not said to be gone.
        process.is_some_and(|process| process.find().map_or(true, |found| found.is_some()))
    }

    pub(super) fn has_ended(&self) -> bool {
        self.record.end.is_some()
    }

    /// Whether this is what is left of a box that nobody cares for any more.
    pub(super) fn is_gone(&self) -> bool {
        if self.has_ended() || self.is_cared_for() {
            return false;
        }
        let (known, here) = (&self.record.host, Host::here());
        if known.boot == here.boot && known.pid_namespace != here.pid_namespace {
            return false;
        }
        // Its owner may have written the end, or gone on from a claim to a box, since this was read.
        let current = Self::open(&self.directory, &file_of(self.name()));
        current.is_none_or(|current| {
            !current.has_ended() && current.record.to_text() == self.record.to_text()
        }) && !self.is_alive()
    }

    /// Removes the record, what is beside it, and its cgroups. Processes that the box has left in them are killed, as
    /// its launcher would have done; not where its first process may live.
    pub(super) fn erase(&self) {
        for suffix in BESIDE {
            self.directory.remove(&format!("{}{suffix}", self.name()));
        }
        self.directory.remove(&file_of(self.name()));
        if self.is_here() {
            clear_left(&self.record.cgroups);
            let expected = self.record.cgroups_expected.iter();
            clear_left(&expected.flat_map(Place::made).collect::<Vec<_>>());
        }
        for place in &self.record.cgroups {
            place.remove();
        }
    }
}

fn exit_code(end: &Value) -> Option<u8> {
    end["exit_code"].as_u64()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_box_whose_end_is_written_after_its_record_was_read_is_remembered() {
        let place = tempfile::tempdir().unwrap();
        let directory = Arc::new(Directory::make(&place.path().join("state")).unwrap());
        let record = Record {
            name: "web".to_owned(),
            command: vec!["true".to_owned()],
            created: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
            process: None,
            host: Host::here().clone(),
            cgroups: Vec::new(),
            cgroups_expected: Vec::new(),
            overlay: None,
            detached: true,
            end: None,
        };
        let name = file_of("web");
        let owned = directory.put(&name, &record.to_text()).unwrap();
        let read = Entry::open(&directory, &name).unwrap();
        assert!(!read.is_gone(), "its owner lives");
        (&*owned).write_all(b"{\"exit_code\":0}\n").unwrap();
        drop(owned);
        assert!(!read.is_gone(), "it has ended");
        // One whose owner was killed before.
        drop(directory.put(&name, &record.to_text()).unwrap());
        assert!(Entry::open(&directory, &name).unwrap().is_gone());
    }
}
