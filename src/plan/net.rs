// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loopback device of a new network namespace. See netdevice(7).

use super::call::{Call, Value};
use super::draft::Draft;
use super::step::{Steps, slot};
use crate::spec::Namespace;

const SOCKET_TYPE: &[(&str, u64)] = &[
    ("SOCK_DGRAM", libc::SOCK_DGRAM as u64),
    ("SOCK_CLOEXEC", libc::SOCK_CLOEXEC as u64),
];
/// Bytes of `struct ifreq` (`linux/if.h`) on 64-bit machines: a name of 16 and a union of 24.
const IFREQ_LEN: usize = 40;

/// lo is down in a new namespace. Setting its flags needs no reading of them before: it has none yet.
pub(super) fn loopback(draft: &Draft<'_>, steps: &mut Steps) {
    let setting = &draft.spec.namespaces.net;
    if setting.value == Namespace::Host {
        return;
    }
    let mut ifreq = [0u8; IFREQ_LEN];
    ifreq[..2].copy_from_slice(b"lo");
    let flags = (libc::IFF_UP | libc::IFF_RUNNING) as u16;
    ifreq[libc::IFNAMSIZ..libc::IFNAMSIZ + 2].copy_from_slice(&flags.to_ne_bytes());
    let socket = Call::new(
        "socket",
        libc::SYS_socket,
        [
            Value::Name("AF_INET", libc::AF_INET as usize),
            Value::Flags(SOCKET_TYPE, (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as u64),
            Value::Name("IPPROTO_IP", 0),
        ],
    );
    let up = Call::new(
        "ioctl",
        libc::SYS_ioctl,
        [
            Value::Slot(slot::OPENED),
            Value::Name("SIOCSIFFLAGS", libc::SIOCSIFFLAGS as usize),
            Value::Struct(Box::new(ifreq), |_| {
                "{ifr_name=\"lo\", ifr_flags=IFF_UP|IFF_RUNNING}".to_owned()
            }),
        ],
    );
    let close = Call::new("close", libc::SYS_close, [Value::Slot(slot::OPENED)]);
    let action = "bring up the loopback device";
    steps.push(&setting.origin, action, socket.save(slot::OPENED));
    steps.push(&setting.origin, action, up);
    steps.push(&setting.origin, action, close);
}
