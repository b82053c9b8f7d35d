// SPDX-License-Identifier: MIT OR Apache-2.0
//! The box's terminal and standard streams.

/// What the box has for a controlling terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tty {
    /// [`Tty::New`] for those of the standard streams that are terminals if standard input is one;
    /// [`Tty::None`] otherwise.
    Auto,
    /// A new pseudoterminal, with a session of its own, on all inherited standard streams. See pty(7).
    New,
    /// The caller's, with the box in a process group of its own, in the foreground if the caller is.
    Inherit,
    /// None: a session of its own, which cannot push input into the caller's terminal.
    None,
}

/// Where one of the standard streams comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirect {
    /// It is the caller's, or the new terminal.
    #[default]
    Inherit,
    /// A descriptor that the launch supplies.
    Supplied,
}
