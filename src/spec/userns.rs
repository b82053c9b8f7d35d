// SPDX-License-Identifier: MIT OR Apache-2.0
//! The user namespace, and which ids it has. See user_namespaces(7).

use std::fmt;
use std::str::FromStr;

/// Whether there is a user namespace, and whose ids it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserNamespace {
    /// If the caller may not make the other namespaces without one (no `CAP_SYS_ADMIN`): one that maps the
    /// caller alone, to root or to the [`User`](super::User) asked for.
    IfNeeded,
    /// Always, with as many ids as there are.
    ///
    /// For an ordinary user root is the caller, and the other ids are the caller's subordinate ones:
    /// subuid(5), subgid(5). Without any, or without newuidmap(1) and newgidmap(1), the caller is alone.
    /// For root all ids are subordinate ones, or 65,536 from 1,879,048,192 on: root inside is not root
    /// outside.
    Auto,
    /// One in which the caller's ids are the same as outside. An ordinary user's other ids are as for
    /// [`Auto`](Self::Auto); root's all stay as they are.
    KeepId,
    /// One in which the caller has no id: all are an ordinary user's subordinate ones.
    NoMap,
    /// Never.
    Host,
}

/// A range of ids of a user namespace, in the words of the OCI runtime specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdMapping {
    /// The first id inside.
    pub container_id: u32,
    /// The first id outside: in the user namespace of the caller.
    pub host_id: u32,
    /// How many there are, 1 at least. The id 4,294,967,295 is none.
    pub size: u32,
}

/// The most lines that the kernel takes (`UID_GID_MAP_MAX_EXTENTS` in `linux/user_namespace.h`).
pub(crate) const MAX_MAPPINGS: usize = 340;

impl IdMapping {
    /// The id inside that an id outside has, if it is of this range.
    fn container_of(&self, host: u32) -> Option<u32> {
        let offset = host.checked_sub(self.host_id)?;
        (offset < self.size).then(|| self.container_id + offset)
    }

    /// What is wrong with the range by itself.
    pub(super) fn fault(&self) -> Option<&'static str> {
        let fits = |first: u32| first.checked_add(self.size).is_some();
        if self.size == 0 {
            Some("a range has one id at least")
        } else if fits(self.container_id) && fits(self.host_id) {
            None
        } else {
            Some("the range goes beyond 4294967294, the last id that there is")
        }
    }

    /// Whether two ranges have an id in common, inside or outside. Each is right by itself.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let meet = |a: u32, b: u32| a < b + other.size && b < a + self.size;
        meet(self.container_id, other.container_id) || meet(self.host_id, other.host_id)
    }
}

/// The id inside that an id outside has.
pub(crate) fn container_of(mappings: &[IdMapping], host: u32) -> Option<u32> {
    let mut all = mappings.iter();
    all.find_map(|mapping| mapping.container_of(host))
}

/// The id outside that an id inside has.
pub(crate) fn host_of(mappings: &[IdMapping], container: u32) -> Option<u32> {
    mappings.iter().find_map(|mapping| {
        let offset = container.checked_sub(mapping.container_id)?;
        (offset < mapping.size).then(|| mapping.host_id + offset)
    })
}

impl fmt::Display for IdMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.container_id, self.host_id, self.size)
    }
}

/// A range that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdMappingParseError;

impl fmt::Display for IdMappingParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected CONTAINER:HOST:SIZE: numbers from 0 to 4294967295, as in 0:100000:65536",
        )
    }
}

impl std::error::Error for IdMappingParseError {}

impl FromStr for IdMapping {
    type Err = IdMappingParseError;

    /// Reads `CONTAINER:HOST:SIZE`, docker's order.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        };
        let parts: Vec<&str> = text.split(':').collect();
        let [container, host, size] = parts[..] else {
            return Err(IdMappingParseError);
        };
        match (number(container), number(host), number(size)) {
            (Some(container_id), Some(host_id), Some(size)) => Ok(Self {
                container_id,
                host_id,
                size,
            }),
            _ => Err(IdMappingParseError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(text: &str) -> IdMapping {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_are_read_in_dockers_order() {
        let range = mapping("1:100000:65536");
        assert_eq!(
            (range.container_id, range.host_id, range.size),
            (1, 100_000, 65_536)
        );
        for wrong in [
            "",
            "0",
            "0:1",
            "0:1:2:3",
            "a:0:1",
            "-1:0:1",
            "+1:0:1",
            "0::1",
            "0:4294967296:1",
        ] {
            assert_eq!(
                wrong.parse::<IdMapping>(),
                Err(IdMappingParseError),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_range_ends_before_the_id_that_is_none() {
        assert_eq!(mapping("0:0:4294967295").fault(), None);
        assert_eq!(mapping("4294967294:0:1").fault(), None);
        assert!(mapping("4294967295:0:1").fault().is_some());
        assert!(mapping("0:1:4294967295").fault().is_some());
        assert!(mapping("0:1:0").fault().is_some());
    }

    #[test]
    fn ranges_overlap_inside_or_outside() {
        let range = mapping("10:100:10");
        for (other, overlap) in [
            ("20:110:5", false),
            ("0:90:10", false),
            ("19:200:1", true),
            ("50:109:1", true),
            ("0:0:4294967295", true),
        ] {
            assert_eq!(range.overlaps(&mapping(other)), overlap, "{other}");
            assert_eq!(mapping(other).overlaps(&range), overlap, "{other}");
        }
    }

    #[test]
    fn ids_are_found_in_both_directions() {
        let all = [mapping("0:1000:1"), mapping("1:100000:10")];
        assert_eq!(container_of(&all, 1000), Some(0));
        assert_eq!(container_of(&all, 100_009), Some(10));
        assert_eq!(container_of(&all, 100_010), None);
        assert_eq!(host_of(&all, 10), Some(100_009));
        assert_eq!(host_of(&all, 11), None);
    }
}
