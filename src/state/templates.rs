// SPDX-License-Identifier: MIT OR Apache-2.0
//! Templates that outlive whoever has made them: words, and mounts that a file keeps.
//!
//! A template is two files in a directory below that of the boxes: `NAME.ns`, on which the mount namespace
//! is mounted, and `NAME.json`, which is written last and never changed. All is done under the lock of the directory
//! of boxes. A record whose namespace is gone, and a namespace without a record, are leftovers, which the next one who
//! makes, lists or removes takes away. The mounts of the files are of one mount namespace: seen from another
//! one they are not there, and nothing is concluded from that.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use serde_json::{Value, json};

use super::directory::{ASIDE, Directory, read};
use super::pin;
use super::record::Host;
use super::registry::Registry;
use crate::command::{Command, Template, TemplateMounts};
use crate::error::Error;
use crate::plan::Plan;
use crate::spec::is_name;

/// The form of a record. One of another form is not understood, and left alone.
const FORM: u64 = 1;
const RECORD: &str = ".json";
const NAMESPACE: &str = ".ns";

/// The templates with a name, beside the boxes of a [`Registry`]. It may be used from any thread and any number of
/// processes at once.
#[derive(Clone, Debug)]
pub struct Templates {
    above: PathBuf,
}

/// A template with a name: what [`Command::prepare_pinned`](crate::Command::prepare_pinned) wants.
#[derive(Debug)]
pub struct PinnedTemplate {
    name: String,
    words: Vec<String>,
    created: SystemTime,
    calls: Vec<String>,
    boot: String,
    mount_namespace: String,
    namespace: Option<Arc<OwnedFd>>,
}

impl Templates {
    /// Those beside the boxes of this registry.
    pub fn of(registry: &Registry) -> Self {
        Self {
            above: registry.path().to_owned(),
        }
    }

    /// Makes the mounts of a command's boxes and keeps them under a name, with words that tell what they are made of:
    /// whoever finds them makes a [`Command`](crate::Command) of these.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State) for a name that is none or is taken, for boxes that have no
    /// mounts in common, and if the kernel does not mount the namespace; those of
    /// [`Command::prepare`](crate::Command::prepare).
    pub fn create(&self, name: &str, words: &[String], command: &Command) -> Result<(), Error> {
        if !is_name(name) {
            return Err(Error::state(format!(
                "a template cannot be called {}: letters, digits, _, . and -, 1 to 64 of them",
                name.escape_default()
            )));
        }
        let mut command = command.clone();
        command.template_mounts(TemplateMounts::Once);
        pin::on_some_processor(|| self.keep(name, words, &command.prepare()?))
    }

    fn keep(&self, name: &str, words: &[String], template: &Template) -> Result<(), Error> {
        let namespace = template.namespace();
        let namespace = namespace.ok_or_else(|| nothing_to_keep(template))?;
        // Places that were missing are there, and whoever comes next finds them.
        let plan = template.mounts_plan_again()?;
        let plan = plan.ok_or_else(|| nothing_to_keep(template))?;
        let above = Directory::make(&self.above)?;
        let _lock = above.lock()?;
        let directory = self.make(&above)?;
        sweep(&directory)?;
        let written = || {
            let (record, file) = (format!("{name}{RECORD}"), format!("{name}{NAMESPACE}"));
            let there = directory.open_file(&record, OFlag::O_RDONLY);
            if !matches!(there, Err(Errno::ENOENT)) {
                return Err(Error::state(format!(
                    "there is a template {name} already: clonebox template rm {name} removes it"
                )));
            }
            let failed = |errno| directory.error(&format!("keep the mounts of {name} in"), errno);
            pin::pin(&directory, &file, namespace).map_err(failed)?;
            let text = record_text(name, words, &plan);
            directory.put(&record, &text).map(drop).map_err(|errno| {
                let _ = pin::unpin(&directory, &file);
                failed(errno)
            })
        };
        written().inspect_err(|_| self.leave(&above, &directory))
    }

    /// The template of a name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State) if there is none, or if its mounts are gone or of another
    /// mount namespace.
    pub fn find(&self, name: &str) -> Result<PinnedTemplate, Error> {
        let missing = || Error::state(format!("there is no template {}", name.escape_default()));
        let directory = self.open()?.filter(|_| is_name(name)).ok_or_else(missing)?;
        let found = PinnedTemplate::open(&directory, name).ok_or_else(missing)?;
        if !found.is_here() {
            return Err(Error::state(format!(
                "the mounts of the template {name} belong to another mount namespace"
            )));
        }
        if found.namespace.is_none() {
            return Err(Error::state(format!(
                "the mounts of the template {name} are gone: clonebox template create makes them anew"
            )));
        }
        Ok(found)
    }

    /// All templates, by name. What is left of those whose mounts are gone is removed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State) if the directory cannot be read, or is not the caller's alone.
    pub fn entries(&self) -> Result<Vec<PinnedTemplate>, Error> {
        let Some(above) = Directory::open(&self.above)? else {
            return Ok(Vec::new());
        };
        let _lock = above.lock()?;
        let Some(directory) = self.open()? else {
            return Ok(Vec::new());
        };
        sweep(&directory)?;
        let names = directory.names()?;
        let names = names.iter().filter_map(|name| name.strip_suffix(RECORD));
        let entries: Vec<_> = names
            .filter_map(|name| PinnedTemplate::open(&directory, name))
            .collect();
        self.leave(&above, &directory);
        Ok(entries)
    }

    /// Removes a template. Boxes that run keep their mounts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`](crate::ErrorKind::State) if there is none, or if it cannot be unmounted.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let missing = || Error::state(format!("there is no template {}", name.escape_default()));
        let above = Directory::open(&self.above)?.ok_or_else(missing)?;
        let _lock = above.lock()?;
        let directory = self.open()?.filter(|_| is_name(name)).ok_or_else(missing)?;
        if PinnedTemplate::open(&directory, name).is_none() {
            return Err(missing());
        }
        erase(&directory, name)?;
        self.leave(&above, &directory);
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.above.join("templates")
    }

    fn open(&self) -> Result<Option<Directory>, Error> {
        Directory::open(&self.path())
    }

    /// The directory as a private mount of itself.
    fn make(&self, above: &Directory) -> Result<Directory, Error> {
        let mut directory = Directory::make(&self.path())?;
        let failed = |directory: &Directory, errno| directory.error("mount on itself", errno);
        if !pin::is_mount(&directory, above) {
            pin::make_mount(&directory).map_err(|errno| {
                above.remove_directory("templates");
                failed(&directory, errno)
            })?;
            directory = Directory::make(&self.path())?;
        }
        pin::make_private(&directory).map_err(|errno| failed(&directory, errno))?;
        Ok(directory)
    }

    /// Leaves nothing where nothing is kept.
    fn leave(&self, above: &Directory, directory: &Directory) {
        if directory
            .names()
            .is_ok_and(|names| names.iter().all(|name| name.starts_with('.')))
        {
            if pin::is_mount(directory, above) {
                let _ = pin::unmount(directory);
            }
            above.remove_directory("templates");
        }
    }
}

impl PinnedTemplate {
    fn open(directory: &Directory, name: &str) -> Option<Self> {
        let file = directory
            .open_file(&format!("{name}{RECORD}"), OFlag::O_RDONLY)
            .ok()?;
        let value: Value = serde_json::from_str(&read(&file).ok()?).ok()?;
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let list = |key: &str| {
            let all = value[key].as_array()?.iter();
            Some(
                all.filter_map(|one| one.as_str().map(str::to_owned))
                    .collect(),
            )
        };
        if value["form"].as_u64() != Some(FORM) || text("name")? != name {
            return None;
        }
        let created = Duration::try_from_secs_f64(value["created_unix_s"].as_f64()?).ok()?;
        Some(Self {
            name: name.to_owned(),
            words: list("words")?,
            created: SystemTime::UNIX_EPOCH.checked_add(created)?,
            calls: list("calls")?,
            boot: text("boot")?,
            mount_namespace: text("mount_namespace")?,
            namespace: pin::pinned(directory, &format!("{name}{NAMESPACE}")).map(Arc::new),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The words that it was created with.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// When it was created.
    pub fn created(&self) -> SystemTime {
        self.created
    }

    /// Whether its mounts are those of the caller's mount namespace, where they can be found.
    pub fn is_here(&self) -> bool {
        self.boot == Host::here().boot && self.mount_namespace == mount_namespace()
    }

    /// Its mounts, if this plan would have made the same ones.
    pub(crate) fn mounts_for(&self, plan: Option<&Plan>) -> Result<Arc<OwnedFd>, Error> {
        let same = plan.is_some_and(|plan| calls(plan) == self.calls);
        match &self.namespace {
            Some(namespace) if same => Ok(Arc::clone(namespace)),
            _ => Err(Error::state(format!(
                "the mounts of this box are not those of the template {0}: no option of a launch may change them, and if what they were made of has changed, clonebox template rm {0} and template create make them anew",
                self.name
            ))),
        }
    }
}

/// What makes the mounts, to be compared.
fn calls(plan: &Plan) -> Vec<String> {
    plan.steps().map(|step| step.call()).collect()
}

fn record_text(name: &str, words: &[String], plan: &Plan) -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let record = json!({
        "form": FORM,
        "name": name,
        "words": words,
        "created_unix_s": since.unwrap_or_default().as_secs_f64(),
        "calls": calls(plan),
        "boot": Host::here().boot,
        "mount_namespace": mount_namespace(),
    });
    format!("{record}\n")
}

fn mount_namespace() -> String {
    let link = fs::read_link("/proc/self/ns/mnt").unwrap_or_default();
    link.display().to_string()
}

fn erase(directory: &Directory, name: &str) -> Result<(), Error> {
    // Without its record it is a leftover, whatever happens next.
    directory.remove(&format!("{name}{RECORD}"));
    pin::unpin(directory, &format!("{name}{NAMESPACE}"))
        .map_err(|errno| directory.error(&format!("unmount the template {name} in"), errno))
}

/// Removes what is left of templates that are gone, and of those that were never whole. Under the lock.
fn sweep(directory: &Directory) -> Result<(), Error> {
    let names = directory.names()?;
    let suffixes = [RECORD, NAMESPACE];
    let stems: BTreeSet<&str> = names
        .iter()
        .filter_map(|name| suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)))
        .collect();
    for name in names.iter().filter(|name| name.ends_with(ASIDE)) {
        directory.remove(name);
    }
    for name in stems {
        let gone = match PinnedTemplate::open(directory, name) {
            Some(found) => {
                found.namespace.is_none() && (found.is_here() || found.boot != Host::here().boot)
            }
            None => !names.contains(&format!("{name}{RECORD}")),
        };
        if gone {
            erase(directory, name)?;
        }
    }
    Ok(())
}

fn nothing_to_keep(template: &Template) -> Error {
    Error::state(match &template.spec().rootfs {
        None => "a template of boxes without a root filesystem has no mounts to keep: expected --rootfs or --rootfs-overlay".to_owned(),
        Some(_) if !nix::unistd::geteuid().is_root() => "an ordinary user's boxes are in a user namespace and make their mounts themselves: there is nothing that a template could keep".to_owned(),
        Some(_) => "these boxes make all their mounts themselves: there is nothing that a template could keep (see clonebox help template)".to_owned(),
    })
}
