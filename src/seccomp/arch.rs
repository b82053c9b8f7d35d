// SPDX-License-Identifier: MIT OR Apache-2.0
//! Architectures: whose numbers a call has.

/// An architecture whose system calls a kernel of ours may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Arch {
    /// x86-64. Its x32 variant, which has the same `AUDIT_ARCH`, is never allowed.
    X86_64,
    /// AArch64.
    Aarch64,
    /// 32-bit x86 (i386), which x86-64 kernels serve as well.
    X86,
    /// 32-bit Arm (EABI), which AArch64 kernels may serve as well.
    Arm,
}

impl Arch {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::X86_64, Self::Aarch64, Self::X86, Self::Arm];

    /// The architecture of this name: `x86_64`, `aarch64`, `x86`, `arm`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| arch.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::X86 => "x86",
            Self::Arm => "arm",
        }
    }

    /// The 32-bit one that a kernel of this one serves too.
    pub fn compat(self) -> Option<Self> {
        match self {
            Self::X86_64 => Some(Self::X86),
            Self::Aarch64 => Some(Self::Arm),
            Self::X86 | Self::Arm => None,
        }
    }

    /// `AUDIT_ARCH_*` of `linux/audit.h`, by which a filter tells them apart.
    pub fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::Aarch64 => 0xc000_00b7,
            Self::X86 => 0x4000_0003,
            Self::Arm => 0x4000_0028,
        }
    }

    /// The column of the table of calls.
    pub(crate) fn column(self) -> usize {
        match self {
            Self::X86_64 => 1,
            Self::Aarch64 => 2,
            Self::X86 => 3,
            Self::Arm => 4,
        }
    }
}
