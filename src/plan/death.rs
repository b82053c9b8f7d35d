// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parent's death is the box's.

use clonebox_child::Expect;

use super::call::{Call, Value};
use super::draft::Draft;
use super::slot;
use super::step::Steps;
use crate::spec::ParentDeath;

/// SIGKILL when the parent's thread dies. SIGKILL, because PID 1 of a namespace ignores every other
/// signal that it has no handler for.
///
/// A box that is to survive is tied while it waits at the gate: nobody else would let it through.
pub(super) fn arm(draft: &Draft<'_>, steps: &mut Steps) {
    if dies(draft) || draft.waits() {
        let kill = Value::Name("SIGKILL", libc::SIGKILL as usize);
        let origin = &draft.spec.parent_death.origin;
        steps.push(origin, "tie the box to its parent's life", signal(kill));
    }
}

/// Unties a box that is to survive, when it is through the gate.
pub(super) fn disarm(draft: &Draft<'_>, steps: &mut Steps) {
    if !dies(draft) {
        let origin = &draft.spec.parent_death.origin;
        let action = "untie the box from its parent's life";
        steps.push(origin, action, signal(Value::Int(0)));
    }
}

fn signal(signal: Value) -> Call {
    let name = Value::Name("PR_SET_PDEATHSIG", libc::PR_SET_PDEATHSIG as usize);
    Call::new("prctl", libc::SYS_prctl, [name, signal])
}

fn dies(draft: &Draft<'_>) -> bool {
    draft.spec.parent_death.value != ParentDeath::Survive
}

/// The end if the parent has died before the signal was asked for. getppid(2) cannot tell: it is 0 in a
/// new PID namespace. A pidfd can be read from when its process is dead: pidfd_open(2).
///
/// It *must* follow setsid(2) or setpgid(2), which take the lock that a dying parent holds from its look
/// at its children's signals until it counts as dead. Without, it could be neither: too dead to send the
/// signal, and too alive to be seen.
pub(super) fn look(draft: &Draft<'_>, steps: &mut Steps) {
    let setting = &draft.spec.parent_death;
    if !dies(draft) && !draft.waits() {
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

/// Once more: the kernel forgets the signal when ids change (commit_creds in kernel/cred.c).
pub(super) fn renew(draft: &Draft<'_>, steps: &mut Steps) {
    if dies(draft) {
        arm(draft, steps);
        look(draft, steps);
    }
}

/// After the last change of ids, if there is one.
pub(super) fn arm_again(draft: &Draft<'_>, steps: &mut Steps) {
    if draft.change().is_some() {
        renew(draft, steps);
    }
}
