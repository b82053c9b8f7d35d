// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mounts in the words of docker run: `--volume`, `--tmpfs`, `--mount`.

use std::fmt;
use std::path::PathBuf;

use super::{Mount, MountKind, Propagation};

/// A mount that cannot be read: why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountParseError(String);

impl fmt::Display for MountParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MountParseError {}

type Result<T> = std::result::Result<T, MountParseError>;

fn error<T>(reason: impl Into<String>) -> Result<T> {
    Err(MountParseError(reason.into()))
}

impl Mount {
    /// Reads `SOURCE:TARGET` or `SOURCE:TARGET:OPTIONS`, a bind. The options are those of
    /// [`parse`](Self::parse) that need no value, with commas between them, and `rw`.
    ///
    /// # Errors
    ///
    /// What is wrong, and what would be right.
    pub fn parse_volume(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match parts[..] {
            [source, target] => (source, target, ""),
            [source, target, options] => (source, target, options),
            _ => return error("expected SOURCE:TARGET or SOURCE:TARGET:OPTIONS"),
        };
        if source.is_empty() || target.is_empty() {
            return error("expected SOURCE:TARGET, neither of them empty");
        }
        let mut mount = Self::bind(source, target);
        for option in words(options, ',') {
            mount.option(option, None)?;
        }
        Ok(mount)
    }

    /// Reads `SOURCE:TARGET`, or a path that is both, as the binds of bwrap(1).
    ///
    /// # Errors
    ///
    /// What is wrong, and what would be right.
    pub fn parse_bind(text: &str) -> Result<Self> {
        match text.split_once(':') {
            None if !text.is_empty() => Ok(Self::bind(text, text)),
            Some((source, target))
                if !source.is_empty() && !target.is_empty() && !target.contains(':') =>
            {
                Ok(Self::bind(source, target))
            }
            _ => error("expected SOURCE:TARGET, or one path for both"),
        }
    }

    /// Reads `TARGET` or `TARGET:OPTIONS`, a tmpfs. The options are `size=`, `mode=`, `ro`, `nosuid`,
    /// `nodev`, `noexec` and their opposites, with commas between them.
    ///
    /// # Errors
    ///
    /// What is wrong, and what would be right.
    pub fn parse_tmpfs(text: &str) -> Result<Self> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        if target.is_empty() {
            return error("expected TARGET or TARGET:OPTIONS");
        }
        let mut mount = Self::tmpfs(target);
        for word in words(options, ',') {
            match word.split_once('=') {
                Some((name, value)) => mount.option(name, Some(value))?,
                None => mount.option(word, None)?,
            }
        }
        Ok(mount)
    }

    /// Reads `type=TYPE,src=SOURCE,dst=TARGET,...`: docker's `--mount`.
    ///
    /// `type` is bind, tmpfs, overlay, proc, sysfs, devpts or mqueue. The other words are `src` (or
    /// `source`), `dst` (`destination`, `target`), `ro` (`readonly`), `rw`, `nosuid`, `suid`, `nodev`,
    /// `dev`, `noexec`, `exec`; of a bind `idmap`, `rbind`, `bind-nonrecursive` and `private`, `rprivate`,
    /// `slave`, `rslave` (also after `bind-propagation=`); of a tmpfs `size=` (or `tmpfs-size=`: bytes,
    /// or with k, m, g) and `mode=` (`tmpfs-mode=`: octal); of an overlay `lowerdir=`, several with `:`
    /// between them, `upperdir=` and `workdir=`. A switch may have `=true` or `=false`.
    ///
    /// # Errors
    ///
    /// What is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self> {
        let pairs: Vec<(&str, Option<&str>)> = words(text, ',')
            .map(|word| match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            })
            .collect();
        let find = |names: &[&str]| {
            let mut found = pairs.iter().filter(|(name, _)| names.contains(name));
            found
                .next_back()
                .and_then(|(_, value)| *value)
                .filter(|value| !value.is_empty())
        };
        let Some(target) = find(&TARGET) else {
            return error("expected dst=TARGET");
        };
        let source = find(&SOURCE);
        let mut mount = match (find(&["type"]).unwrap_or("bind"), source) {
            ("bind", Some(source)) => Self::bind(source, target),
            ("bind", None) => return error("a bind has a src=SOURCE"),
            ("tmpfs", _) => Self::tmpfs(target),
            ("overlay", _) => Self::new(target, overlay(&find)?),
            (kernel @ ("proc" | "sysfs" | "devpts" | "mqueue"), _) => {
                Self::of_kernel(kernel, target)
            }
            (kind, _) => {
                return error(format!(
                    "the type {kind:?} is not bind, tmpfs, overlay, proc, sysfs, devpts or mqueue"
                ));
            }
        };
        for (name, value) in pairs {
            let taken = ["type", "lowerdir", "upperdir", "workdir"];
            if ![&TARGET[..], &SOURCE, &taken].concat().contains(&name) {
                mount.option(name, value)?;
            }
        }
        Ok(mount)
    }

    fn of_kernel(kind: &str, target: &str) -> Self {
        let kind = match kind {
            "proc" => MountKind::Proc,
            "sysfs" => MountKind::Sysfs,
            "devpts" => MountKind::Devpts,
            _ => MountKind::Mqueue,
        };
        let mut mount = Self::new(target, kind);
        mount.attributes.nosuid = true;
        mount.attributes.noexec = true;
        // A terminal is a device.
        mount.attributes.nodev = mount.kind != MountKind::Devpts;
        mount
    }

    fn option(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        if let Some(value) = value {
            return self.option_with_value(name, value);
        }
        let attributes = &mut self.attributes;
        match (name, &mut self.kind) {
            ("ro" | "readonly", _) => attributes.read_only = true,
            ("rw", _) => attributes.read_only = false,
            ("nosuid", _) => attributes.nosuid = true,
            ("suid", _) => attributes.nosuid = false,
            ("nodev", _) => attributes.nodev = true,
            ("dev", _) => attributes.nodev = false,
            ("noexec", _) => attributes.noexec = true,
            ("exec", _) => attributes.noexec = false,
            ("idmap", MountKind::Bind { .. }) => attributes.idmap = true,
            ("rbind", MountKind::Bind { recursive, .. }) => *recursive = true,
            ("bind" | "bind-nonrecursive", MountKind::Bind { recursive, .. }) => *recursive = false,
            ("private" | "rprivate", MountKind::Bind { .. }) => {
                attributes.propagation = Propagation::Private;
            }
            ("slave" | "rslave", MountKind::Bind { .. }) => {
                attributes.propagation = Propagation::Slave;
            }
            ("shared" | "rshared", _) => {
                return error("a box shares no mounts with its caller: rslave passes them one way");
            }
            _ => return error(format!("there is no option {name:?} for this mount")),
        }
        Ok(())
    }

    fn option_with_value(&mut self, name: &str, value: &str) -> Result<()> {
        match (name, value, &mut self.kind) {
            ("size" | "tmpfs-size", _, MountKind::Tmpfs { size, .. }) => {
                *size = Some(bytes(value)?);
            }
            ("mode" | "tmpfs-mode", _, MountKind::Tmpfs { mode, .. }) => {
                *mode = Some(octal(value)?);
            }
            (
                "bind-propagation",
                "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared",
                MountKind::Bind { .. },
            ) => self.option(value, None)?,
            (_, "true" | "1", _) => self.option(name, None)?,
            (_, "false" | "0", _) => {
                let Some(opposite) = opposite(name) else {
                    return error(no_such_option(name, value));
                };
                self.option(opposite, None)?;
            }
            _ => return error(no_such_option(name, value)),
        }
        Ok(())
    }
}

fn no_such_option(name: &str, value: &str) -> String {
    format!(
        "there is no option {:?} for this mount",
        format!("{name}={value}")
    )
}

/// The switch that undoes another.
fn opposite(name: &str) -> Option<&'static str> {
    const PAIRS: [(&str, &str); 6] = [
        ("ro", "rw"),
        ("readonly", "rw"),
        ("nosuid", "suid"),
        ("nodev", "dev"),
        ("noexec", "exec"),
        ("bind-nonrecursive", "rbind"),
    ];
    PAIRS.into_iter().find_map(|(one, other)| {
        if one == name {
            Some(other)
        } else {
            (other == name).then_some(one)
        }
    })
}

const SOURCE: [&str; 2] = ["src", "source"];
const TARGET: [&str; 3] = ["dst", "destination", "target"];

fn overlay<'a>(find: &impl Fn(&[&str]) -> Option<&'a str>) -> Result<MountKind> {
    let Some(lower) = find(&["lowerdir"]) else {
        return error("an overlay has a lowerdir=DIR");
    };
    let upper = match (find(&["upperdir"]), find(&["workdir"])) {
        (None, None) => None,
        (Some(upper), Some(work)) => Some((PathBuf::from(upper), PathBuf::from(work))),
        _ => return error("an overlay has both upperdir=DIR and workdir=DIR, or neither"),
    };
    let lower: Vec<PathBuf> = words(lower, ':').map(PathBuf::from).collect();
    if lower.is_empty() {
        return error("an overlay has a lowerdir=DIR");
    }
    Ok(MountKind::Overlay { lower, upper })
}

fn words(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator).filter(|word| !word.is_empty())
}

/// A number of bytes: a whole one, or with k, m or g behind it.
fn bytes(text: &str) -> Result<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, shift) = [("k", 10), ("m", 20), ("g", 30)]
        .into_iter()
        .find_map(|(unit, shift)| Some((lower.strip_suffix(unit)?, shift)))
        .unwrap_or((&lower, 0));
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| plain);
    match number.and_then(|number: u64| number.checked_mul(1 << shift)) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => error(format!(
            "the size {text:?} is not a number of bytes, as in 4096, 64k, 64m or 1g"
        )),
    }
}

fn octal(text: &str) -> Result<u32> {
    let plain = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if plain && mode <= 0o7777 => Ok(mode),
        _ => error(format!("the mode {text:?} is not octal, 0 to 7777")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_read_as_docker_does() {
        let mount = Mount::parse_volume("/a:/b:ro,rslave").unwrap();
        assert_eq!(mount.target, PathBuf::from("/b"));
        assert!(mount.attributes.read_only);
        assert_eq!(mount.attributes.propagation, Propagation::Slave);
        assert!(Mount::parse_volume("/a:/b:idmap").unwrap().attributes.idmap);
        assert_eq!(Mount::parse_volume("/a:/b"), Ok(Mount::bind("/a", "/b")));
        for wrong in [
            "",
            "/a",
            ":/b",
            "/a:",
            "/a:/b:zz",
            "/a:/b:ro:x",
            "/a:/b:shared",
            "/a:/b:size=1",
        ] {
            assert!(Mount::parse_volume(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_tmpfs_has_a_size_and_a_mode() {
        let mount = Mount::parse_tmpfs("/t:size=64m,mode=1777,noexec").unwrap();
        let kind = MountKind::Tmpfs {
            size: Some(64 << 20),
            mode: Some(0o1777),
        };
        assert_eq!(mount.kind, kind);
        assert!(mount.attributes.noexec);
        for wrong in [
            "",
            ":size=1",
            "/t:size=",
            "/t:size=-1",
            "/t:size=1x",
            "/t:mode=9",
            "/t:rbind",
            "/t:size=99999999999999999999",
            "/t:size=0",
            "/t:mode=17777",
        ] {
            assert!(Mount::parse_tmpfs(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mounts_are_read_in_dockers_words() {
        let mount =
            Mount::parse("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave").unwrap();
        assert_eq!(mount, Mount::parse_volume("/a:/b:ro,rslave").unwrap());
        let mount = Mount::parse("type=bind,source=/a,target=/b,readonly=true").unwrap();
        assert_eq!(mount, Mount::bind("/a", "/b").read_only());
        let mount = Mount::parse("type=tmpfs,destination=/t,tmpfs-size=1k,tmpfs-mode=700").unwrap();
        assert_eq!(mount, Mount::parse_tmpfs("/t:size=1024,mode=0700").unwrap());
        let mount =
            Mount::parse("type=overlay,lowerdir=/a:/b,upperdir=/u,workdir=/w,dst=/o").unwrap();
        let kind = MountKind::Overlay {
            lower: vec!["/a".into(), "/b".into()],
            upper: Some(("/u".into(), "/w".into())),
        };
        assert_eq!(mount.kind, kind);
        assert_eq!(
            Mount::parse("type=proc,dst=/p").unwrap().kind,
            MountKind::Proc
        );
        let mount = Mount::parse("src=/a,dst=/b,nosuid,nosuid=false,rbind=false,ro=1").unwrap();
        assert_eq!(mount, Mount::parse("src=/a,dst=/b,ro,bind").unwrap());
        for wrong in [
            "",
            "type=bind,dst=/b",
            "type=bind,src=/a",
            "type=nfs,src=/a,dst=/b",
            "type=overlay,dst=/o",
            "type=overlay,dst=/o,lowerdir=/a,upperdir=/u",
            "dst=/b,src=/a,zz",
            "dst=/b,src=/a,size=1",
            "dst=/b,src=/a,ro=maybe",
            "dst=/b,src=/a,bind-propagation=ro",
            "dst=/b,src=/a,private=false",
            "type=tmpfs,dst=/t,rbind=false",
            "type=tmpfs,dst=/t,idmap",
            "dst=/b,src=/a,idmap=uids=0-1-1",
        ] {
            assert!(Mount::parse(wrong).is_err(), "{wrong}");
        }
    }
}
