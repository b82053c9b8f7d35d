// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asking the host for what a plan depends on. By trying, never by the kernel's version.

use std::io::IsTerminal;
use std::ops::RangeInclusive;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::unistd;

pub(crate) use super::paths::{mount_setattr, open_tree_namespace, openat2};
use super::{cgroups, join, landlock, paths, subids, users};
use crate::host;
use crate::plan::HostFacts;
use crate::spec::{CapabilitySet, Namespace, Network, Redirect, Spec, Tty};
use crate::streams::{STDERR, STDIN, STDOUT};

const CAP_SETPCAP: u8 = 8;

static CLONE3_REFUSED: AtomicBool = AtomicBool::new(false);

/// Whether clone3(2) is there and has not been refused in this process. Without arguments it is
/// `EINVAL` where it exists. It is asked anew each time: a filter may be one thread's.
pub(crate) fn clone3_works() -> bool {
    // SAFETY: a size of 0 is refused before anything is read.
    let result = unsafe { libc::syscall(libc::SYS_clone3, ptr::null::<u8>(), 0) };
    let exists = result == -1 && Errno::last() == Errno::EINVAL;
    exists && !CLONE3_REFUSED.load(Ordering::Relaxed)
}

/// Remembers that clone3(2) is missing, too old, or filtered, while clone(2) works.
pub(crate) fn refuse_clone3() {
    CLONE3_REFUSED.store(true, Ordering::Relaxed);
}

impl HostFacts {
    /// Asks for what the plan of `spec` depends on. It takes some 50 short system calls, and 33 more the first time.
    pub fn gather(spec: &Spec) -> Self {
        let settled = spec.settled();
        let spec = settled.as_deref().unwrap_or(spec);
        let (effective, permitted) = capability_sets();
        let last_cap = last_cap();
        let terminal = matches!(spec.tty.value, Tty::Auto | Tty::Inherit);
        let ask = |stream: usize| terminal && spec.stdio[stream] == Redirect::Inherit;
        let named = spec.name.is_some();
        Self {
            clone3: clone3_works(),
            close_range_cloexec: close_range_cloexec(),
            uid: unistd::geteuid().as_raw(),
            gid: unistd::getegid().as_raw(),
            supplementary_groups: supplementary_groups(),
            bounding: bounding_set(effective, last_cap),
            effective,
            permitted,
            last_cap,
            terminals: [
                ask(0) && STDIN.is_terminal(),
                ask(1) && STDOUT.is_terminal(),
                ask(2) && STDERR.is_terminal(),
            ],
            foreground: terminal
                && unistd::tcgetpgrp(STDIN).is_ok_and(|group| group == unistd::getpgrp()),
            ignored_signals: ignored_signals(),
            environment: if spec.env.clear.is_some() {
                Vec::new()
            } else {
                std::env::vars_os().collect()
            },
            entropy: if named { 0 } else { entropy() },
            user: users::gather(spec),
            keyctl: keyctl(spec),
            landlock: landlock::abi(spec),
            devices: landlock::devices(spec),
            cgroups: cgroups::gather(spec),
            paths: paths::gather(spec),
            pasta: match spec.namespaces.net.value {
                Network::Pasta => host::find_program("pasta"),
                _ => None,
            },
            join: join::gather(spec),
            ids: subids::gather(spec),
        }
    }
}

/// Whether keyctl(2) is there and not forbidden: asked for its session keyring, it does not make one. It
/// is asked anew each time: a filter may be one thread's.
fn keyctl(spec: &Spec) -> bool {
    /// `linux/keyctl.h`.
    const KEYCTL_GET_KEYRING_ID: usize = 0;
    const KEY_SPEC_SESSION_KEYRING: isize = -3;
    if spec.keyring.value == Namespace::Host {
        return false;
    }
    // SAFETY: the call takes numbers and touches no memory.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_GET_KEYRING_ID,
            KEY_SPEC_SESSION_KEYRING,
            0,
        )
    };
    answer >= 0 || !matches!(Errno::last(), Errno::ENOSYS | Errno::EPERM)
}

/// Marks no descriptor: the range is above all that can be.
pub(crate) fn close_range_cloexec() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        // SAFETY: no descriptor has this number.
        let result = unsafe {
            libc::syscall(
                libc::SYS_close_range,
                u32::MAX,
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        };
        result == 0
    })
}

/// A user namespace that was made without privileges has denied setgroups(2) for good:
/// user_namespaces(7). There the groups stay, as they do in one that the box gets.
fn supplementary_groups() -> bool {
    // SAFETY: with a size of 0 nothing is written.
    let any = unsafe { libc::getgroups(0, ptr::null_mut()) > 0 };
    any && std::fs::read("/proc/self/setgroups").map_or(true, |word| word != b"deny\n")
}

/// The highest capability that the kernel knows: it refuses the next.
fn last_cap() -> u8 {
    static KNOWN: OnceLock<u8> = OnceLock::new();
    // Linux has had 40 (CAP_CHECKPOINT_RESTORE) since 5.9: near there the search is short.
    *KNOWN.get_or_init(|| {
        let first = if in_bounding_set(40).is_some() { 40 } else { 0 };
        (first..63)
            .find(|&number| in_bounding_set(number + 1).is_none())
            .unwrap_or(63)
    })
}

/// The bounding set. A thread that may drop from it is not asked for it: that a capability has been dropped
/// already is no error, and asking costs as much as dropping.
fn bounding_set(effective: CapabilitySet, last_cap: u8) -> CapabilitySet {
    if effective.contains(CAP_SETPCAP) {
        return CapabilitySet::ALL;
    }
    let set = (0..=last_cap)
        .filter(|&number| in_bounding_set(number) == Some(true))
        .fold(0, |set, number| set | 1 << number);
    CapabilitySet(set)
}

/// `None` for a capability that the kernel does not know.
fn in_bounding_set(number: u8) -> Option<bool> {
    // SAFETY: the call takes numbers and touches no memory.
    match unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(number)) } {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// The effective and the permitted set of the calling thread: capget(2), for which the caps crate would
/// build tables.
fn capability_sets() -> (CapabilitySet, CapabilitySet) {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let mut header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 of the call fills two structures; all three are ours. It does not fail.
    unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    let whole = |word: fn(&Data) -> u32| {
        CapabilitySet(u64::from(word(&data[0])) | u64::from(word(&data[1])) << 32)
    };
    (whole(|data| data.effective), whole(|data| data.permitted))
}

/// The signals that this process ignores. The first time all 64 are asked for; later those that are no real-time ones:
/// hardly a program ignores any of the others, and none begins to while it runs. A file of /proc says it too, and takes as
/// long to be opened for the first time as 64 calls of half a microsecond; most machines are faster at calls.
fn ignored_signals() -> u64 {
    static REAL_TIME: OnceLock<u64> = OnceLock::new();
    const USUAL: RangeInclusive<i32> = 1..=31;
    let among = |signals: RangeInclusive<i32>| {
        signals
            .filter(|&signal| is_ignored(signal))
            .fold(0, |set, signal| set | 1 << (signal - 1))
    };
    among(USUAL) | REAL_TIME.get_or_init(|| among(USUAL.end() + 1..=64))
}

/// The call is the kernel's own, because libc's knows nothing of 32 and 33, which a program inherits
/// like all others.
fn is_ignored(signal: i32) -> bool {
    /// The kernel's `struct sigaction`, of which the first word is the handler, in whatever length
    /// the architecture gives it: 24 or 32 bytes.
    type Action = [usize; 4];
    let mut action: Action = [0; 4];
    // SAFETY: the memory is ours and long enough; with no new action nothing changes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            ptr::null::<Action>(),
            &raw mut action,
            size_of::<u64>(),
        )
    };
    result == 0 && action[0] == libc::SIG_IGN
}

/// Random bits for a name. It keeps no secret, so they need not wait until the kernel has gathered
/// enough for one (`GRND_INSECURE`, since Linux 5.6); what does not fill them leaves the clock.
fn entropy() -> u64 {
    let mut bits = 0u64;
    // SAFETY: the kernel writes the 8 bytes of `bits`, or none.
    let filled = unsafe {
        libc::getrandom(
            (&raw mut bits).cast(),
            size_of::<u64>(),
            libc::GRND_INSECURE,
        )
    };
    if filled == size_of::<u64>().cast_signed() {
        return bits;
    }
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    now.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(40)
}
