// SPDX-License-Identifier: MIT OR Apache-2.0
//! Session, process group, controlling terminal. See credentials(7), tty_ioctl(4).

use std::ffi::CStr;

use super::call::{Call, Value};
use super::draft::Draft;
use super::facts::HostFacts;
use super::slot;
use super::step::{Role, Steps, Terminal};
use super::{join, path, tree};
use crate::spec::{Redirect, Spec, Tty};

/// What becomes of the terminal, and which streams are on a new one.
pub(super) fn decide(spec: &Spec, facts: &HostFacts) -> (Terminal, [bool; 3]) {
    let inherited = spec.stdio.map(|stream| stream == Redirect::Inherit);
    let all = |these: [bool; 3], those: [bool; 3]| {
        std::array::from_fn(|stream| these[stream] && those[stream])
    };
    match spec.tty.value {
        Tty::New => (Terminal::New, inherited),
        Tty::Auto if inherited[0] && facts.terminals[0] => {
            (Terminal::New, all(inherited, facts.terminals))
        }
        Tty::Inherit if facts.terminals[0] => (Terminal::Inherit, [false; 3]),
        Tty::Auto | Tty::Inherit | Tty::None => (Terminal::None, [false; 3]),
    }
}

/// What an init does for its program, in a word: see `src/init/init.rs`.
pub(super) fn word(terminal: Terminal) -> &'static CStr {
    match terminal {
        Terminal::None => c"none",
        Terminal::New => c"new",
        Terminal::Inherit => c"inherit",
    }
}

pub(super) fn session(draft: &Draft<'_>, steps: &mut Steps) {
    match draft.terminal {
        Terminal::None => new_session(draft, steps),
        Terminal::New => new_session(draft, steps),
        Terminal::Inherit => foreground(draft, steps),
    }
}

/// A session of its own has no controlling terminal, and so no way to push input into the caller's
/// (TIOCSTI: CVE-2017-5226).
fn new_session(draft: &Draft<'_>, steps: &mut Steps) {
    let origin = &draft.spec.tty.origin;
    steps.push(
        origin,
        "begin a session",
        Call::new("setsid", libc::SYS_setsid, []),
    );
}

/// Makes the new terminal the session's, and gives it to whom the program runs as. An init, and what
/// enters a process namespace, leave it to the program, whose session it will be.
pub(super) fn take(draft: &Draft<'_>, steps: &mut Steps) {
    if draft.terminal != Terminal::New {
        return;
    }
    let origin = &draft.spec.tty.origin;
    if !matches!(draft.role(), Some(Role::Init | Role::Join)) {
        let control = Call::new(
            "ioctl",
            libc::SYS_ioctl,
            [
                Value::Slot(slot::PTS),
                Value::Name("TIOCSCTTY", libc::TIOCSCTTY as usize),
                Value::Int(0),
            ],
        );
        steps.push(origin, "make the new terminal the controlling one", control);
    }
    // A terminal of the caller's devpts is not the box's to give away.
    let in_devpts = join::devpts(draft).is_some_and(|devpts| devpts.owner.is_none());
    let ours = draft.userns.is_none() || draft.terminal_inside() || in_devpts;
    if let Some(user) = draft.change().filter(|_| ours) {
        let own = Call::new(
            "fchown",
            libc::SYS_fchown,
            [
                Value::Slot(slot::PTS),
                Value::Int(i64::from(user.value.uid)),
                Value::Int(-1),
            ],
        );
        steps.push(&user.origin, "give the new terminal to the user", own);
    }
}

/// A new terminal in the devpts of the box, which is mounted at /dev/pts: there its program finds it by
/// name. The parent gets the other end through a socket. /dev/console is the same terminal.
pub(super) fn open_inside(draft: &Draft<'_>, steps: &mut Steps) {
    if !draft.terminal_inside() {
        return;
    }
    let origin = &draft.spec.tty.origin;
    let ioctl = |terminal, name, number, argument| {
        let args = [Value::Slot(terminal), Value::Name(name, number), argument];
        Call::new("ioctl", libc::SYS_ioctl, args)
    };
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    let open = path::openat(slot::DEV, b"pts/ptmx", flags);
    let unlocked = Value::Struct(Box::new([0; 4]), |_| "[0]".to_owned());
    let unlock = ioctl(
        slot::PTMX,
        "TIOCSPTLCK",
        libc::TIOCSPTLCK as usize,
        unlocked,
    );
    let peer = ioctl(
        slot::PTMX,
        "TIOCGPTPEER",
        libc::TIOCGPTPEER as usize,
        Value::Flags(&[], flags as u64),
    );
    let settings = Value::Slot(slot::SETTINGS);
    let settings = ioctl(slot::PTS, "TCSETS", libc::TCSETS as usize, settings);
    let size = Value::Slot(slot::SIZE);
    let size = ioctl(slot::PTS, "TIOCSWINSZ", libc::TIOCSWINSZ as usize, size);
    let args = [
        Value::Slot(slot::DOOR.socket),
        Value::Slot(slot::DOOR.message),
        Value::Name("MSG_NOSIGNAL", libc::MSG_NOSIGNAL as usize),
    ];
    let send = Call::new("sendmsg", libc::SYS_sendmsg, args);
    let make = path::make_file(slot::DEV, b"console", 0o600);
    let tree = tree::clone_of(slot::PTS, false).save(slot::TREE);
    for (action, call) in [
        ("make a terminal", open.save(slot::PTMX)),
        ("unlock the terminal", unlock),
        ("open the terminal", peer.save(slot::PTS)),
        ("set the terminal as the caller's is", settings),
        ("give the terminal its size", size),
        ("send the terminal's other end", send),
        ("make a place for /dev/console", make),
        ("make a mount of the terminal", tree),
        (
            "mount the terminal on /dev/console",
            tree::attach_at(slot::TREE, slot::DEV, c"console"),
        ),
    ] {
        steps.push(origin, action, call);
    }
    for slot in [slot::TREE, slot::PTMX] {
        path::close(origin, slot, steps);
    }
}

/// A process group of its own on the caller's terminal. Without it a shell inside sees a foreground
/// group that it cannot name, and ends with an error.
fn foreground(draft: &Draft<'_>, steps: &mut Steps) {
    let origin = &draft.spec.tty.origin;
    let group = Call::new("setpgid", libc::SYS_setpgid, [Value::Int(0), Value::Int(0)]);
    steps.push(origin, "begin a process group", group);
    if !draft.facts.foreground {
        return;
    }
    let pid = Call::new("getpid", libc::SYS_getpid, []).save(slot::PID);
    let front = Call::new(
        "ioctl",
        libc::SYS_ioctl,
        [
            Value::Int(0),
            Value::Name("TIOCSPGRP", libc::TIOCSPGRP as usize),
            Value::SlotAddress(slot::PID),
        ],
    );
    steps.push(origin, "ask for the process group's number", pid);
    steps.push(origin, "take the terminal's foreground", front);
}
