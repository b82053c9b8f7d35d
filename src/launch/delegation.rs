// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking which limits the caller cannot set, for a box that goes on without them.
//!
//! Nothing is written. The modes of files say who may make a cgroup, and what a cgroup hands on already what one
//! below it has. See cgroups(7), "Cgroups v2 delegation".

use std::fs;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

use crate::plan::{Hierarchy, shown};

/// A controller, and why there is none for the box.
type Refusal = (String, String);

/// Of the controllers that are wanted, those that a box can have in none of these cgroups of the hierarchy. Boxes
/// are made in the first that has the rest.
pub(super) fn refused(hierarchy: &Hierarchy, parents: &[PathBuf], wanted: &[&str]) -> Vec<Refusal> {
    let here = |name: &&str| hierarchy.controllers.iter().any(|one| one == name);
    let wanted: Vec<&str> = wanted.iter().copied().filter(here).collect();
    let parents = parents.iter();
    let refused = parents.map(|parent| refused_in(hierarchy, parent, &wanted));
    refused.min_by_key(Vec::len).unwrap_or_default()
}

fn refused_in(hierarchy: &Hierarchy, parent: &Path, wanted: &[&str]) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let mut path = hierarchy.mount.clone();
    let mut names = parent.components();
    loop {
        if hierarchy.unified {
            not_handed_on(&path, wanted, &mut refused);
        }
        // What is not there is made, in what is.
        match names.next() {
            Some(name) if path.join(name).is_dir() => path.push(name),
            _ => break,
        }
    }
    let door = path.join("cgroup.procs");
    let made = may_write(&path).map_err(|errno| cannot("make a cgroup in", &path, errno));
    let made = made.and_then(|()| match may_write(&door) {
        Err(errno) if hierarchy.unified => Err(cannot("write to", &door, errno)),
        _ => Ok(()),
    });
    match made {
        Ok(()) => refused,
        Err(reason) => wanted
            .iter()
            .map(|&name| (name.to_owned(), reason.clone()))
            .collect(),
    }
}

/// The controllers that a cgroup of version 2 hands on to none below it, and will not.
fn not_handed_on(path: &Path, wanted: &[&str], refused: &mut Vec<Refusal>) {
    let file = path.join("cgroup.subtree_control");
    let words = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
    let (given, there) = (words("cgroup.subtree_control"), words("cgroup.controllers"));
    let has = |list: &str, name: &str| list.split_whitespace().any(|one| one == name);
    // The root, which has no type, may have processes of its own.
    let is_busy = path.join("cgroup.type").exists() && !words("cgroup.procs").is_empty();
    for &name in wanted.iter().filter(|name| !has(&given, name)) {
        if refused.iter().any(|(known, _)| known == name) {
            continue;
        }
        let reason = if !has(&there, name) {
            format!("{} has no {name} controller", shown(path))
        } else if is_busy {
            format!(
                "{} has processes of its own, and hands no controller on",
                shown(path)
            )
        } else if let Err(errno) = may_write(&file) {
            cannot("write to", &file, errno)
        } else {
            continue;
        };
        refused.push((name.to_owned(), reason));
    }
}

fn cannot(verb: &str, path: &Path, errno: Errno) -> String {
    format!("cannot {verb} {}: {}", shown(path), errno.desc())
}

fn may_write(path: &Path) -> nix::Result<()> {
    faccessat(AT_FDCWD, path, AccessFlags::W_OK, AtFlags::AT_EACCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What looks like a cgroup of version 2 to who may write everywhere.
    fn cgroup(path: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(path).expect("a directory of ours");
        for (name, text) in [("cgroup.procs", "")].iter().chain(files) {
            fs::write(path.join(name), text).expect("a directory of ours");
        }
    }

    fn unified(mount: &Path, controllers: &[&str]) -> Hierarchy {
        Hierarchy {
            unified: true,
            mount: mount.to_owned(),
            controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
            ..Hierarchy::default()
        }
    }

    fn names(refused: Vec<Refusal>) -> Vec<String> {
        refused.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn what_a_cgroup_neither_hands_on_nor_can_is_refused() {
        let root = tempfile::tempdir().expect("a directory");
        let all = ("cgroup.controllers", "cpu memory pids\n");
        cgroup(
            root.path(),
            &[
                all,
                ("cgroup.subtree_control", "memory pids\n"),
                ("cgroup.procs", "1\n"),
            ],
        );
        let slice = root.path().join("slice");
        let some = ("cgroup.controllers", "memory pids\n");
        let kind = ("cgroup.type", "domain\n");
        cgroup(
            &slice,
            &[some, kind, ("cgroup.subtree_control", "memory\n")],
        );
        let busy = [
            some,
            kind,
            ("cgroup.subtree_control", ""),
            ("cgroup.procs", "7\n"),
        ];
        cgroup(&slice.join("session"), &busy);

        let hierarchy = unified(root.path(), &["cpu", "memory", "pids"]);
        let wanted = ["cpu", "memory", "pids", "io"];
        let of = |parents: &[&str]| {
            let parents: Vec<PathBuf> = parents.iter().map(PathBuf::from).collect();
            names(refused(&hierarchy, &parents, &wanted))
        };
        // The root may hand on what it has, whoever is in it.
        assert_eq!(of(&[""]), [""; 0]);
        assert_eq!(of(&["slice"]), ["cpu"]);
        assert_eq!(of(&["slice/session"]), ["cpu", "memory", "pids"]);
        assert_eq!(of(&["slice/session", "slice"]), ["cpu"]);
        // What is made will be empty.
        assert_eq!(of(&["slice/new/newer"]), ["cpu"]);
    }

    #[test]
    fn where_nothing_can_be_made_all_is_refused_with_the_reason() {
        let hierarchy = Hierarchy {
            unified: false,
            ..unified(Path::new("/nowhere"), &["memory"])
        };
        let refused = refused(&hierarchy, &[PathBuf::from("self")], &["memory", "cpu"]);
        assert_eq!(refused.len(), 1);
        let (name, reason) = &refused[0];
        assert_eq!(name, "memory");
        assert_eq!(
            reason,
            "cannot make a cgroup in /nowhere: No such file or directory"
        );
    }
}
