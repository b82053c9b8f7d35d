// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tie between the box and the process that starts it.

/// What becomes of the box when the process that started it dies, however it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentDeath {
    /// The box is killed. A box whose launching *thread* ends lives on: when the launching thread is
    /// not the main one, the clone(2) is made by a thread that clonebox keeps for it, because the
    /// kernel ties PR_SET_PDEATHSIG(2const) to a thread.
    ///
    /// The kernel unties a process that changes its ids. A box whose first process does so itself, as
    /// su(1) does, is safe with an [init](crate::Command::init), which keeps its own.
    Kill,
    /// The box is killed as soon as the launching thread ends. It saves the way through the other
    /// thread, and the child inherits what is particular to the calling one (seccomp filters,
    /// namespaces, scheduling).
    KillWithThread,
    /// The box lives on.
    Survive,
}
