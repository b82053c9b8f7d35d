// SPDX-License-Identifier: MIT OR Apache-2.0
//! No user namespaces inside of a box: namespaces(7), "The /proc/sys/user directory".

use super::draft::Draft;
use super::file;
use super::step::Steps;
use crate::spec::{Origin, Violation};

const CAP_SYS_RESOURCE: u8 = 24;

/// Whether the kernel can be told so, and whether it holds.
///
/// # Errors
///
/// Why not.
pub(super) fn check(draft: &Draft<'_>) -> Result<(), Vec<Violation>> {
    let Some(origin) = &draft.spec.disable_userns else {
        return Ok(());
    };
    let reason = if draft.userns.is_none() {
        "the kernel forbids user namespaces in a user namespace of the box's own, and there is none: add \
         --userns auto"
    } else if draft.spec.caps.kept().contains(CAP_SYS_RESOURCE) {
        "with CAP_SYS_RESOURCE the box could allow them again: drop it"
    } else {
        return Ok(());
    };
    Err(vec![Violation {
        reason: reason.to_owned(),
        origin: Origin::clone(origin),
    }])
}

/// In the user namespace of the box there may be none any more. Nobody in it has CAP_SYS_RESOURCE, without
/// which the number cannot be raised again.
pub(super) fn forbid(draft: &Draft<'_>, steps: &mut Steps) {
    if let Some(origin) = &draft.spec.disable_userns {
        let path = c"/proc/sys/user/max_user_namespaces";
        file::write(
            origin,
            "forbid user namespaces",
            path,
            "0".to_owned(),
            steps,
        );
    }
}
