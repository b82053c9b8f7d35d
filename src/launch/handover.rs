// SPDX-License-Identifier: MIT OR Apache-2.0
//! A descriptor that the child makes, and sends through a socket: unix(7). The terminal in a devpts of the
//! box's own, the listener of a filter that is traced.
//!
//! The child makes one sendmsg(2), so everything that it reads lies ready here. Only the number of the
//! descriptor is the child's: it stands in a slot, behind two others that make a `struct cmsghdr` of it.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use clonebox_child::Shared;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, socketpair,
};

use crate::plan::slot::Door;

/// The parent's end of the socket, and what the child reads.
#[derive(Debug)]
pub(super) struct Handover {
    socket: OwnedFd,
    message: Box<Message>,
}

#[derive(Debug)]
struct Message {
    header: libc::msghdr,
    data: libc::iovec,
    byte: u8,
}

/// Bytes of a `struct cmsghdr` with one descriptor: without, and with its padding (cmsg(3)).
const CONTROL_LEN: usize = 20;
const CONTROL_SPACE: usize = 24;

impl Handover {
    /// Both ends.
    pub(super) fn new() -> nix::Result<(Self, OwnedFd)> {
        let (socket, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        let message = Box::new(Message {
            // SAFETY: numbers and addresses, for all of which 0 is a value.
            header: unsafe { std::mem::zeroed() },
            data: libc::iovec {
                iov_base: ptr::null_mut(),
                iov_len: 1,
            },
            byte: 0,
        });
        Ok((Self { socket, message }, theirs))
    }

    /// Tells the child where everything is.
    pub(super) fn announce(&mut self, door: Door, shared: &Shared) {
        let [length, kind] = door.control;
        let message = &mut *self.message;
        message.data.iov_base = (&raw mut message.byte).cast();
        message.header.msg_iov = &raw mut message.data;
        message.header.msg_iovlen = 1;
        message.header.msg_control = ptr::with_exposed_provenance_mut(shared.slot_address(length));
        message.header.msg_controllen = CONTROL_SPACE as _;
        let level_and_type = libc::SOL_SOCKET as usize | (libc::SCM_RIGHTS as usize) << 32;
        shared.set_slot(length, CONTROL_LEN);
        shared.set_slot(kind, level_and_type);
        shared.set_slot(
            door.message,
            (&raw const message.header).expose_provenance(),
        );
    }

    /// What the child has sent, when it has left: nothing is waited for.
    pub(super) fn receive(self) -> nix::Result<OwnedFd> {
        let mut byte = [0];
        let mut data = [IoSliceMut::new(&mut byte)];
        let mut space = nix::cmsg_space!(i32);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let received = recvmsg::<()>(self.socket.as_raw_fd(), &mut data, Some(&mut space), flags)?;
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = message {
                // SAFETY: the kernel has just made the descriptor for us.
                let first = numbers
                    .first()
                    .map(|&fd| unsafe { OwnedFd::from_raw_fd(fd) });
                return first.ok_or(Errno::ENOMSG);
            }
        }
        Err(Errno::ENOMSG)
    }
}
