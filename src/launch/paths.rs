// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking at the paths of mounts: what is there, and what has to be made.
//!
//! What is seen here may be something else a moment later. Nothing depends on it but which steps a plan
//! has: a directory that has come meanwhile is as good as one that was made, and one that has gone ends
//! the set-up with an error.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::ptr;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::sys::statvfs::statvfs;

use super::own_root;
use crate::host::mountinfo::Table;
use crate::host::namespace::{self, in_first_user_namespace};
use crate::plan::{MountFacts, PathFacts, SourceKind};
use crate::spec::{
    Attributes, Dev, Mount, MountKind, Namespace, Rootfs, Spec, UserNamespace, Writes,
};

const LOOK_UP: OFlag = OFlag::O_PATH
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// Looks at what the mounts of a description are about; at nothing if it has none.
pub(super) fn gather(spec: &Spec) -> PathFacts {
    if spec.rootfs.is_none() && spec.mounts.is_empty() {
        return PathFacts::default();
    }
    let mount_setattr = mount_setattr();
    let rootfs = spec.rootfs.as_ref().map(|rootfs| &rootfs.value);
    let root = Backing::root(rootfs);
    let has = |name: &str| rootfs.is_some() && root.directories(&[name.as_bytes()]) == 1;
    let mount_points = [has("proc"), has("sys"), has("dev")];
    let mut tree = Tree::new(root, spec);
    PathFacts {
        openat2: openat2(),
        mount_setattr,
        open_tree_namespace: rootfs.is_some() && open_tree_namespace(),
        root_owners: owners(rootfs),
        own_root: own_roots(spec),
        root_flags: match rootfs {
            None => 0,
            Some(rootfs) if rootfs.writes == Writes::Memory => libc::MS_NOSUID | libc::MS_NODEV,
            Some(rootfs) => flags(&rootfs.path),
        },
        mount_points,
        initial_user_namespace: in_first_user_namespace(),
        own_network: rootfs.is_some() && own_network(),
        mounts: spec
            .mounts
            .iter()
            .map(|mount| tree.add(&mount.value, mount_setattr))
            .collect(),
    }
}

/// What lies at a place before the box is there.
enum Backing {
    /// Directories of the caller's, any of which may have a name.
    Directories(Vec<PathBuf>),
    /// Nothing yet.
    Empty,
}

impl Backing {
    fn of(paths: &[&Path]) -> Self {
        Self::Directories(paths.iter().map(|&path| path.to_owned()).collect())
    }

    fn root(rootfs: Option<&Rootfs>) -> Self {
        let Some(rootfs) = rootfs else {
            return Self::of(&[Path::new("/")]);
        };
        match &rootfs.writes {
            Writes::Keep(upper) => Self::of(&[&rootfs.path, &upper.join("upper")]),
            Writes::Through | Writes::Discard => Self::of(&[&rootfs.path]),
            Writes::Memory => Self::Empty,
        }
    }

    /// How many of the names, from the first on, are directories and no links.
    fn directories(&self, names: &[&[u8]]) -> usize {
        let Self::Directories(roots) = self else {
            return 0;
        };
        let below = |root: &PathBuf| {
            let mut known = 0;
            let mut directory = open_directory(root);
            for name in names {
                let next = directory
                    .as_ref()
                    .and_then(|directory| openat(directory, *name, LOOK_UP, Mode::empty()).ok());
                if next.is_none() {
                    break;
                }
                directory = next;
                known += 1;
            }
            known
        };
        roots.iter().map(below).max().unwrap_or(0)
    }

    /// Whether there is something that is neither a directory nor a link.
    fn has_file(&self, names: &[&[u8]]) -> bool {
        self.has(names, |kind| {
            kind != SFlag::S_IFDIR && kind != SFlag::S_IFLNK
        })
    }

    /// Whether there is a symbolic link.
    fn has_link(&self, names: &[&[u8]]) -> bool {
        self.has(names, |kind| kind == SFlag::S_IFLNK)
    }

    /// Where names lead as a path below the root, if they lead somewhere.
    fn resolve(&self, names: &[&[u8]]) -> Option<PathBuf> {
        let Self::Directories(roots) = self else {
            return None;
        };
        let path = names.iter().fold(PathBuf::new(), join);
        roots.iter().find_map(|root| resolve(root, &path))
    }

    fn has(&self, names: &[&[u8]], is: impl Fn(SFlag) -> bool) -> bool {
        let (Self::Directories(roots), Some((name, parents))) = (self, names.split_last()) else {
            return false;
        };
        roots.iter().any(|root| {
            let mut directory = open_directory(root);
            for parent in parents {
                directory = directory
                    .and_then(|directory| openat(directory, *parent, LOOK_UP, Mode::empty()).ok());
            }
            let found = directory
                .and_then(|directory| fstatat(directory, *name, AtFlags::AT_SYMLINK_NOFOLLOW).ok());
            found.is_some_and(|found| is(SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT))
        })
    }
}

/// The mounts of a box so far.
struct Tree {
    /// Whether what is missing in the root itself may be made.
    own_root: bool,
    root: Backing,
    mounts: BTreeMap<PathBuf, Backing>,
    /// The caller's mounts, read when the first bind asks for them.
    table: OnceCell<Option<Table>>,
}

impl Tree {
    fn new(root: Backing, spec: &Spec) -> Self {
        let mut mounts = BTreeMap::new();
        if spec.rootfs.is_some() {
            mounts.insert("/sys".into(), Backing::of(&[Path::new("/sys")]));
            if spec.proc.value {
                mounts.insert("/proc".into(), Backing::of(&[Path::new("/proc")]));
            }
            match spec.dev.value {
                Dev::Minimal => drop(mounts.insert("/dev".into(), Backing::Empty)),
                Dev::Host => {
                    mounts.insert("/dev".into(), Backing::of(&[Path::new("/dev")]));
                }
                Dev::None => {}
            }
        }
        let own_pids = spec.namespaces.pid.value == Namespace::Private;
        if spec.rootfs.is_none() && spec.proc.value && own_pids {
            mounts.insert("/proc".into(), Backing::of(&[Path::new("/proc")]));
        }
        Self {
            own_root: spec.rootfs.is_some(),
            root,
            mounts,
            table: OnceCell::new(),
        }
    }

    /// Looks at a mount, which is there for those after it.
    fn add(&mut self, mount: &Mount, mount_setattr: bool) -> MountFacts {
        // The nearest mount above it; of several on one place the last, which lies on top.
        let (prefix, backing) = mount
            .target
            .ancestors()
            .find_map(|above| Some((above, self.mounts.get(above)?)))
            .unwrap_or((Path::new("/"), &self.root));
        let rest = mount.target.strip_prefix(prefix).unwrap_or(&mount.target);
        let names = names(rest);
        let directories = backing.directories(&names);
        let known = self::names(prefix).len() + directories;
        let fresh = matches!(backing, Backing::Empty);
        let own_root = prefix == Path::new("/") && self.own_root;
        let (source, own) = match &mount.kind {
            MountKind::Bind { source, .. } => (kind(source), Backing::of(&[source])),
            MountKind::File { .. } => (SourceKind::File, Backing::Empty),
            MountKind::Overlay { lower, upper } => {
                let upper = upper.iter().map(|(upper, _)| upper);
                let layers: Vec<&Path> = lower.iter().chain(upper).map(PathBuf::as_path).collect();
                (SourceKind::Directory, Backing::of(&layers))
            }
            _ => (SourceKind::Directory, Backing::Empty),
        };
        let exists = if source == SourceKind::File {
            backing.has_file(&names)
        } else {
            directories == names.len()
        };
        let facts = MountFacts {
            place: match names.get(..=directories) {
                Some(start) if own_root && backing.has_link(start) => backing
                    .resolve(start)
                    .map(|start| names[directories + 1..].iter().fold(start, join)),
                _ => Some(mount.target.clone()),
            },
            source,
            below: self.below_source(mount, mount_setattr),
            known,
            exists,
            in_root: own_root,
            creatable: fresh || own_root,
        };
        self.mounts.insert(mount.target.clone(), own);
        facts
    }
}

fn join(path: PathBuf, name: &&[u8]) -> PathBuf {
    path.join(OsStr::from_bytes(name))
}

/// Where a path below a root leads, without symbolic links, if it leads somewhere.
pub(crate) fn resolve(root: &Path, path: &Path) -> Option<PathBuf> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let root = open_directory(root)?;
    let found = nix::fcntl::openat2(&root, path, how).ok()?;
    let place = path_of(&found)?;
    Some(Path::new("/").join(place.strip_prefix(path_of(&root)?).ok()?))
}

/// The path of what a descriptor stands for.
pub(super) fn path_of(fd: &OwnedFd) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()
}

pub(super) fn open_directory(path: &Path) -> Option<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty()).ok()
}

fn names(path: &Path) -> Vec<&[u8]> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.as_bytes()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

fn kind(path: &Path) -> SourceKind {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => SourceKind::Directory,
        Ok(_) => SourceKind::File,
        Err(_) => SourceKind::Missing,
    }
}

/// The flags of the mount that a path is on.
fn flags(path: &Path) -> u64 {
    statvfs(path).map_or(0, |found| found.flags().bits())
}

impl Tree {
    /// The mounts of a bind that must be changed one by one: those that the caller has below the source.
    /// On the caller's own root those of the box lie on top of them.
    fn below_source(&self, mount: &Mount, mount_setattr: bool) -> Vec<(PathBuf, u64)> {
        let MountKind::Bind {
            source, recursive, ..
        } = &mount.kind
        else {
            return vec![(PathBuf::new(), 0)];
        };
        if mount_setattr || mount.attributes == Attributes::default() {
            return Vec::new();
        }
        let mut all = vec![(PathBuf::new(), flags(source))];
        let real = source.canonicalize().unwrap_or_else(|_| source.clone());
        let below = |point: &Path| {
            let rest = point.strip_prefix(&real).ok()?;
            (!rest.as_os_str().is_empty()).then(|| rest.to_owned())
        };
        if !recursive {
            return all;
        }
        let covered = |point: &Path| {
            let mut above = point.ancestors();
            !self.own_root && above.any(|above| self.mounts.contains_key(above))
        };
        let table = self.table.get_or_init(Table::read);
        for mount in table.iter().flat_map(Table::mounts) {
            let point = mount.point();
            if let (Some(rest), false) = (below(&point), covered(&point)) {
                all.push((rest, flags(&point)));
            }
        }
        if !self.own_root {
            let own = self.mounts.keys().filter_map(|point| below(point));
            all.extend(own.map(|rest| (rest, 0)));
        }
        all
    }
}

/// Whose the root filesystem is, and the directory above it.
fn owners(rootfs: Option<&Rootfs>) -> [Option<u32>; 2] {
    let owner = |path: &Path| path.metadata().ok().map(|found| found.uid());
    let upper = rootfs.and_then(|rootfs| match &rootfs.writes {
        Writes::Keep(upper) => owner(upper),
        Writes::Through | Writes::Discard | Writes::Memory => None,
    });
    let rootfs = rootfs.filter(|rootfs| rootfs.writes != Writes::Memory);
    [rootfs.and_then(|rootfs| owner(&rootfs.path)), upper]
}

/// Whether the caller's own root is in one of them. Only a box with other ids than the caller's maps ids.
fn own_roots(spec: &Spec) -> [bool; 2] {
    let namespaces = &spec.namespaces;
    let mapped = !namespaces.uid_mappings.is_empty()
        || !namespaces.gid_mappings.is_empty()
        || namespaces.user.value == UserNamespace::Auto;
    let Some(rootfs) = spec.rootfs.as_ref().filter(|_| mapped) else {
        return [false; 2];
    };
    let is_in = |path: &Path, recursive| own_root::is_in(path, recursive);
    match &rootfs.value.writes {
        Writes::Memory => [false; 2],
        Writes::Through => [is_in(&rootfs.value.path, true), false],
        Writes::Discard => [is_in(&rootfs.value.path, false), false],
        Writes::Keep(upper) => [is_in(&rootfs.value.path, false), is_in(upper, false)],
    }
}

/// Whether the network namespace belongs to the user namespace of this process, so that the kernel mounts
/// its sysfs: ioctl_ns(2).
fn own_network() -> bool {
    /// `NS_GET_USERNS` in `linux/nsfs.h`.
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    let Ok(network) = std::fs::File::open("/proc/self/ns/net") else {
        return false;
    };
    // SAFETY: the call takes no memory. Its result is a new descriptor, or an error.
    let owner = unsafe { libc::ioctl(network.as_raw_fd(), NS_GET_USERNS as _) };
    if owner < 0 {
        return false;
    }
    // SAFETY: the descriptor is new and nobody else's.
    let owner = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(owner) });
    let owner = owner.metadata().ok().map(|found| found.ino());
    owner.is_some() && owner == namespace::number("user")
}

/// Whether openat2(2) is there and not forbidden. Asked for nothing, it is `EINVAL` where it is.
pub(crate) fn openat2() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let path: &CStr = c"/";
        // SAFETY: a length of 0 is refused before anything is read.
        let result = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                libc::AT_FDCWD,
                path.as_ptr(),
                ptr::null::<u8>(),
                0,
            )
        };
        result == -1 && Errno::last() == Errno::EINVAL
    })
}

/// The same of mount_setattr(2).
pub(crate) fn mount_setattr() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let path: &CStr = c"/";
        // SAFETY: a length of 0 is refused before anything is read.
        let result = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                libc::AT_FDCWD,
                path.as_ptr(),
                0,
                ptr::null::<u8>(),
                0,
            )
        };
        result == -1 && Errno::last() == Errno::EINVAL
    })
}

/// The same of open_tree(2) with `OPEN_TREE_NAMESPACE`. It looks at its flags before it looks for what is not
/// there: `EINVAL` if it does not know them.
pub(crate) fn open_tree_namespace() -> bool {
    /// `linux/mount.h`.
    const OPEN_TREE_NAMESPACE: u32 = 2;
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let empty: &CStr = c"";
        let flags = OPEN_TREE_NAMESPACE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as u32;
        // SAFETY: no descriptor has this number; the string lives during the call.
        let result = unsafe { libc::syscall(libc::SYS_open_tree, -1, empty.as_ptr(), flags) };
        result == -1 && Errno::last() == Errno::EBADF
    })
}
