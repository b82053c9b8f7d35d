// SPDX-License-Identifier: MIT OR Apache-2.0
//! A name, held by whoever starts a box and cares for it.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::SystemTime;

use nix::fcntl::Flock;
use serde_json::Value;

use super::directory::Directory;
use super::log::Log;
use super::record::Record;
use super::registry::{BESIDE, file_of};
use super::walls;
use crate::command::Template;
use crate::errno;
use crate::error::Error;
use crate::pidfd::Identity;
use crate::supervise::{Child, Outcome};

/// A claimed name. While it is held the box is listed; when it is dropped the name is free again, unless
/// [`leave`](Self::leave) has left it to the box.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use clonebox::{Command, Registry};
///
/// let template = Command::new("/bin/sleep").arg("9").name("web").prepare()?;
/// let mut claim = Registry::of_user()?.claim(&template)?;
/// let mut child = template.spawn()?;
/// claim.started(&child)?;
/// child.wait()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Claim {
    directory: Arc<Directory>,
    record: Record,
    file: Flock<File>,
    stays: bool,
}

impl Claim {
    pub(super) fn new(
        directory: Arc<Directory>,
        record: Record,
        template: &Template,
    ) -> Result<Self, Error> {
        let failed = |errno| directory.error("write the record of a box in", errno);
        for suffix in BESIDE {
            directory.remove(&format!("{}{suffix}", record.name));
        }
        let beside = [
            ("plan", template.plan().to_json().to_string()),
            ("walls", walls::to_text(template)),
        ];
        for (suffix, text) in beside {
            directory
                .new_file(&format!("{}.{suffix}", record.name))
                .and_then(|mut file| {
                    file.write_all(text.as_bytes())
                        .map_err(|error| errno::of(&error))
                })
                .map_err(failed)?;
        }
        let file = directory
            .put(&file_of(&record.name), &record.to_text())
            .map_err(failed)?;
        Ok(Self {
            directory,
            record,
            file,
            stays: false,
        })
    }

    /// Says that the box has started. If that cannot be written, the caller kills the box.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State).
    pub fn started(&mut self, child: &Child) -> Result<(), Error> {
        let failed = |errno| self.directory.error("write the record of a box in", errno);
        let process = Identity::of(child.id(), child).map_err(|error| failed(errno::of(&error)))?;
        self.record.process = Some(process);
        self.record.created = SystemTime::now();
        self.record.cgroups = child.cgroups();
        self.record.cgroups_expected = Vec::new();
        let put = self
            .directory
            .put(&file_of(&self.record.name), &self.record.to_text());
        self.file = put.map_err(failed)?;
        Ok(())
    }

    /// Says that the box does not depend on this process, before it is [`started`](Self::started).
    pub fn detached(&mut self) {
        self.record.detached = true;
    }

    /// A log for what the box writes, of at most so many bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State).
    pub fn log(&self, limit_bytes: u64) -> Result<Log, Error> {
        Log::new(Arc::clone(&self.directory), &self.record.name, limit_bytes)
            .map_err(|errno| self.directory.error("make a log in", errno))
    }

    /// A socket through which others can come in to see the box: for [`Supervisor::keep`](crate::Supervisor::keep).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State).
    pub fn door(&self) -> Result<OwnedFd, Error> {
        let name = format!("{}.sock", self.record.name);
        let listening = self.directory.listen(&name);
        listening.map_err(|errno| self.directory.error("make a socket in", errno))
    }

    /// Says how the box has ended, for those who wait for it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State).
    pub fn ended(&mut self, outcome: &Outcome) -> Result<(), Error> {
        let end: Value = outcome.to_json();
        let mut file = &*self.file;
        let written = file
            .seek(SeekFrom::End(0))
            .and_then(|_| file.write_all(format!("{end}\n").as_bytes()));
        written.map_err(|error| {
            self.directory
                .error("write the end of a box in", errno::of(&error))
        })
    }

    /// Leaves the name to the box: to one that goes on alone, or that has ended and is to be remembered.
    pub fn leave(mut self) {
        self.stays = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        // Nobody else claims a name that is locked, so this is our own.
        for suffix in BESIDE {
            self.directory
                .remove(&format!("{}{suffix}", self.record.name));
        }
        self.directory.remove(&file_of(&self.record.name));
    }
}
