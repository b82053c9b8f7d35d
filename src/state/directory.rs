// SPDX-License-Identifier: MIT OR Apache-2.0
//! The directory: whose it is, and what is done in it, by descriptor.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, open, openat, renameat};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use crate::errno;
use crate::error::Error;

/// The longest record. Our own choice: a thousand times what one has.
const LONGEST: u64 = 1 << 20;

/// A directory of records, of the caller and of nobody else.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

/// The right to claim and to remove.
#[derive(Debug)]
pub(super) struct Locked(#[expect(dead_code, reason = "it is held")] Flock<File>);

impl Directory {
    /// Opens it, and looks whose it is. `None` if there is none.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Error> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = match open(path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            // A link in the place of the directory is one as well: O_NOFOLLOW with O_DIRECTORY.
            Err(errno) => return Err(cannot("open the directory of boxes", path, errno)),
        };
        let directory = Self {
            fd,
            path: path.to_owned(),
        };
        directory.check()?;
        Ok(Some(directory))
    }

    /// Opens it, and makes it if there is none.
    pub(super) fn make(path: &Path) -> Result<Self, Error> {
        if let Some(directory) = Self::open(path)? {
            return Ok(directory);
        }
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(cannot(
                "make the directory of boxes",
                path,
                errno::of(&error),
            )),
            _ => Self::open(path)?
                .ok_or_else(|| cannot("open the directory of boxes", path, Errno::ENOENT)),
        }
    }

    /// Whoever can write here can name any process as a box.
    fn check(&self) -> Result<(), Error> {
        let shown = self.path.display().to_string().escape_debug().to_string();
        let found = nix::sys::stat::fstat(&self.fd)
            .map_err(|errno| cannot("look at the directory of boxes", &self.path, errno))?;
        let (owner, mode) = (found.st_uid, found.st_mode & 0o7777);
        if owner != geteuid().as_raw() {
            let own = geteuid();
            return Err(Error::state(format!(
                "the directory of boxes {shown} belongs to user {owner}, not to the caller ({own})"
            )));
        }
        if mode & 0o077 != 0 {
            return Err(Error::state(format!(
                "the directory of boxes {shown} is open to others (mode {mode:04o}): chmod 0700 makes it the caller's alone"
            )));
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn error(&self, action: &str, errno: Errno) -> Error {
        cannot(action, &self.path, errno)
    }

    /// Waits for the right to claim names and to remove records.
    pub(super) fn lock(&self) -> Result<Locked, Error> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let locked = openat(&self.fd, ".", flags, Mode::empty())
            .and_then(|again| lock(again.into(), FlockArg::LockExclusive));
        locked
            .map(Locked)
            .map_err(|errno| self.error("lock the directory of boxes", errno))
    }

    /// The files in it.
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        let failed = |errno| self.error("read the directory of boxes", errno);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut again =
            nix::dir::Dir::openat(&self.fd, ".", flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in again.iter() {
            let entry = entry.map_err(failed)?;
            if let Ok(name) = entry.file_name().to_str().map(str::to_owned) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Opens a file that is there: a plain one of the caller's, and nothing else that lies in the way.
    pub(super) fn open_file(&self, name: &str, flags: OFlag) -> nix::Result<File> {
        let safe = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        let file = File::from(openat(&self.fd, name, flags | safe, Mode::empty())?);
        let found = file.metadata().map_err(|error| errno::of(&error))?;
        if found.is_file() && found.uid() == geteuid().as_raw() {
            Ok(file)
        } else {
            Err(Errno::EPERM)
        }
    }

    /// A new file in the place of what may be left there.
    pub(super) fn new_file(&self, name: &str) -> nix::Result<File> {
        self.remove(name);
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        openat(
            &self.fd,
            name,
            flags | OFlag::O_CLOEXEC,
            Mode::from_bits_truncate(0o600),
        )
        .map(File::from)
    }

    /// Puts a locked file with this text in the place of another, or of none.
    pub(super) fn put(&self, name: &str, text: &str) -> nix::Result<Flock<File>> {
        let aside = format!("{name}{ASIDE}");
        let put = || {
            let file = lock(self.new_file(&aside)?, FlockArg::LockExclusiveNonblock)?;
            (&*file)
                .write_all(text.as_bytes())
                .map_err(|error| errno::of(&error))?;
            renameat(&self.fd, aside.as_str(), &self.fd, name)?;
            Ok(file)
        };
        put().inspect_err(|_| self.remove(&aside))
    }

    /// A path in this very directory, whatever its own path is by now, and short enough for a socket: unix(7).
    fn path_of(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.fd.as_raw_fd()))
    }

    /// A socket of packets that others can connect to.
    pub(super) fn listen(&self, name: &str) -> nix::Result<OwnedFd> {
        self.remove(name);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let own = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        bind(own.as_raw_fd(), &UnixAddr::new(&self.path_of(name))?)?;
        listen(&own, Backlog::new(8)?)?;
        Ok(own)
    }

    /// A connection to such a socket.
    pub(super) fn connect(&self, name: &str) -> nix::Result<OwnedFd> {
        let own = socket(
            AddressFamily::Unix,
            SockType::SeqPacket,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        connect(own.as_raw_fd(), &UnixAddr::new(&self.path_of(name))?)?;
        Ok(own)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> nix::Result<()> {
        renameat(&self.fd, from, &self.fd, to)
    }

    /// Removes a directory if it is empty.
    pub(super) fn remove_directory(&self, name: &str) {
        let _ = unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir);
    }

    pub(super) fn remove(&self, name: &str) {
        let _ = unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir);
    }
}

impl AsRawFd for Directory {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// What a file is called that is not whole yet.
pub(super) const ASIDE: &str = ".new";

/// Reads a record, from its beginning.
pub(super) fn read(mut file: &File) -> io::Result<String> {
    use std::io::Seek;
    let mut text = String::new();
    file.rewind()?;
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

pub(super) fn lock(file: File, how: FlockArg) -> nix::Result<Flock<File>> {
    let mut file = file;
    loop {
        match Flock::lock(file, how) {
            Ok(locked) => return Ok(locked),
            Err((again, Errno::EINTR)) => file = again,
            Err((_, errno)) => return Err(errno),
        }
    }
}

/// Whether somebody has the lock of a file to himself.
pub(super) fn is_locked(file: &File) -> bool {
    let free = file
        .try_clone()
        .map(|file| lock(file, FlockArg::LockSharedNonblock));
    matches!(free, Ok(Err(Errno::EAGAIN)))
}

fn cannot(action: &str, path: &Path, errno: Errno) -> Error {
    let shown = crate::plan::quoted_bare(OsStr::new(path).as_bytes());
    Error::state_failed(&format!("{action} {shown}"), errno)
}
