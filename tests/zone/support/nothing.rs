//! The smallest program: it exits with 0. It needs no shell, no libc, and no time.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const BASE: u64 = 0x40_0000;
/// Bytes of the ELF header and of one program header (elf(5)).
const HEADERS: u64 = 64 + 56;

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
/// xor edi, edi; mov eax, 231 (exit_group); syscall
#[cfg(target_arch = "x86_64")]
const CODE: &[u8] = &[0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05];

#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;
/// mov x0, 0; mov x8, 94 (exit_group); svc 0
#[cfg(target_arch = "aarch64")]
const CODE: &[u8] = &[
    0x00, 0x00, 0x80, 0xd2, 0xc8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4,
];

/// Writes it to a file, which everybody may execute.
pub(crate) fn write(path: &Path) {
    let mut file = File::create(path).expect("a file can be made");
    file.write_all(&elf()).expect("a file can be written");
    drop(file);
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("it is ours");
}

/// A static program of one segment.
fn elf() -> Vec<u8> {
    let length = HEADERS + CODE.len() as u64;
    let mut bytes = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let half = |words: &[u16], bytes: &mut Vec<u8>| {
        words
            .iter()
            .for_each(|word| bytes.extend(word.to_le_bytes()));
    };
    // ET_EXEC, the machine, EV_CURRENT.
    half(&[2, MACHINE, 1, 0], &mut bytes);
    // Entry, program headers, section headers.
    for word in [BASE + HEADERS, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    // Flags, sizes and counts of the headers.
    half(&[0, 0, 64, 56, 1, 0, 0, 0], &mut bytes);
    // PT_LOAD, readable and executable.
    half(&[1, 0, 5, 0], &mut bytes);
    for word in [0, BASE, BASE, length, length, 0x1_0000] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(CODE);
    bytes
}
