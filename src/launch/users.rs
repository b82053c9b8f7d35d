// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who a user is: looked up in the files of the root that the box will have, and nowhere else. No library
//! of that root is asked (CVE-2019-14271), and no file outside of it is opened.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::Mode;

use super::join::First;
use crate::plan::{UserFacts, shown};
use crate::spec::{Login, Mount, MountKind, Setting, Spec, Writes, passwd};

/// Bytes of a file that are read. Our own limit: a root filesystem may hold anything.
const MOST: u64 = 16 << 20;

/// How often a path is tried that is in doubt.
const RETRIES: usize = 1000;

/// Looks up the user of a description that names one.
pub(super) fn gather(spec: &Spec) -> Option<Result<UserFacts, String>> {
    let Some(login) = spec.login.as_ref().map(|login| &login.value) else {
        return of_the_box(spec).map(Ok);
    };
    Some(Files::of(spec).and_then(|files| resolve(login, &files)))
}

/// Who the program of a box is that is joined, as it was when the box was started.
fn of_the_box(spec: &Spec) -> Option<UserFacts> {
    let walls = &spec.join.as_ref()?.value.walls;
    let (groups, home) = walls.login.as_ref()?;
    let same = spec
        .user
        .as_ref()
        .is_some_and(|user| user.value == walls.user);
    same.then(|| UserFacts {
        uid: walls.user.uid,
        gid: walls.user.gid,
        groups: groups.clone(),
        home: home.clone(),
    })
}

fn resolve(login: &Login, files: &Files) -> Result<UserFacts, String> {
    let wrong =
        |name: &'static str| move |line: usize| format!("line {line} of /etc/{name} is malformed");
    let passwd_file = files.read("passwd")?;
    let entry = passwd::user(&passwd_file, &login.user).map_err(wrong("passwd"))?;
    let (uid, gid, home) = match (&entry, passwd::id(&login.user)) {
        (Some(entry), _) => (entry.uid, entry.gid, Some(entry.home.clone())),
        // As in docker, a number need not be anybody's.
        (None, Some(uid)) => (uid, 0, None),
        (None, None) => return Err(format!("there is no user {:?} in /etc/passwd", login.user)),
    };
    let home = home.filter(|home| !home.as_os_str().is_empty());
    let home = home.unwrap_or_else(|| PathBuf::from("/"));
    let Some(group) = &login.group else {
        let groups = match entry {
            Some(entry) => {
                let file = files.read("group")?;
                passwd::groups_of(&file, &entry.name).map_err(wrong("group"))?
            }
            None => Vec::new(),
        };
        return Ok(UserFacts {
            uid,
            gid,
            groups,
            home,
        });
    };
    let gid = match passwd::id(group) {
        Some(gid) => gid,
        None => passwd::group(&files.read("group")?, group)
            .map_err(wrong("group"))?
            .ok_or_else(|| format!("there is no group {group:?} in /etc/group"))?,
    };
    Ok(UserFacts {
        uid,
        gid,
        groups: Vec::new(),
        home,
    })
}

/// Whether the box sees the caller's own file of users.
fn has_the_callers(spec: &Spec) -> bool {
    let file = Path::new("/etc/passwd");
    let is_it = |mount: &Setting<Mount>| {
        let Mount { target, kind, .. } = &mount.value;
        target == file && matches!(kind, MountKind::Bind { source, .. } if source == file)
    };
    spec.mounts.iter().any(is_it)
}

/// The directories of which the first that has a file has the one that the box will see.
struct Files(Vec<OwnedFd>);

impl Files {
    fn of(spec: &Spec) -> Result<Self, String> {
        if let Some(join) = &spec.join {
            let root = First::find(&join.value).and_then(|first| first.root());
            let cannot =
                |errno: Errno| format!("cannot open the root of the box: {}", errno.desc());
            return Ok(Self(vec![root.map_err(cannot)?]));
        }
        let paths = match spec.rootfs.as_ref().map(|rootfs| &rootfs.value) {
            None => vec![PathBuf::from("/")],
            Some(rootfs) => match &rootfs.writes {
                Writes::Keep(upper) => vec![upper.join("upper"), rootfs.path.clone()],
                Writes::Through | Writes::Discard => vec![rootfs.path.clone()],
                Writes::Memory if has_the_callers(spec) => vec![PathBuf::from("/")],
                Writes::Memory => Vec::new(),
            },
        };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut roots = Vec::new();
        for path in &paths {
            match open(path, flags, Mode::empty()) {
                Ok(root) => roots.push(root),
                // The layer above is made by the first box.
                Err(Errno::ENOENT) if paths.len() > 1 && roots.is_empty() => {}
                Err(errno) => {
                    return Err(format!("cannot open {}: {}", shown(path), errno.desc()));
                }
            }
        }
        Ok(Self(roots))
    }

    /// What is in a file of /etc; nothing if there is none.
    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let cannot = |reason: String| format!("cannot read /etc/{name} of the root: {reason}");
        for root in &self.0 {
            let file = match below(root, name) {
                Ok(file) => File::from(file),
                Err(Errno::ENOENT) => continue,
                Err(errno) => return Err(cannot(errno.desc().to_owned())),
            };
            if !file.metadata().is_ok_and(|found| found.is_file()) {
                return Err(cannot("it is no file".to_owned()));
            }
            let mut bytes = Vec::new();
            let read = file.take(MOST + 1).read_to_end(&mut bytes);
            read.map_err(|error| cannot(error.to_string()))?;
            if bytes.len() as u64 > MOST {
                return Err(cannot(format!("it has more than {MOST} bytes")));
            }
            return Ok(bytes);
        }
        Ok(Vec::new())
    }
}

/// Opens a file of /etc below a root: openat2(2), or, without it, a walk that follows no link.
fn below(root: &OwnedFd, name: &str) -> nix::Result<OwnedFd> {
    // A pipe would be waited for.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let inside = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags).resolve(inside);
    // A mount or a rename anywhere meanwhile leaves it in doubt whether a `..` stays inside.
    let opened = (0..RETRIES)
        .map(|_| openat2(root.as_fd(), &Path::new("etc").join(name), how))
        .find(|opened| !matches!(opened, Err(Errno::EAGAIN)));
    match opened.unwrap_or(Err(Errno::EAGAIN)) {
        Err(Errno::ENOSYS | Errno::EPERM) => {
            let look_up = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let etc = openat(root.as_fd(), "etc", look_up, Mode::empty())?;
            openat(etc.as_fd(), name, flags | OFlag::O_NOFOLLOW, Mode::empty())
        }
        opened => opened,
    }
}
