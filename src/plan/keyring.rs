// SPDX-License-Identifier: MIT OR Apache-2.0
//! A session keyring of the box's own: it neither sees nor searches the keys of the caller's. See
//! session-keyring(7), KEYCTL_JOIN_SESSION_KEYRING(2const).

use clonebox_child::OnError;

use super::call::{Call, Value};
use super::draft::Draft;
use super::step::Steps;
use crate::spec::{Namespace, Origin};

/// What forbids keyctl(2) to the caller, or a kernel that has none, does the same to the box: there is
/// nothing to do then.
pub(super) fn join(draft: &Draft<'_>, steps: &mut Steps) {
    let setting = &draft.spec.keyring;
    if setting.value == Namespace::Host || !draft.facts.keyctl {
        return;
    }
    /// `linux/keyctl.h`.
    const KEYCTL_JOIN_SESSION_KEYRING: usize = 1;
    let args = [
        Value::Name("KEYCTL_JOIN_SESSION_KEYRING", KEYCTL_JOIN_SESSION_KEYRING),
        Value::Null,
    ];
    let call = Call::new("keyctl", libc::SYS_keyctl, args);
    // The keys of whoever is not root outside are counted, 200 at most, and those of boxes that have just
    // ended still are. Without a word from anybody a box is worth more than its keyring.
    let call = if setting.origin == Origin::Default {
        call.on_error(OnError::Ignore(libc::EDQUOT))
    } else {
        call
    };
    steps.push(&setting.origin, "make a session keyring", call);
}
