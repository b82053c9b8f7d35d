// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program that is launched: an ELF file of less than 200 bytes, so that what is measured is the
//! launch and not a loader or a libc. See elf(5).

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const BASE: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;

/// `EM_X86_64`; exit_group(0).
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "x86_64")]
const EXIT: &[u8] = b"\xb8\xe7\0\0\0\x31\xff\x0f\x05";

/// `EM_AARCH64`; exit_group(0).
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;
#[cfg(target_arch = "aarch64")]
const EXIT: &[u8] = b"\0\0\x80\xd2\xc8\x0b\x80\xd2\x01\0\0\xd4";

/// The program that ends at once, with 0, at the top of a root filesystem that goes when this is dropped.
pub(crate) struct Target {
    exit: PathBuf,
    _dir: TempDir,
}

impl Target {
    pub(crate) fn new() -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let root = dir.path().join("root");
        for place in ["dev", "proc", "sys"] {
            fs::create_dir_all(root.join(place))?;
        }
        let exit = root.join("exit");
        write(&exit, EXIT)?;
        Ok(Self { exit, _dir: dir })
    }

    pub(crate) fn exit(&self) -> &Path {
        &self.exit
    }
}

/// Makes a program of machine code.
pub(crate) fn write(path: &Path, code: &[u8]) -> io::Result<()> {
    fs::write(path, elf(code))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// A file with one segment: its own headers and the code.
fn elf(code: &[u8]) -> Vec<u8> {
    let length = HEADERS + code.len() as u64;
    let half = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let word = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let long = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let parts: [Vec<u8>; 9] = [
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
        half(&[2, MACHINE]),            // ET_EXEC
        word(&[1]),                     // EV_CURRENT
        long(&[BASE + HEADERS, 64, 0]), // entry, program headers, no section headers
        word(&[0]),                     // flags
        half(&[64, 56, 1, 0, 0, 0]),    // sizes and counts of the headers
        word(&[1, 5]),                  // PT_LOAD, readable and executable
        long(&[0, BASE, BASE, length, length, 0x1_0000]),
        code.to_vec(),
    ];
    parts.concat()
}
