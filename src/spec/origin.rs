// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who asked for a value.

use std::fmt;
use std::sync::Arc;

/// Who asked for a value: what an error names, so that the asker knows which of his words to change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Nobody: clonebox does it unless told otherwise.
    #[default]
    Default,
    /// A call of the library, such as `Command::hostname`.
    Call(&'static str),
    /// An option of a command line as it was typed, such as `--hostname web`, or a place in a file.
    Text(Arc<str>),
}

impl Origin {
    /// An origin in the asker's own words.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(Arc::from(text.as_ref()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Call(call) => f.write_str(call),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A value and who asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Who asked for it.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// A value that somebody asked for.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// A value that nobody asked for.
    pub fn default_of(value: T) -> Self {
        Self::new(value, Origin::Default)
    }
}

impl<T: Default> Default for Setting<T> {
    fn default() -> Self {
        Self::default_of(T::default())
    }
}
