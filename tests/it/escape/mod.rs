//! Programs that want out of their box. Each attack first succeeds where a wall has been taken away on purpose,
//! and then fails where it stands.
//!
//! More of them: `hostile.rs`, whose root filesystems want out, `keyring.rs` and `landlock.rs`. What is a
//! boundary and what is not is in docs/security.md.

mod joining;
mod kernel;
mod memory;
mod privileges;
mod roots;
mod sharing;
mod terminal;
mod untrusted;

use crate::support::harness::Test;

pub(crate) fn tests() -> Vec<Test> {
    let concerns = [
        joining::tests(),
        kernel::tests(),
        memory::tests(),
        privileges::tests(),
        roots::tests(),
        sharing::tests(),
        terminal::tests(),
        untrusted::tests(),
    ];
    concerns.into_iter().flatten().collect()
}

/// Whether an attack was refused, for whichever reason the kernel saw first.
#[track_caller]
fn assert_refused(word: &str) {
    let refusals = [
        "EACCES", "EINVAL", "ENOENT", "ENOSPC", "ENXIO", "EPERM", "EROFS", "ESRCH",
    ];
    assert!(refusals.contains(&word), "not refused: {word:?}");
}
