// SPDX-License-Identifier: MIT OR Apache-2.0
//! The network: one that is joined, the loopback device of a new one, and waiting until pasta(1) has connected
//! it. See netdevice(7), setns(2).
//!
//! pasta is started by the launch, while the child waits at the gate, which is open a second time when pasta
//! says that all is done: a program that is executed has its network.

use std::path::PathBuf;

use clonebox_child::OnError;

use super::call::{Call, Value};
use super::death;
use super::draft::Draft;
use super::slot;
use super::step::Steps;
use crate::spec::{Network, Origin, Port, Protocol, Violation};

const SOCKET_TYPE: &[(&str, u64)] = &[
    ("SOCK_DGRAM", libc::SOCK_DGRAM as u64),
    ("SOCK_CLOEXEC", libc::SOCK_CLOEXEC as u64),
];
const NAMESPACE: &[(&str, u64)] = &[("CLONE_NEWNET", libc::CLONE_NEWNET as u64)];
/// Bytes of `struct ifreq` (`linux/if.h`) on 64-bit machines: a name of 16 and a union of 24.
const IFREQ_LEN: usize = 40;

/// The pasta(1) of a box.
#[derive(Clone, Debug)]
pub(crate) struct Pasta {
    pub(crate) program: PathBuf,
    /// Its arguments. Descriptor 0 is the network namespace, 1 the user namespace, 2 where it reports to.
    pub(crate) args: Vec<String>,
    /// It joins the user namespace of the box.
    pub(crate) joins_userns: bool,
    pub(crate) origin: Origin,
}

/// Whether the network can be had.
///
/// # Errors
///
/// Why not.
pub(super) fn decide(draft: &Draft<'_>) -> Result<Option<Pasta>, Vec<Violation>> {
    let setting = &draft.spec.namespaces.net;
    let refuse = |reason: &str| {
        Err(vec![Violation {
            reason: reason.to_owned(),
            origin: setting.origin.clone(),
        }])
    };
    match (&setting.value, &draft.facts.pasta) {
        (Network::Join(_), _) if draft.userns.is_some() => refuse(if draft.facts.uid == 0 {
            "a box with a user namespace of its own may join no network: leave out --userns"
        } else {
            "the box of an ordinary user has a user namespace of its own, from which no network can be joined: \
             run with sudo"
        }),
        (Network::Pasta, None) => refuse("there is no pasta in PATH: apt install passt"),
        (Network::Pasta, Some(program)) => Ok(Some(Pasta {
            program: program.clone(),
            args: args(draft),
            joins_userns: draft.facts.uid != 0,
            origin: setting.origin.clone(),
        })),
        _ => Ok(None),
    }
}

/// What pasta is asked for. Nothing but what the box's user asks for leads in; of the host's own loopback
/// nothing leads out.
fn args(draft: &Draft<'_>) -> Vec<String> {
    let mut args: Vec<String> = [
        "--foreground",
        "--quiet",
        "--config-net",
        "--no-map-gw",
        // The end of the box is for us to see.
        "--no-netns-quit",
        "--pid",
        "/proc/self/fd/2",
        "--netns",
        "/proc/self/fd/0",
    ]
    .map(str::to_owned)
    .into();
    let who = if draft.facts.uid == 0 {
        // As nobody it could not enter the network namespace, which belongs to root.
        ["--netns-only", "--runas", "0:0"].as_slice()
    } else {
        &["--userns", "/proc/self/fd/1"]
    };
    args.extend(who.iter().map(|&word| word.to_owned()));
    for (option, protocol) in [
        ("--tcp-ports", Protocol::Tcp),
        ("--udp-ports", Protocol::Udp),
    ] {
        let before = args.len();
        let ports = draft.spec.ports.iter().map(|port| port.value);
        for port in ports.filter(|port| port.protocol == protocol) {
            args.extend([option.to_owned(), specification(port)]);
        }
        if args.len() == before {
            args.extend([option, "none"].map(str::to_owned));
        }
    }
    args.extend(["--tcp-ns", "none", "--udp-ns", "none"].map(str::to_owned));
    args
}

/// A port in pasta's words.
fn specification(port: Port) -> String {
    let address = port.address.map(|address| format!("{address}/"));
    let (address, host, inside) = (address.unwrap_or_default(), port.host, port.inside);
    format!("{address}{host}:{inside}")
}

/// Makes the network ready.
pub(super) fn set_up(draft: &Draft<'_>, steps: &mut Steps) {
    let setting = &draft.spec.namespaces.net;
    match setting.value {
        Network::Host => {}
        Network::Join(_) => {
            let flags = Value::Flags(NAMESPACE, libc::CLONE_NEWNET as u64);
            let join = Call::new(
                "setns",
                libc::SYS_setns,
                [Value::Slot(slot::NETWORK), flags],
            );
            steps.push(&setting.origin, "join the network namespace", join);
        }
        Network::Private | Network::Pasta => loopback(&setting.origin, steps),
    }
    if draft.pasta.is_some() {
        await_pasta(draft, steps);
    }
}

/// lo is down in a new namespace. Setting its flags needs no reading of them before: it has none yet.
fn loopback(origin: &Origin, steps: &mut Steps) {
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
    steps.push(origin, action, socket.save(slot::OPENED));
    steps.push(origin, action, up);
    steps.push(origin, action, close);
}

/// Waits at the gate, which has been opened once already if the child has waited for its maps.
fn await_pasta(draft: &Draft<'_>, steps: &mut Steps) {
    let args = [
        Value::Slot(slot::GATE),
        Value::Name("FUTEX_WAIT", libc::FUTEX_WAIT as usize),
        Value::Int(draft.waits_for_maps().into()),
        Value::Null,
    ];
    let wait = Call::new("futex", libc::SYS_futex, args);
    // It is open already.
    let wait = wait.on_error(OnError::Ignore(libc::EAGAIN));
    let origin = &draft.spec.namespaces.net.origin;
    steps.push(origin, "wait until pasta has connected the network", wait);
    death::disarm(draft, steps);
}
