// SPDX-License-Identifier: MIT OR Apache-2.0
//! Classic BPF as far as seccomp(2) takes it: instructions, what the kernel checks of a program, and what a
//! program answers.

use std::fmt;

/// `struct sock_filter` of `linux/filter.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// How many instructions a jump skips if its test holds.
    pub jt: u8,
    /// How many it skips otherwise.
    pub jf: u8,
    /// The number that goes with it.
    pub k: u32,
}

const _: () = assert!(size_of::<Instruction>() == 8);

impl Instruction {
    /// Reads one in the byte order of the machine.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        let [c0, c1, jt, jf, k0, k1, k2, k3] = bytes;
        Self {
            code: u16::from_ne_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        }
    }

    /// The bytes that the kernel reads.
    pub fn to_bytes(self) -> [u8; 8] {
        let ([c0, c1], [k0, k1, k2, k3]) = (self.code.to_ne_bytes(), self.k.to_ne_bytes());
        [c0, c1, self.jt, self.jf, k0, k1, k2, k3]
    }
}

/// How many instructions a filter may have: `BPF_MAXINSNS` of `linux/bpf_common.h`.
pub const MAX_LEN: usize = 4096;

/// The call is made.
pub const ALLOW: u32 = 0x7fff_0000;
/// The call is made and logged.
pub const LOG: u32 = 0x7ffc_0000;
/// A tracer decides; the low half is for it.
pub const TRACE: u32 = 0x7ff0_0000;
/// Whoever has the listener decides.
pub const USER_NOTIF: u32 = 0x7fc0_0000;
/// The thread gets a SIGSYS; the low half is `si_errno`.
pub const TRAP: u32 = 0x0003_0000;
/// The thread ends.
pub const KILL_THREAD: u32 = 0x0000_0000;
/// The process ends.
pub const KILL_PROCESS: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;

/// The call fails with this error, 0 to 4095.
pub const fn errno(number: u16) -> u32 {
    ERRNO | number as u32
}

// The instructions, of `linux/bpf_common.h` and `linux/filter.h`.
pub(crate) const LD_W_ABS: u16 = 0x20;
pub(crate) const ALU_AND_K: u16 = 0x54;
pub(crate) const JA: u16 = 0x05;
pub(crate) const JEQ_K: u16 = 0x15;
pub(crate) const JGT_K: u16 = 0x25;
pub(crate) const JGE_K: u16 = 0x35;
pub(crate) const RET_K: u16 = 0x06;

// Where the fields of `struct seccomp_data` (`linux/seccomp.h`) are.
pub(crate) const OFFSET_NR: u32 = 0;
pub(crate) const OFFSET_ARCH: u32 = 4;
pub(crate) const OFFSET_ARGS: u32 = 16;
const DATA_LEN: u32 = 64;

/// `struct seccomp_data`: what a filter sees of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// The number of the call.
    pub nr: u32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// Its arguments.
    pub args: [u64; 6],
}

impl Data {
    /// The word at an offset. Both our architectures are little-endian.
    fn word(&self, offset: u32) -> Option<u32> {
        let half = |word: u64| (word >> (8 * (offset & 4))) as u32;
        match offset {
            _ if !offset.is_multiple_of(4) => None,
            OFFSET_NR => Some(self.nr),
            OFFSET_ARCH => Some(self.arch),
            8 | 12 => Some(half(self.instruction_pointer)),
            _ => {
                let index = (offset.checked_sub(OFFSET_ARGS)? / 8) as usize;
                self.args.get(index).map(|&word| half(word))
            }
        }
    }
}

/// Why the kernel takes no such program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgramError {
    /// It has no instruction, or more than [`MAX_LEN`].
    Length(usize),
    /// This instruction is none that seccomp(2) takes.
    Instruction(usize),
    /// This one jumps beyond the end.
    Jump(usize),
    /// This one reads or writes what is not there, or is not aligned.
    Access(usize),
    /// The last one gives no answer.
    End,
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => {
                write!(f, "a filter has 1 to {MAX_LEN} instructions, not {length}")
            }
            Self::Instruction(at) => write!(f, "instruction {at} is none of a seccomp filter"),
            Self::Jump(at) => write!(f, "instruction {at} jumps beyond the end"),
            Self::Access(at) => write!(f, "instruction {at} reads or writes what is not there"),
            Self::End => f.write_str("the last instruction is no return"),
        }
    }
}

impl std::error::Error for ProgramError {}

/// Checks what the kernel does: `bpf_check_classic` in net/core/filter.c, `seccomp_check_filter` in
/// kernel/seccomp.c. That no memory is read before it was written is not checked here.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn check(program: &[Instruction]) -> Result<(), ProgramError> {
    if program.is_empty() || program.len() > MAX_LEN {
        return Err(ProgramError::Length(program.len()));
    }
    for (at, one) in program.iter().enumerate() {
        let left = program.len() - at - 1;
        let access = |fine: bool| fine.then_some(()).ok_or(ProgramError::Access(at));
        match one.code {
            LD_W_ABS => access(one.k < DATA_LEN && one.k.is_multiple_of(4))?,
            // Scratch memory: LD, LDX, ST, STX.
            0x60 | 0x61 | 0x02 | 0x03 => access(one.k < 16)?,
            // Division by the constant 0; a shift by more than there are bits.
            0x34 => access(one.k != 0)?,
            0x64 | 0x74 => access(one.k < 32)?,
            JA if one.k as usize >= left => return Err(ProgramError::Jump(at)),
            JEQ_K | JGT_K | JGE_K | 0x45 | 0x1d | 0x2d | 0x3d | 0x4d
                if usize::from(one.jt.max(one.jf)) >= left =>
            {
                return Err(ProgramError::Jump(at));
            }
            // LD and LDX of constants and of the length; ALU with a constant or X; NEG; moves; returns.
            JA | JEQ_K | JGT_K | JGE_K | 0x45 | 0x1d | 0x2d | 0x3d | 0x4d => {}
            0x00 | 0x01 | 0x80 | 0x81 | 0x04 | 0x0c | 0x14 | 0x1c | 0x24 | 0x2c | 0x3c | 0x44
            | 0x4c | ALU_AND_K | 0x5c | 0x6c | 0x7c | 0x84 | 0xa4 | 0xac | 0x07 | 0x87 | RET_K
            | 0x16 => {}
            _ => return Err(ProgramError::Instruction(at)),
        }
    }
    match program.last() {
        Some(last) if matches!(last.code, RET_K | 0x16) => Ok(()),
        _ => Err(ProgramError::End),
    }
}

/// What a program answers, as the kernel would; `None` for one that it would not take.
pub fn run(program: &[Instruction], data: &Data) -> Option<u32> {
    let (mut a, mut x, mut memory) = (0u32, 0u32, [0u32; 16]);
    let mut at = 0;
    loop {
        let one = program.get(at)?;
        at += 1;
        let k = one.k;
        let mut jump = |so: bool| at += usize::from(if so { one.jt } else { one.jf });
        match one.code {
            LD_W_ABS => a = data.word(k)?,
            0x00 => a = k,
            0x01 => x = k,
            0x80 => a = DATA_LEN,
            0x81 => x = DATA_LEN,
            0x60 => a = *memory.get(k as usize)?,
            0x61 => x = *memory.get(k as usize)?,
            0x02 => *memory.get_mut(k as usize)? = a,
            0x03 => *memory.get_mut(k as usize)? = x,
            JA => at += k as usize,
            JEQ_K => jump(a == k),
            JGT_K => jump(a > k),
            JGE_K => jump(a >= k),
            0x45 => jump(a & k != 0),
            0x1d => jump(a == x),
            0x2d => jump(a > x),
            0x3d => jump(a >= x),
            0x4d => jump(a & x != 0),
            RET_K => return Some(k),
            0x16 => return Some(a),
            0x07 => x = a,
            0x87 => a = x,
            0x84 => a = a.wrapping_neg(),
            code if code & 7 == 4 => {
                let by = if code & 8 == 0 { k } else { x };
                a = match code & 0xf0 {
                    0x00 => a.wrapping_add(by),
                    0x10 => a.wrapping_sub(by),
                    0x20 => a.wrapping_mul(by),
                    // A division by the 0 in X ends a filter with 0.
                    0x30 if by == 0 => return Some(0),
                    0x30 => a / by,
                    0x40 => a | by,
                    0x50 => a & by,
                    0x60 => a.wrapping_shl(by),
                    0x70 => a.wrapping_shr(by),
                    0xa0 => a ^ by,
                    _ => return None,
                };
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn op(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
        Instruction { code, jt, jf, k }
    }

    #[test]
    fn a_program_that_the_kernel_would_not_take_is_told() {
        let end = op(RET_K, 0, 0, ALLOW);
        for (program, error) in [
            (vec![], ProgramError::Length(0)),
            (vec![end; MAX_LEN + 1], ProgramError::Length(MAX_LEN + 1)),
            (vec![op(0x28, 0, 0, 0), end], ProgramError::Instruction(0)),
            (vec![op(JA, 0, 0, 1), end], ProgramError::Jump(0)),
            (vec![op(JEQ_K, 0, 1, 0), end], ProgramError::Jump(0)),
            (vec![op(LD_W_ABS, 0, 0, 64), end], ProgramError::Access(0)),
            (vec![op(LD_W_ABS, 0, 0, 2), end], ProgramError::Access(0)),
            (vec![op(LD_W_ABS, 0, 0, 0)], ProgramError::End),
        ] {
            assert_eq!(check(&program), Err(error));
        }
        assert_eq!(
            check(&[op(LD_W_ABS, 0, 0, 60), op(JEQ_K, 0, 0, 0), end]),
            Ok(())
        );
        assert_eq!(check(&vec![end; MAX_LEN]), Ok(()));
    }

    #[test]
    fn both_halves_of_an_argument_can_be_read() {
        let data = Data {
            args: [0, 0x1122_3344_5566_7788, 0, 0, 0, 0],
            ..Data::default()
        };
        for (offset, expected) in [(24, 0x5566_7788), (28, 0x1122_3344)] {
            let program = [op(LD_W_ABS, 0, 0, offset), op(0x16, 0, 0, 0)];
            assert_eq!(run(&program, &data), Some(expected));
        }
    }
}
