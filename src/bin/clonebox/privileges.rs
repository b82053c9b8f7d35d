// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command's own privileges.

use std::collections::HashSet;

use caps::{CapSet, Capability};

use crate::Failure;
use crate::usage::UsageError;

/// Refuses to run with more privileges than the caller has: a sandbox that is set-user-id, or has file
/// capabilities, would lend them to whoever writes its command line. See getauxval(3), AT_SECURE.
pub(crate) fn refuse_set_id() -> Result<(), Failure> {
    // SAFETY: the call takes a number and reads what the kernel has left for the program.
    if unsafe { libc::getauxval(libc::AT_SECURE) } == 0 {
        return Ok(());
    }
    Err(UsageError::new(
        "refuses to run set-user-id or with file capabilities: use sudo, or run it as it is",
    )
    .into())
}

/// Gives up what supervision does not need. That is all but CAP_KILL, because the box may run as another
/// user, and with cgroups CAP_DAC_OVERRIDE: the directory of their hierarchy, from which they are removed
/// at the end, is nobody's to write to.
///
/// Without them it is no more than any process of root's that a box may have: one in the host's PID namespace
/// could trace it, and walk out of its root filesystem by way of /proc/PID/root. So nobody may but who has
/// CAP_SYS_PTRACE, before they are given up: ptrace(2), "Ptrace access mode checking".
///
/// This is the command's to do. A library's capabilities are those of the program that uses it.
pub(crate) fn drop_unneeded(cgroups: bool) {
    let Ok(has) = caps::read(None, CapSet::Permitted) else {
        return;
    };
    if has.is_empty() {
        return;
    }
    let keep: HashSet<Capability> = has
        .into_iter()
        .filter(|capability| match capability {
            Capability::CAP_KILL => true,
            Capability::CAP_DAC_OVERRIDE => cgroups,
            _ => false,
        })
        .collect();
    // Each of these only takes away, and the box runs already: one that fails changes nothing of it.
    // The guard of a terminal is executed later: without new privileges root gets none back by that.
    let _ = nix::sys::prctl::set_dumpable(false);
    let _ = nix::sys::prctl::set_no_new_privs();
    let _ = caps::clear(None, CapSet::Inheritable);
    let _ = caps::set(None, CapSet::Effective, &keep);
    let _ = caps::set(None, CapSet::Permitted, &keep);
}
