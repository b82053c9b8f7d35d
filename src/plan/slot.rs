// SPDX-License-Identifier: MIT OR Apache-2.0
//! Words that a launch fills in before the clone, or the child from an earlier step.

use clonebox_child::Slot;

/// Declares slots, and what each is shown as where strace(1) would print a number. The compiler counts them.
macro_rules! slots {
    ($($(#[$doc:meta])* $name:ident $shown:literal)*) => {
        #[expect(
            clippy::upper_case_acronyms,
            non_camel_case_types,
            reason = "they are the names of the slots"
        )]
        enum Number { $($name,)* FIRST_TREE }

        $($(#[$doc])* pub(crate) const $name: Slot = Slot(Number::$name as u16);)*

        /// From this number on: the mounts that the launch has made, each that was asked for.
        pub(crate) const FIRST_TREE: u16 = Number::FIRST_TREE as u16;

        /// How a slot is shown.
        pub(crate) fn name(slot: Slot) -> &'static str {
            [$($shown),*].get(usize::from(slot.0)).copied().unwrap_or("<tree>")
        }
    };
}

slots! {
    STDIN "<stdin>"
    STDOUT "<stdout>"
    STDERR "<stderr>"
    /// The box's end of a new terminal.
    PTS "<pts>"
    /// The address of the parent's pidfd in a `struct pollfd`.
    PARENT "<word>"
    /// The address of the scratch memory.
    SCRATCH "<buffer>"
    /// The same, where the kernel writes a structure.
    STRUCT "<struct>"
    /// The addresses of argv and envp.
    ARGV "<word>"
    ENVP "<word>"
    /// The descriptor that a step has just opened.
    OPENED "<fd>"
    /// The process id of the child in its own namespace.
    PID "<pid>"
    /// The sealed program of the init, and where it reports to.
    INIT "<init>"
    INIT_REPORT "<report>"
    /// The parent's pidfd.
    PARENT_FD "<parent>"
    /// The root of the box, while it is not yet that of the child.
    ROOT "<root>"
    /// The directory that becomes the root, as the caller sees it.
    ROOTFS "<rootfs>"
    /// A mount that is not yet where it belongs.
    TREE "<tree>"
    /// The place where it belongs.
    TARGET "<target>"
    /// A directory on the way there, and the next one.
    DIRECTORY "<directory>"
    NEXT "<directory>"
    /// /dev of the root.
    DEV "<dev>"
    /// A tmpfs for what is made of files: the layers of an overlay, data.
    MEMORY "<memory>"
    /// The file mode creation mask before the set-up.
    UMASK "<umask>"
    /// The working directory of the caller.
    CWD "<cwd>"
    /// The ptmx of a terminal of the box's own, behind the words of its door.
    PTMX_CONTROL "<word>"
    PTMX_CONTROL_TYPE "<word>"
    PTMX "<ptmx>"
    PTMX_SOCKET "<socket>"
    PTMX_MESSAGE "<struct>"
    /// The addresses of the settings and of the size that the terminal gets.
    SETTINGS "<struct>"
    SIZE "<struct>"
    /// The Landlock ruleset.
    RULES "<rules>"
    CGROUP_0 "<cgroup>"
    CGROUP_1 "<cgroup>"
    CGROUP_2 "<cgroup>"
    CGROUP_3 "<cgroup>"
    CGROUP_4 "<cgroup>"
    CGROUP_5 "<cgroup>"
    CGROUP_6 "<cgroup>"
    CGROUP_7 "<cgroup>"
    /// The mount namespace of a template.
    NAMESPACE "<namespace>"
    /// The root of that namespace if it is not the box's: a tmpfs where mounts lie ready.
    STORE "<store>"
    /// The null device.
    NULL "<null>"
    /// The listener of a filter that is traced, behind the words of its door.
    LISTENER_CONTROL "<word>"
    LISTENER_CONTROL_TYPE "<word>"
    LISTENER "<listener>"
    LISTENER_SOCKET "<socket>"
    LISTENER_MESSAGE "<struct>"
    /// The address of the gate.
    GATE "<gate>"
    /// Mounts that the launch has made: the root filesystem, and what is written over it.
    LOWER "<tree>"
    UPPER "<tree>"
    /// The host name, how long it is, and the working directory.
    HOSTNAME "<word>"
    HOSTNAME_LENGTH "<word>"
    WORKDIR "<word>"
    /// The network namespace that is joined.
    NETWORK "<network>"
    /// The first process of the box that is joined: its pidfd, and its root.
    BOX "<box>"
    BOX_ROOT "<root>"
}

/// Standard input, output and error, where the launch supplies them.
pub(crate) const STDIO: [Slot; 3] = [STDIN, STDOUT, STDERR];

/// The files through which the child enters its cgroups: one for each controller at most.
pub(crate) const CGROUPS: [Slot; 8] = [
    CGROUP_0, CGROUP_1, CGROUP_2, CGROUP_3, CGROUP_4, CGROUP_5, CGROUP_6, CGROUP_7,
];

/// How a descriptor that the child makes gets to the launch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    /// A `struct cmsghdr` in two words. The next slot has the descriptor.
    pub(crate) control: [Slot; 2],
    /// Where it is sent to.
    pub(crate) socket: Slot,
    /// The address of the `struct msghdr`.
    pub(crate) message: Slot,
}

pub(crate) const DOOR: Door = Door {
    control: [PTMX_CONTROL, PTMX_CONTROL_TYPE],
    socket: PTMX_SOCKET,
    message: PTMX_MESSAGE,
};
pub(crate) const LISTENER_DOOR: Door = Door {
    control: [LISTENER_CONTROL, LISTENER_CONTROL_TYPE],
    socket: LISTENER_SOCKET,
    message: LISTENER_MESSAGE,
};
