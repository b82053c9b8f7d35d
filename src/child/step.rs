// SPDX-License-Identifier: MIT OR Apache-2.0
//! One step: one system call, ready for the kernel.

/// Number of [`Slot`]s a launch has. Our own limit.
pub const SLOTS: usize = 500;

/// A word that is known only at the launch, or only after an earlier step: a descriptor, or the
/// address of memory that belongs to this launch. The plan is shared by launches; slots are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub u16);

/// One argument of a system call.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// A number, or the address of memory which the plan owns.
    Word(usize),
    /// The word in a slot.
    Slot(Slot),
    /// The address of a slot, for a call that reads an `int` through a pointer. Both our
    /// architectures are little-endian: the low half of the word is that `int`.
    SlotAddress(Slot),
}

/// What a step demands of a call that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing more.
    Success,
    /// The result 0, as of a poll(2) that finds nothing; another one fails with `ESRCH`.
    Zero,
    /// That [`Shared::scratch`](crate::Shared::scratch) begins with `/`; `ENOTDIR` otherwise.
    /// getcwd(2) writes `(unreachable)` there when the directory is outside the root.
    AbsolutePath,
    /// That [`Shared::scratch`](crate::Shared::scratch) begins with the magic number of proc, as
    /// statfs(2) writes it there; `ENODEV` otherwise.
    Procfs,
    /// That what statx(2) has written there is of the null device; `ENODEV` otherwise.
    NullDevice,
}

/// What becomes of a step whose call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The step is reported and the child ends.
    Fail,
    /// This one errno is as good as success (`EEXIST` of a mkdir).
    Ignore(i32),
    /// The call is made again if the answer is `EAGAIN`, some times; any other error is as for `Fail`.
    Retry,
    /// The next step is another candidate for the same end: the search through PATH. Errors that
    /// say "not this one" go on, as in execvp(3); any other ends the child.
    TryNext,
}

/// One system call of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The number of the call on this architecture.
    pub number: usize,
    /// Its six arguments; those that the call does not have are 0.
    pub args: [Arg; 6],
    /// Where its result goes, for later steps.
    pub save: Option<Slot>,
    /// What it must return.
    pub expect: Expect,
    /// What to do when it fails.
    pub on_error: OnError,
}
