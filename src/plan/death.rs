// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parent's death is the box's.

use clonebox_child::Expect;

use super::call::{Call, Value};
use super::draft::Draft;
use super::step::{Steps, slot};
use super::user;
use crate::spec::ParentDeath;

/// SIGKILL when the parent's thread dies. SIGKILL, because PID 1 of a namespace ignores every other
/// signal that it has no handler for.
pub(super) fn arm(draft: &Draft<'_>, steps: &mut Steps) {
    let setting = &draft.spec.parent_death;
    if setting.value == ParentDeath::Survive {
        return;
    }
    let arm = Call::new(
        "prctl",
        libc::SYS_prctl,
        [
            Value::Name("PR_SET_PDEATHSIG", libc::PR_SET_PDEATHSIG as usize),
            Value::Name("SIGKILL", libc::SIGKILL as usize),
        ],
    );
    steps.push(&setting.origin, "tie the box to its parent's life", arm);
}

/// The end if the parent has died before the signal was asked for. getppid(2) cannot tell: it is 0 in a
/// new PID namespace. A pidfd can be read from when its process is dead: pidfd_open(2).
///
/// It *must* follow setsid(2) or setpgid(2), which take the lock that a dying parent holds from its look
/// at its children's signals until it counts as dead. Without, it could be neither: too dead to send the
/// signal, and too alive to be seen.
pub(super) fn look(draft: &Draft<'_>, steps: &mut Steps) {
    let setting = &draft.spec.parent_death;
    if setting.value == ParentDeath::Survive {
        return;
    }
    let look = Call::new(
        "ppoll",
        libc::SYS_ppoll,
        [
            Value::Slot(slot::PARENT),
            Value::Int(1),
            Value::Struct(Box::new([0; 16]), |_| "{tv_sec=0, tv_nsec=0}".to_owned()),
            Value::Null,
            Value::Int(8),
        ],
    );
    let look = look.expect(Expect::Zero);
    steps.push(&setting.origin, "find the parent alive", look);
}

/// The kernel forgets the signal when ids change: commit_creds in kernel/cred.c.
pub(super) fn arm_again(draft: &Draft<'_>, steps: &mut Steps) {
    if user::change(draft) {
        arm(draft, steps);
        look(draft, steps);
    }
}
