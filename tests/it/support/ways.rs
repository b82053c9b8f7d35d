//! The two ways down a path in a root filesystem, each of which a hostile one must not get out of.

use std::process::Command;

use nix::errno::Errno;

use super::clonebox::{Clonebox, Ran, alone};
use super::rootfs::Root;
use super::seccomp;

/// How the launcher finds a path in a root filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As it is done here: by openat2(2), where that is not refused.
    Usual,
    /// Component by component, because openat2(2) is refused.
    Walk,
}

impl Way {
    /// A run of a probe with this root filesystem.
    pub(crate) fn run(self, root: &Root, options: &[&str], words: &[&str]) -> Ran {
        match self {
            Self::Usual => root.run(options, words),
            // Under a filter newuidmap(1) has no privilege, so that an ordinary user has one id.
            Self::Walk if !nix::unistd::geteuid().is_root() => {
                let options = [&alone()[..], options].concat();
                self.end(root.describe(&options, words).command())
            }
            Self::Walk => self.end(root.describe(options, words).command()),
        }
    }

    /// Runs a command of which this is the way.
    pub(crate) fn end(self, mut command: Command) -> Ran {
        if self == Self::Walk {
            seccomp::refuse_to(&mut command, libc::SYS_openat2, Errno::ENOSYS);
        }
        Clonebox::of(command).run()
    }
}

/// What the name of a test of the walk ends in.
pub(crate) const REFUSED: &str = "_where_openat2_is_refused";

/// Declares tests of both ways: `fn name(way) needs [Need, ...] { ... }`. The one of the walk has a longer name.
macro_rules! tests_of_ways {
    ($($(#[$meta:meta])* fn $name:ident($way:ident) needs [$($need:ident),*] $body:block)*) => {
        /// The tests of this module.
        pub(crate) fn tests() -> Vec<$crate::support::harness::Test> {
            use $crate::support::{harness::Test, need::Need, ways::REFUSED};
            let mut tests = Vec::new();
            $(
                tests.push(Test::new(module_path!(), stringify!($name), &[$(Need::$need),*], || $name(Way::Usual)));
                let name = format!("{}{REFUSED}", stringify!($name));
                tests.push(Test::new(module_path!(), &name, &[$(Need::$need,)* Need::Seccomp], || $name(Way::Walk)));
            )*
            tests
        }
        $($(#[$meta])* fn $name($way: $crate::support::ways::Way) $body)*
    };
}
pub(crate) use tests_of_ways;
