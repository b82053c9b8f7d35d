// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking which ids a user namespace may have: subuid(5), subgid(5), newuidmap(1).

use std::fs;

use nix::unistd;

use crate::host::namespace::in_first_user_namespace;
use crate::host::subid;
use crate::plan::{BothIds, IdFacts, IdRange};
use crate::spec::{Spec, UserNamespace};

/// Whose subordinate ids boxes of root have: the first of these that has any. Nobody's ranges are mixed with
/// somebody else's.
const OF_ROOT: [&str; 3] = ["clonebox", "root", "containers"];

/// Looks for ids, if the description is about others than the caller's.
pub(super) fn gather(spec: &Spec) -> IdFacts {
    let own = &spec.namespaces;
    let asked = !own.uid_mappings.is_empty() || !own.gid_mappings.is_empty();
    let none = matches!(
        own.user.value,
        UserNamespace::IfNeeded | UserNamespace::Host
    );
    if none && !asked {
        return IdFacts::default();
    }
    let uid = unistd::geteuid().as_raw();
    let name = if uid == 0 {
        "root".to_owned()
    } else {
        subid::user_name(uid).unwrap_or_else(|| uid.to_string())
    };
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let ranges = |path: &str| {
        let file = read(path);
        if uid != 0 {
            return subid::ranges(&file, &name, uid);
        }
        let mut all = OF_ROOT.iter().map(|name| subid::ranges(&file, name, uid));
        all.find(|ranges| !ranges.is_empty()).unwrap_or_default()
    };
    // Root writes the maps itself.
    let helpers: &[&str] = if uid == 0 {
        &[]
    } else {
        &["newuidmap", "newgidmap"]
    };
    IdFacts {
        initial: in_first_user_namespace(),
        own: BothIds {
            uids: map(&read("/proc/self/uid_map")),
            gids: map(&read("/proc/self/gid_map")),
        },
        subordinate: BothIds {
            uids: ranges("/etc/subuid"),
            gids: ranges("/etc/subgid"),
        },
        helpers_missing: helpers.iter().find_map(|name| subid::helper(name).err()),
        name: format!("the user {name}"),
    }
}

/// The ids that are on the left side of a map: those of the namespace itself.
fn map(file: &str) -> Vec<IdRange> {
    let range = |line: &str| {
        let mut words = line.split_whitespace();
        let (first, count) = (words.next()?.parse().ok()?, words.nth(1)?.parse().ok()?);
        Some(IdRange { first, count })
    };
    file.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_namespace_are_on_the_left() {
        let range = |first, count| IdRange { first, count };
        let file = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(map(file), [range(0, 1), range(1, 65_536)]);
        assert_eq!(
            map("         0          0 4294967295\n"),
            [range(0, u32::MAX)]
        );
    }
}
