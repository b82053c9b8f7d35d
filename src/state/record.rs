// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is written about a box: one line of JSON, and a second one about its end.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::walls::{bytes, path};
use crate::cgroup::Place;
use crate::pidfd::Identity;

/// The form of a record. One of another form is not understood, and left alone.
const FORM: u64 = 1;
/// The controllers that a box can have cgroups for.
const CONTROLLERS: [&str; 8] = [
    "cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma",
];

/// A record.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) name: String,
    /// The words of the command, for people.
    pub(super) command: Vec<String>,
    /// When it was started, or claimed.
    pub(super) created: SystemTime,
    /// Its first process, once the program runs.
    pub(super) process: Option<Identity>,
    /// Where its process ids mean something.
    pub(super) host: Host,
    pub(super) cgroups: Vec<Place>,
    /// Until it is known which they are: see [`Place::expected`].
    pub(super) cgroups_expected: Vec<Place>,
    /// The lower and the upper directory of its root, if that is an overlay.
    pub(super) overlay: Option<(PathBuf, Option<PathBuf>)>,
    /// It does not depend on whoever has started it.
    pub(super) detached: bool,
    /// How it has ended: see [`Outcome::to_json`](crate::Outcome::to_json).
    pub(super) end: Option<Value>,
}

/// What a process id is an id of: a boot, and a process namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) boot: String,
    pub(super) pid_namespace: String,
}

impl Host {
    /// That of this process. What cannot be read is empty, and equal to what could not be read before.
    pub(super) fn here() -> &'static Self {
        static HERE: OnceLock<Host> = OnceLock::new();
        HERE.get_or_init(Self::look)
    }

    fn look() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let pid_namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Self {
            boot: boot.trim().to_owned(),
            pid_namespace: pid_namespace.display().to_string(),
        }
    }
}

impl Record {
    /// The first line.
    pub(super) fn to_text(&self) -> String {
        let since = self.created.duration_since(SystemTime::UNIX_EPOCH);
        let lower = self.overlay.as_ref().map(|(lower, _)| lower);
        let upper = self.overlay.as_ref().and_then(|(_, upper)| upper.as_ref());
        let record = json!({
            "form": FORM,
            "name": self.name,
            "command": self.command,
            "created_unix_s": since.unwrap_or_default().as_secs_f64(),
            "process": self.process.map(Identity::to_json),
            "boot": self.host.boot,
            "pid_namespace": self.host.pid_namespace,
            "cgroups": to_json(&self.cgroups),
            "cgroups_expected": to_json(&self.cgroups_expected),
            "lower": lower.map(|path| bytes(path.as_os_str())),
            "upper": upper.map(|path| bytes(path.as_os_str())),
            "detached": self.detached,
        });
        format!("{record}\n")
    }

    /// Reads a record. A second line that is not whole is none: whoever wrote it was killed.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let mut lines = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let value: Value = serde_json::from_str(lines.next()?).ok()?;
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let path = |name: &str| path(&value[name]);
        let seconds = value["created_unix_s"].as_f64()?;
        let command = value["command"].as_array()?.iter();
        if value["form"].as_u64() != Some(FORM) {
            return None;
        }
        Some(Self {
            name: text("name")?,
            command: command
                .filter_map(|word| word.as_str().map(str::to_owned))
                .collect(),
            created: SystemTime::UNIX_EPOCH
                .checked_add(Duration::try_from_secs_f64(seconds).ok()?)?,
            process: match &value["process"] {
                Value::Null => None,
                process => Some(Identity::from_json(process)?),
            },
            host: Host {
                boot: text("boot")?,
                pid_namespace: text("pid_namespace")?,
            },
            cgroups: places(&value["cgroups"])?,
            cgroups_expected: places(&value["cgroups_expected"]).unwrap_or_default(),
            overlay: path("lower").map(|lower| (lower, path("upper"))),
            detached: value["detached"].as_bool()?,
            end: lines
                .next()
                .and_then(|line| serde_json::from_str(line).ok()),
        })
    }
}

fn to_json(places: &[Place]) -> Value {
    let places = places.iter().map(|place| {
        json!({
            "unified": place.unified,
            "controllers": place.controllers,
            "path": bytes(place.path.as_os_str()),
        })
    });
    places.collect()
}

fn places(value: &Value) -> Option<Vec<Place>> {
    Some(value.as_array()?.iter().filter_map(place).collect())
}

fn place(value: &Value) -> Option<Place> {
    let named = |controller: &Value| {
        let name = controller.as_str()?;
        CONTROLLERS.into_iter().find(|known| *known == name)
    };
    Some(Place {
        unified: value["unified"].as_bool()?,
        controllers: value["controllers"]
            .as_array()?
            .iter()
            .filter_map(named)
            .collect(),
        path: path(&value["path"])?,
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn record() -> Record {
        Record {
            name: "web".to_owned(),
            command: vec!["sh".to_owned(), "-c".to_owned()],
            created: SystemTime::UNIX_EPOCH + Duration::from_millis(1500),
            process: Some(Identity {
                pid: 7,
                start_ticks: 8,
                pidfs_inode: Some(9),
            }),
            host: Host {
                boot: "b".to_owned(),
                pid_namespace: "n".to_owned(),
            },
            cgroups: vec![Place {
                unified: true,
                controllers: vec!["memory"],
                path: "/x".into(),
            }],
            cgroups_expected: vec![Place {
                unified: false,
                controllers: vec!["pids"],
                path: OsStr::from_bytes(b"/\xff").into(),
            }],
            overlay: Some((
                "/lower".into(),
                Some(OsStr::from_bytes(b"/upper\xff").into()),
            )),
            detached: true,
            end: None,
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let text = record().to_text();
        let read = Record::from_text(&text).unwrap();
        assert_eq!(read.to_text(), text);
        assert_eq!(read.process, record().process);
        assert_eq!(read.overlay, record().overlay);
        assert_eq!(read.cgroups, record().cgroups);
        assert_eq!(read.cgroups_expected, record().cgroups_expected);
    }

    #[test]
    fn a_record_that_is_not_whole_is_none_and_a_half_end_is_no_end() {
        let text = record().to_text();
        for length in 0..text.len() {
            assert!(Record::from_text(&text[..length]).is_none(), "{length}");
        }
        let end = "{\"exit_code\":3}\n";
        for length in 0..end.len() {
            let read = Record::from_text(&format!("{text}{}", &end[..length])).unwrap();
            assert!(read.end.is_none(), "{length}");
        }
        let read = Record::from_text(&format!("{text}{end}")).unwrap();
        assert_eq!(read.end.unwrap()["exit_code"], 3);
    }

    #[test]
    fn a_record_of_another_form_is_not_understood() {
        let text = record().to_text().replace("\"form\":1", "\"form\":2");
        assert!(Record::from_text(&text).is_none());
        assert!(Record::from_text("[]\n").is_none());
    }
}
