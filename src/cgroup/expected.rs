// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cgroups that are going to be made: what is known of them before, for those who clear up after a launcher that was
//! killed before it could say what it had made.

use std::fs;
use std::path::Path;

use super::{MARK, Place, start_of_name};
use crate::plan::Cgroups;

impl Place {
    /// Where this process may make the cgroups of a box of this name. Of each, the path is what the paths of all that
    /// it makes begin with.
    pub(crate) fn expected(plan: &Cgroups, name: &str) -> Vec<Self> {
        let start = start_of_name(name, std::process::id());
        let groups = plan.groups.iter();
        let of_group = groups.flat_map(|group| {
            let parents = group.parents.iter();
            parents.map(|parent| Self {
                unified: group.unified,
                controllers: group.controllers.clone(),
                path: group.mount.join(parent).join(&start),
            })
        });
        of_group.collect()
    }

    /// What has been made of an expected one.
    pub(crate) fn made(&self) -> Vec<Self> {
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        let start = self.path.file_name().and_then(|start| start.to_str());
        let is_one = |name: &str| {
            let rest = start.and_then(|start| name.strip_prefix(start));
            let count = rest.and_then(|rest| rest.strip_suffix(MARK));
            count.is_some_and(|count| count.parse::<u32>().is_ok())
        };
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let made = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_one));
        made.map(|entry| Self {
            path: entry.path(),
            ..self.clone()
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::name;

    #[test]
    fn only_what_this_process_has_made_for_the_box_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let process = std::process::id();
        let ours = name("web", process, 4_000_000_000);
        let others = [
            name("web", process + 1, 0),
            name("web-1", process, 0),
            name(&format!("web-{process}"), 7, 0),
            format!("web-{process}-0"),
            format!("web-{process}-.clonebox"),
        ];
        for one in others.iter().chain([&ours]) {
            fs::create_dir(directory.path().join(one)).expect("it is new");
        }
        let expected = Place {
            unified: true,
            controllers: vec!["pids"],
            path: directory.path().join(start_of_name("web", process)),
        };
        let made = expected.made();
        let wanted = Place {
            path: directory.path().join(&ours),
            ..expected
        };
        assert_eq!(made, [wanted]);
    }
}
