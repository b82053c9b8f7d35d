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

/// Gives up what supervision does not need, which is all but CAP_KILL: the box may run as another user.
///
/// This is the command's to do. A library's capabilities are those of the program that uses it.
pub(crate) fn drop_all_but_kill() {
    let Ok(has) = caps::read(None, CapSet::Permitted) else {
        return;
    };
    if has.is_empty() {
        return;
    }
    let keep: HashSet<Capability> = has
        .into_iter()
        .filter(|&capability| capability == Capability::CAP_KILL)
        .collect();
    // Each of these only takes away, and the box runs already: one that fails changes nothing of it.
    // The guard of a terminal is executed later: without new privileges root gets none back by that.
    let _ = nix::sys::prctl::set_no_new_privs();
    let _ = caps::clear(None, CapSet::Inheritable);
    let _ = caps::set(None, CapSet::Effective, &keep);
    let _ = caps::set(None, CapSet::Permitted, &keep);
}
