// SPDX-License-Identifier: MIT OR Apache-2.0
//! The init: a program of its own, of a few KiB, which `build.rs` compiles from `src/init`.
//!
//! It must not live in the launcher's memory, which it would share with a box that it serves, nor in
//! a copy of it. So it is executed from a sealed memfd: memfd_create(2).

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    UnixCredentials, recvmsg, send, sendmsg, setsockopt, socketpair, sockopt,
};
use nix::unistd::pipe2;

use crate::errno;
use crate::poll::{hung_up, readable};

/// The program.
pub(crate) static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));
/// In `linux/fcntl.h`.
const F_SEAL_EXEC: libc::c_int = 0x20;
const NAME: &CStr = c"clonebox-init";

/// What stands for the working directory where a report has the number of a candidate.
pub(crate) const WORKING_DIRECTORY: usize = u32::MAX as usize;
/// The same for what could not be taken of what one that stands was told.
pub(crate) const TOLD: usize = WORKING_DIRECTORY - 1;
/// The words of a report, as `src/init/report.rs` writes them.
const STARTED: u32 = 1;
const FAILED: u32 = 2;
const ENDED: u32 = 3;
const NO_PROCESS: u32 = 4;
const PROCESS: u32 = 5;

/// The program in a file that nobody can change.
pub(crate) fn sealed() -> nix::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // MFD_EXEC (since Linux 6.3) says what older kernels take for granted.
    let fd = match memfd_create(NAME, flags | MFdFlags::from_bits_retain(libc::MFD_EXEC)) {
        Err(Errno::EINVAL) => memfd_create(NAME, flags)?,
        other => other?,
    };
    let mut file = File::from(fd);
    file.write_all(PROGRAM).map_err(|error| errno::of(&error))?;
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    // Nor can its mode be changed, since Linux 6.3.
    let mode = SealFlag::from_bits_retain(F_SEAL_EXEC);
    match fcntl(&file, FcntlArg::F_ADD_SEALS(mode | seals)) {
        Err(Errno::EINVAL) => fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?,
        other => other?,
    };
    Ok(file.into())
}

/// What the init has said.
#[derive(Debug)]
pub(super) enum Start {
    /// The program runs.
    Started,
    /// It could not be executed: the candidate, and its errno.
    Failed(usize, i32),
    /// Nothing until the deadline.
    Late,
    /// Nothing at all: it is gone.
    Gone,
}

impl From<[u32; 3]> for Start {
    fn from(words: [u32; 3]) -> Self {
        match words {
            [STARTED, ..] => Self::Started,
            [FAILED, candidate, errno] => Self::Failed(candidate as usize, errno.cast_signed()),
            _ => Self::Gone,
        }
    }
}

/// What one that stands is told.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    pub(crate) argv: &'a [&'a CStr],
    /// `None` for the one that it stands with.
    pub(crate) envp: Option<&'a [&'a CStr]>,
    pub(crate) workdir: Option<&'a CStr>,
    /// In the place of those that it has.
    pub(crate) streams: [Option<BorrowedFd<'a>>; 3],
}

/// What those who enter a process namespace have said.
#[derive(Debug)]
pub(super) enum Said {
    /// Who has said it: this process made that one, as this process sees both.
    Made(u32, u32),
    /// Who is there.
    There(u32),
    /// There is nobody: the errno.
    Nobody(i32),
    /// Nothing that makes sense.
    Nonsense,
    /// Nothing until the deadline.
    Late,
    /// Nothing any more: they are gone.
    Gone,
}

/// The parent's end of the pipe that the init reports to.
#[derive(Debug)]
pub(crate) struct InitReport(File);

impl InitReport {
    /// The pipe: the parent's end and the init's.
    pub(super) fn pipe() -> nix::Result<(Self, OwnedFd)> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        Ok((Self(read.into()), write))
    }

    /// A socket in its place, for one that is told what to execute.
    pub(super) fn socket() -> nix::Result<(Self, OwnedFd)> {
        let (own, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::Stream,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        Ok((Self(own.into()), theirs))
    }

    /// A socket that tells as well who has written, for one that enters a process namespace.
    pub(super) fn witness() -> nix::Result<(Self, OwnedFd)> {
        let (own, theirs) = Self::socket()?;
        setsockopt(&own.0, sockopt::PassCred, &true)?;
        Ok((own, theirs))
    }

    /// Waits for the next word about the process namespace.
    pub(super) fn hear(&self, deadline: Option<Instant>) -> Said {
        if !readable(&self.0, deadline) {
            return Said::Late;
        }
        let mut words = [[0; 4]; 3];
        let mut data = [IoSliceMut::new(words.as_flattened_mut())];
        let mut space = nix::cmsg_space!(UnixCredentials);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let received = recvmsg::<()>(self.0.as_raw_fd(), &mut data, Some(&mut space), flags);
        let Ok(received) = received else {
            return Said::Gone;
        };
        let length = received.bytes;
        let sender = received.cmsgs().ok().and_then(|mut all| {
            all.find_map(|message| match message {
                ControlMessageOwned::ScmCredentials(who) => u32::try_from(who.pid()).ok(),
                _ => None,
            })
        });
        match (length, words.map(u32::from_ne_bytes), sender) {
            (0, ..) => Said::Gone,
            (12, [PROCESS, pid, _], Some(sender)) => Said::Made(sender, pid),
            (12, [STARTED, ..], Some(sender)) => Said::There(sender),
            (12, [NO_PROCESS | FAILED, _, errno], _) => Said::Nobody(errno.cast_signed()),
            _ => Said::Nonsense,
        }
    }

    /// Lets it go on.
    pub(super) fn let_go_on(&self) -> nix::Result<()> {
        send(self.0.as_raw_fd(), &[1], MsgFlags::MSG_NOSIGNAL).map(drop)
    }

    /// Tells one that stands what to execute: see `src/init/stand.rs`.
    ///
    /// # Errors
    ///
    /// `EPIPE` if it has gone.
    pub(super) fn tell(&self, told: &Told<'_>) -> nix::Result<()> {
        const WORKDIR: u32 = 1 << 3;
        const ENVIRONMENT: u32 = 1 << 4;
        let envp = told.envp.unwrap_or_default();
        let strings = || told.workdir.iter().chain(told.argv).chain(envp);
        let length: usize = strings().map(|one| one.count_bytes() + 1).sum();
        let number = |number: usize| u32::try_from(number).map_err(|_| Errno::E2BIG);
        let (mut more, mut fds) = (0, Vec::new());
        for (stream, fd) in told.streams.iter().enumerate() {
            if let Some(fd) = fd {
                more |= 1 << stream;
                fds.push(fd.as_raw_fd());
            }
        }
        if told.workdir.is_some() {
            more |= WORKDIR;
        }
        if told.envp.is_some() {
            more |= ENVIRONMENT;
        }
        let head = [
            number(length)?,
            number(told.argv.len())?,
            number(envp.len())?,
            more,
        ];
        // All of it at once: each message may wake the one that stands.
        let mut words = Vec::with_capacity(size_of_val(&head) + length);
        words.extend_from_slice(head.map(u32::to_ne_bytes).as_flattened());
        strings().for_each(|one| words.extend_from_slice(one.to_bytes_with_nul()));
        self.send(&words, &fds)
    }

    /// Sends all of it; the descriptors go with the first byte.
    fn send(&self, mut rest: &[u8], fds: &[RawFd]) -> nix::Result<()> {
        let rights = [ControlMessage::ScmRights(fds)];
        let mut rights = if fds.is_empty() { &[][..] } else { &rights };
        while !rest.is_empty() {
            let (socket, data) = (self.0.as_raw_fd(), [IoSlice::new(rest)]);
            match sendmsg::<()>(socket, &data, rights, MsgFlags::MSG_NOSIGNAL, None) {
                Ok(done) => {
                    rest = &rest[done..];
                    rights = &[];
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Waits for the word whether the program has started.
    pub(super) fn start(&mut self, deadline: Option<Instant>) -> Start {
        if !readable(&self.0, deadline) {
            return Start::Late;
        }
        self.read().map_or(Start::Gone, Start::from)
    }

    /// The same of one that stood, when it has executed the program or ended; `None` if it has not read all that it
    /// was told, which unix(7) tells by `ECONNRESET`. One that was killed later, in its execve, is not told from a
    /// program that was killed at its start.
    pub(super) fn start_of_one_that_stood(&mut self) -> Option<Start> {
        // Each word would wake us.
        hung_up(&self.0);
        match self.read() {
            Ok(words) => Some(Start::from(words)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Some(Start::Gone),
            Err(_) => None,
        }
    }

    /// The program's wait status, if the init has seen its end. Call it when the init is dead.
    pub(crate) fn wait_status(&mut self) -> Option<i32> {
        // A program that reached into its init may have left the pipe open, and words in it: what is
        // there is read, nothing is waited for.
        if !readable(&self.0, Some(Instant::now())) {
            return None;
        }
        match self.read() {
            Ok([ENDED, status, _]) => Some(status.cast_signed()),
            _ => None,
        }
    }

    fn read(&mut self) -> io::Result<[u32; 3]> {
        let mut words = [[0; 4]; 3];
        self.0.read_exact(words.as_flattened_mut())?;
        Ok(words.map(u32::from_ne_bytes))
    }
}
