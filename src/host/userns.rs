// SPDX-License-Identifier: MIT OR Apache-2.0
//! What restricts user namespaces: user_namespaces(7), and what distributions have added to it.

use nix::errno::Errno;

use super::caller::{self, CAP_SYS_ADMIN, FILTERED};
use super::read_number;

/// The most user namespaces that a user may have here.
pub(crate) const MOST: &str = "/proc/sys/user/max_user_namespaces";
/// Debian's: 0 leaves them to root.
pub(crate) const UNPRIVILEGED: &str = "/proc/sys/kernel/unprivileged_userns_clone";
/// Ubuntu's: 1 keeps them from programs that AppArmor does not know.
pub(crate) const APPARMOR: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";

/// Why the kernel answered so to who wanted a user namespace, and the way out.
pub(crate) fn refusal(errno: Errno) -> Option<String> {
    let reason = match errno {
        Errno::EPERM if read_number(UNPRIVILEGED) == Some(0) => {
            "user namespaces are for root only here: sysctl kernel.unprivileged_userns_clone=1, or sudo"
        }
        Errno::EPERM if caller::is_in_chroot() => {
            "this process is in a chroot, where the kernel makes no user namespaces"
        }
        Errno::EPERM if caller::is_filtered() => FILTERED,
        Errno::EPERM if caller::lacks(CAP_SYS_ADMIN) => {
            "this process has no CAP_SYS_ADMIN, and the system gives it no user namespace: run with sudo"
        }
        Errno::EACCES if read_number(APPARMOR) == Some(1) => {
            "AppArmor restricts user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or sudo"
        }
        Errno::ENOSPC if read_number(MOST) == Some(0) => {
            "user namespaces are turned off: sysctl user.max_user_namespaces=10000"
        }
        _ => return None,
    };
    Some(reason.to_owned())
}
