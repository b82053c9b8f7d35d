// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which ids a user namespace has, and who writes them down.

use super::facts::{HostFacts, IdRange};
use super::join;
use super::userns::{Maps, Userns, Writer};
use crate::spec::{
    IdMapping, MAX_MAPPINGS, Origin, Setting, Spec, User, UserNamespace, Violation, container_of,
    host_of,
};

const CAP_SETGID: u8 = 6;
const CAP_SETUID: u8 = 7;
const CAP_SYS_ADMIN: u8 = 21;

const ROOT: User = User { uid: 0, gid: 0 };

/// The ids of root's boxes where subuid(5) names none. Our own choice: systemd's list of ranges ("Users,
/// Groups, UIDs and GIDs on systemd Systems") has nothing from 1,879,048,192 to 2,147,352,575.
const FIXED: IdRange = IdRange {
    first: 0x7000_0000,
    count: COUNT,
};
/// How many ids a box of root has: all that a root filesystem may use.
const COUNT: u32 = 65_536;

type Decision<T> = Result<T, Vec<Violation>>;

fn refuse<T>(origin: &Origin, reason: impl Into<String>) -> Decision<T> {
    Err(vec![Violation {
        reason: reason.into(),
        origin: origin.clone(),
    }])
}

/// Decides; nothing if there is no user namespace.
pub(super) fn decide(
    spec: &Spec,
    facts: &HostFacts,
    user: Option<&Setting<User>>,
) -> Decision<Option<Userns>> {
    if let Some(join) = &spec.join {
        return Ok(join::userns(join, facts, user));
    }
    let own = &spec.namespaces;
    let asked = own.uid_mappings.iter().chain(&own.gid_mappings).next();
    let origin = asked.map_or(&own.user.origin, |mapping| &mapping.origin);
    let maps = match (asked, own.user.value) {
        (Some(_), _) => as_asked(&own.uid_mappings, &own.gid_mappings),
        (None, UserNamespace::Host) => return Ok(None),
        (None, UserNamespace::IfNeeded) if facts.effective.contains(CAP_SYS_ADMIN) => {
            return Ok(None);
        }
        (None, UserNamespace::IfNeeded) => alone(facts, user.map_or(ROOT, |user| user.value)),
        (None, UserNamespace::Auto) => auto(facts, user, origin)?,
        (None, UserNamespace::KeepId) => keep_id(facts, user),
        (None, UserNamespace::NoMap) => no_map(facts, origin)?,
    };
    let writer = writer(spec, facts, &maps, origin)?;
    let caller = container_of(&maps.uids, facts.uid)
        .zip(container_of(&maps.gids, facts.gid))
        .map(|(uid, gid)| User { uid, gid });
    let root =
        (host_of(&maps.uids, 0).is_some() && host_of(&maps.gids, 0).is_some()).then_some(ROOT);
    let keeps = own.user.value == UserNamespace::KeepId;
    let program = match (user, if keeps { caller } else { root.or(caller) }) {
        (Some(user), _) => user.clone(),
        (None, Some(somebody)) => Setting::new(somebody, origin.clone()),
        (None, None) => {
            return refuse(
                origin,
                "neither root nor the caller is mapped: --user says who the program runs as",
            );
        }
    };
    let userns = Userns {
        origin: origin.clone(),
        set_up: caller.or(root).unwrap_or(program.value),
        caller,
        program,
        writer,
        maps,
    };
    all_mapped(&userns, facts)?;
    Ok(Some(userns))
}

/// What is said for one kind of ids goes for both.
fn as_asked(uids: &[Setting<IdMapping>], gids: &[Setting<IdMapping>]) -> Maps {
    let values = |these: &[Setting<IdMapping>], those: &[Setting<IdMapping>]| {
        let all = if these.is_empty() { those } else { these };
        all.iter().map(|mapping| mapping.value).collect()
    };
    Maps {
        uids: values(uids, gids),
        gids: values(gids, uids),
    }
}

fn one(container_id: u32, host_id: u32) -> IdMapping {
    IdMapping {
        container_id,
        host_id,
        size: 1,
    }
}

/// The caller, as this user.
fn alone(facts: &HostFacts, user: User) -> Maps {
    Maps {
        uids: vec![one(user.uid, facts.uid)],
        gids: vec![one(user.gid, facts.gid)],
    }
}

/// Ranges one after the other from an id on, as far as there are ids, and `most` at most.
fn lay(first: u32, ranges: &[IdRange], most: u32) -> Vec<IdMapping> {
    let mut container_id = first;
    let mut left = most.min(u32::MAX - first);
    let mut mappings = Vec::new();
    // The caller's own id has a line as well, and may part another.
    for range in ranges.iter().take(MAX_MAPPINGS - 2) {
        let size = range.count.min(left);
        if size == 0 {
            continue;
        }
        mappings.push(IdMapping {
            container_id,
            host_id: range.first,
            size,
        });
        container_id += size;
        left -= size;
    }
    mappings
}

/// Whether every range is among those.
fn within(ranges: &[IdRange], those: &[IdRange]) -> bool {
    ranges
        .iter()
        .all(|range| covered(range.first, range.count, those))
}

/// Whether these ids are among those, which may follow each other.
fn covered(first: u32, count: u32, those: &[IdRange]) -> bool {
    let end = u64::from(first) + u64::from(count);
    let mut at = u64::from(first);
    while at < end {
        let next = those
            .iter()
            .filter(|range| u64::from(range.first) <= at)
            .map(|range| u64::from(range.first) + u64::from(range.count))
            .max();
        match next {
            Some(next) if next > at => at = next,
            _ => return false,
        }
    }
    true
}

fn may_map(facts: &HostFacts) -> bool {
    [CAP_SETUID, CAP_SETGID]
        .into_iter()
        .all(|capability| facts.effective.contains(capability))
}

/// Subordinate ids that can be used.
fn has_subordinate(facts: &HostFacts) -> bool {
    let ids = &facts.ids;
    let any = !ids.subordinate.uids.is_empty() && !ids.subordinate.gids.is_empty();
    any && (may_map(facts) || ids.helpers_missing.is_none())
}

fn auto(facts: &HostFacts, user: Option<&Setting<User>>, origin: &Origin) -> Decision<Maps> {
    let ids = &facts.ids;
    let sub = &ids.subordinate;
    if facts.uid != 0 {
        if !has_subordinate(facts) {
            return Ok(alone(facts, user.map_or(ROOT, |user| user.value)));
        }
        let rest = |own, ranges| {
            let mut mappings = vec![one(0, own)];
            mappings.extend(lay(1, ranges, u32::MAX));
            mappings
        };
        return Ok(Maps {
            uids: rest(facts.uid, &sub.uids),
            gids: rest(facts.gid, &sub.gids),
        });
    }
    let fixed = [FIXED];
    let own = &ids.own;
    let any = !sub.uids.is_empty() && !sub.gids.is_empty();
    let (uids, gids) = if any && within(&sub.uids, &own.uids) && within(&sub.gids, &own.gids) {
        (&sub.uids[..], &sub.gids[..])
    } else if within(&fixed, &own.uids) && within(&fixed, &own.gids) {
        (&fixed[..], &fixed[..])
    } else if ids.initial {
        return refuse(
            origin,
            "the ids of this process cannot be read in /proc/self/uid_map",
        );
    } else {
        // Root of a user namespace that has no other ids is not root of the host anyway.
        return Ok(alone(facts, user.map_or(ROOT, |user| user.value)));
    };
    Ok(Maps {
        uids: lay(0, uids, COUNT),
        gids: lay(0, gids, COUNT),
    })
}

/// The caller's ids in their places, the subordinate ones around them. Root's all are where they are.
fn keep_id(facts: &HostFacts, user: Option<&Setting<User>>) -> Maps {
    let ids = &facts.ids;
    let caller = User {
        uid: facts.uid,
        gid: facts.gid,
    };
    if facts.uid == 0 && may_map(facts) {
        let same = |ranges: &[IdRange]| {
            let same = |range: &IdRange| IdMapping {
                container_id: range.first,
                host_id: range.first,
                size: range.count,
            };
            ranges.iter().map(same).collect()
        };
        return Maps {
            uids: same(&ids.own.uids),
            gids: same(&ids.own.gids),
        };
    }
    if !has_subordinate(facts) {
        return alone(facts, user.map_or(caller, |user| user.value));
    }
    Maps {
        uids: around(facts.uid, &ids.subordinate.uids),
        gids: around(facts.gid, &ids.subordinate.gids),
    }
}

fn around(own: u32, ranges: &[IdRange]) -> Vec<IdMapping> {
    let mut mappings = lay(0, ranges, own);
    mappings.push(one(own, own));
    // What the ids below have left.
    let mut used = own;
    let mut rest = Vec::new();
    for range in ranges {
        let skip = range.count.min(used);
        used -= skip;
        rest.push(IdRange {
            first: range.first + skip,
            count: range.count - skip,
        });
    }
    mappings.extend(lay(own + 1, &rest, u32::MAX));
    mappings
}

fn no_map(facts: &HostFacts, origin: &Origin) -> Decision<Maps> {
    let ids = &facts.ids;
    if facts.uid == 0 {
        return refuse(origin, "root is never mapped: --userns auto does that");
    }
    if ids.subordinate.uids.is_empty() || ids.subordinate.gids.is_empty() {
        let none = if ids.subordinate.uids.is_empty() {
            "/etc/subuid"
        } else {
            "/etc/subgid"
        };
        return refuse(origin, format!("{none} gives {} no ids", ids.name));
    }
    Ok(Maps {
        uids: lay(0, &ids.subordinate.uids, u32::MAX),
        gids: lay(0, &ids.subordinate.gids, u32::MAX),
    })
}

/// Who may write these maps.
fn writer(spec: &Spec, facts: &HostFacts, maps: &Maps, origin: &Origin) -> Decision<Writer> {
    let is_own = |mappings: &[IdMapping], own: u32| matches!(mappings, [only] if only.size == 1 && only.host_id == own);
    if is_own(&maps.uids, facts.uid) && is_own(&maps.gids, facts.gid) {
        return Ok(Writer::Child);
    }
    let (own, sub) = (&facts.ids.own, &facts.ids.subordinate);
    let asked = &spec.namespaces;
    let mut found = Vec::new();
    let direct = may_map(facts);
    if facts.uid == 0 && !direct {
        return refuse(
            origin,
            "this process has no CAP_SETUID and CAP_SETGID, and can map no ids but its own",
        );
    }
    for (mappings, asked, id, file, own, sub) in [
        (
            &maps.uids,
            &asked.uid_mappings,
            facts.uid,
            "/etc/subuid",
            &own.uids,
            &sub.uids,
        ),
        (
            &maps.gids,
            &asked.gid_mappings,
            facts.gid,
            "/etc/subgid",
            &own.gids,
            &sub.gids,
        ),
    ] {
        for (index, mapping) in mappings.iter().enumerate() {
            let allowed = if direct {
                covered(mapping.host_id, mapping.size, own)
            } else {
                mapping.host_id == id && mapping.size == 1
                    || covered(mapping.host_id, mapping.size, sub)
            };
            if allowed {
                continue;
            }
            let range = shown(&IdRange {
                first: mapping.host_id,
                count: mapping.size,
            });
            let reason = if direct {
                format!(
                    "the user namespace here has not all of the ids {range}, but {}",
                    list(own)
                )
            } else {
                format!(
                    "{} may not map the ids {range}: {file} gives {}",
                    facts.ids.name,
                    list(sub)
                )
            };
            found.push(Violation {
                reason,
                origin: asked.get(index).map_or(origin, |one| &one.origin).clone(),
            });
        }
    }
    match (&facts.ids.helpers_missing, direct) {
        _ if !found.is_empty() => Err(found),
        (_, true) => Ok(Writer::Parent),
        (None, false) => Ok(Writer::Helpers),
        (Some(reason), false) => {
            let ids = [(&maps.uids, facts.uid), (&maps.gids, facts.gid)];
            let others = ids.map(|(mappings, own)| others(mappings, own));
            let first = others.iter().find(|ranges| !ranges.is_empty());
            let ids = list(first.map_or(&[][..], Vec::as_slice));
            refuse(
                origin,
                format!("the ids {ids} are mapped by newuidmap and newgidmap: {reason}"),
            )
        }
    }
}

/// The ids outside that are not the caller's own.
fn others(mappings: &[IdMapping], own: u32) -> Vec<IdRange> {
    let others = mappings.iter().map(|mapping| IdRange {
        first: mapping.host_id,
        count: mapping.size,
    });
    others
        .filter(|range| range.first != own || range.count != 1)
        .collect()
}

fn shown(range: &IdRange) -> String {
    match range.count {
        1 => range.first.to_string(),
        count => format!(
            "{}-{}",
            range.first,
            u64::from(range.first) + u64::from(count) - 1
        ),
    }
}

/// Ranges of ids, for people.
pub(crate) fn list(ranges: &[IdRange]) -> String {
    if ranges.is_empty() {
        return "none".to_owned();
    }
    let all: Vec<String> = ranges.iter().map(shown).collect();
    all.join(", ")
}

/// Whoever the program runs as is somebody of the box, in all groups that it gets.
fn all_mapped(userns: &Userns, facts: &HostFacts) -> Decision<()> {
    let Userns { maps, program, .. } = userns;
    let User { uid, gid } = program.value;
    let others = match &facts.user {
        Some(Ok(user)) if userns.groups_change() => &user.groups[..],
        _ => &[],
    };
    let groups = std::iter::once(&gid).chain(others);
    let missing = std::iter::once(("user", &uid, &maps.uids))
        .chain(groups.map(|gid| ("group", gid, &maps.gids)))
        .find(|(_, id, mappings)| host_of(mappings, **id).is_none());
    let Some((kind, id, mappings)) = missing else {
        return Ok(());
    };
    let ranges: Vec<IdRange> = mappings
        .iter()
        .map(|mapping| IdRange {
            first: mapping.container_id,
            count: mapping.size,
        })
        .collect();
    refuse(
        &program.origin,
        format!(
            "there is no {kind} {id} in the box: its {kind} ids are {}",
            list(&ranges)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u32, count: u32) -> IdRange {
        IdRange { first, count }
    }

    #[test]
    fn ranges_are_laid_one_after_the_other() {
        let laid = |first, most| {
            let mappings = lay(first, &[range(100, 10), range(0, 0), range(500, 10)], most);
            mappings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(laid(1, u32::MAX), ["1 100 10", "11 500 10"]);
        assert_eq!(laid(0, 12), ["0 100 10", "10 500 2"]);
        assert_eq!(
            laid(u32::MAX - 11, u32::MAX),
            ["4294967284 100 10", "4294967294 500 1"]
        );
    }

    #[test]
    fn the_callers_id_stays_where_it_is() {
        let laid = |own| {
            let mappings = around(own, &[range(100, 10), range(500, 10)]);
            mappings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(laid(5), ["0 100 5", "5 5 1", "6 105 5", "11 500 10"]);
        assert_eq!(laid(12), ["0 100 10", "10 500 2", "12 12 1", "13 502 8"]);
        assert_eq!(laid(1000), ["0 100 10", "10 500 10", "1000 1000 1"]);
    }

    #[test]
    fn ranges_that_follow_each_other_cover_what_is_on_both() {
        let those = [range(20, 10), range(10, 10)];
        assert!(covered(10, 20, &those));
        assert!(covered(19, 2, &those));
        assert!(!covered(9, 2, &those));
        assert!(!covered(29, 2, &those));
        assert!(!covered(0, 1, &[]));
    }
}
