// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which system calls the program may make. See seccomp(2).

mod json;

use std::fmt;

pub use clonebox_seccomp::Arch;
use clonebox_seccomp::{Instruction, ProgramError, check};

use super::{Origin, Setting};

/// The filter of a box, and what else is said about it.
#[derive(Clone, Debug, Default)]
pub struct Seccomp {
    /// The filter.
    pub filter: Setting<SeccompFilter>,
    /// Who asked for refused calls to be logged by the kernel (`SECCOMP_FILTER_FLAG_LOG`).
    pub log: Option<Origin>,
    /// Who asked for the calls that the filter refuses to be made nevertheless, and noted:
    /// [`Child::refused`](crate::Child::refused). Such a box is not confined.
    pub trace: Option<Origin>,
    /// Architectures whose calls are filtered as the machine's own are: [`Arch::X86`] on x86-64,
    /// [`Arch::Arm`] on AArch64. Without, every one of their calls fails with `ENOSYS`.
    pub arches: Vec<Setting<Arch>>,
}

/// A filter of system calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeccompFilter {
    /// [`Default`](Self::Default) with a user namespace or a root filesystem, and [`Off`](Self::Off) for
    /// root on the caller's own files, where a box is a view and no boundary.
    #[default]
    Auto,
    /// The profile that clonebox comes with, as the capabilities of the box ask for it.
    Default,
    /// None.
    Off,
    /// A profile of the user's.
    Profile(SeccompProfile),
    /// A program of the user's.
    Program(SeccompProgram),
}

/// A profile that has been read: rules for system calls by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeccompProfile {
    pub(crate) default: u32,
    pub(crate) flags: u32,
    pub(crate) arches: Vec<Arch>,
    pub(crate) rules: Vec<ProfileRule>,
}

/// What a profile says of some calls, and when it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProfileRule {
    pub(crate) names: Vec<String>,
    pub(crate) word: u32,
    /// One of these applies if all of its conditions hold.
    pub(crate) alternatives: Vec<Vec<clonebox_seccomp::Condition>>,
    pub(crate) includes: When,
    pub(crate) excludes: When,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct When {
    /// A bit for each capability.
    pub(crate) capabilities: u64,
    pub(crate) arches: Vec<String>,
}

/// A program for the kernel that has been checked: 1 to 4096 instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeccompProgram(pub(crate) Vec<Instruction>);

/// A profile or a program that makes no sense: why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeccompError(String);

impl fmt::Display for SeccompError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SeccompError {}

impl From<ProgramError> for SeccompError {
    fn from(error: ProgramError) -> Self {
        Self(error.to_string())
    }
}

impl SeccompFilter {
    /// Reads a profile in JSON: `linux.seccomp` of the OCI runtime specification, or the format of docker.
    ///
    /// A rule without `args` counts before those with; of several that apply, the first. Names that no
    /// architecture of ours has are left out of rules that allow, and are an error in others.
    ///
    /// # Errors
    ///
    /// What is wrong, and where.
    pub fn from_json(text: &[u8]) -> Result<Self, SeccompError> {
        json::read(text).map(Self::Profile).map_err(SeccompError)
    }

    /// Reads a program: an array of `struct sock_filter` in the byte order of the machine.
    ///
    /// # Errors
    ///
    /// What the kernel would not take.
    pub fn from_program(bytes: &[u8]) -> Result<Self, SeccompError> {
        let (instructions, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(SeccompError(format!(
                "an instruction has 8 bytes, and the program {}",
                bytes.len()
            )));
        }
        let program: Vec<Instruction> = instructions
            .iter()
            .map(|bytes| Instruction::from_bytes(*bytes))
            .collect();
        check(&program)?;
        Ok(Self::Program(SeccompProgram(program)))
    }
}
