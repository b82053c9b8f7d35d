// SPDX-License-Identifier: MIT OR Apache-2.0
//! A system call that can be made and that can be shown.
//!
//! Each argument knows both the word that the kernel gets and the text that strace(1) prints for it.
//! So a new step needs no code in the child and none here: it is one constructor in the file of its
//! concern.

use std::ffi::{CStr, CString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clonebox_child as child;
use libc::c_long;

use super::exec::Exec;
use super::slot;
use super::step::Step;

/// Names of flags, as the kernel's headers spell them.
pub(crate) type FlagNames = &'static [(&'static str, u64)];

/// One argument.
#[derive(Debug)]
pub(crate) enum Value {
    /// A decimal number.
    Int(i64),
    /// An octal number: a mode.
    Octal(u32),
    /// A constant with a name.
    Name(&'static str, usize),
    /// Flags of open(2).
    Open(i32),
    /// A type of file and its permissions.
    Mode(u32),
    /// The major and the minor number of a device, both below 256.
    Device(u8, u8),
    /// The number of a capability.
    Capability(u8),
    /// Bits with names.
    Flags(FlagNames, u64),
    /// A string: the address of its first byte.
    Text(CString),
    /// A constant string.
    Static(&'static CStr),
    /// Bytes that the kernel reads, whatever they are.
    Bytes(Box<[u8]>),
    /// A structure that the kernel reads: its address, and how it is shown.
    Struct(Box<[u8]>, fn(&[u8]) -> String),
    /// A `struct sock_fprog`, and the program that it points to.
    Program(Box<Program>),
    /// A word that is known at the launch.
    Slot(child::Slot),
    /// A string whose address is in this slot: this one, unless the launch has another.
    Given(child::Slot, CString),
    /// How long that string is: the slot, and the length of this one.
    GivenLength(child::Slot, usize),
    /// The address of such a word.
    SlotAddress(child::Slot),
    /// No address.
    Null,
}

/// What [`Value::Program`] owns.
#[derive(Debug)]
pub(crate) struct Program {
    /// A `struct sock_fprog` (linux/filter.h).
    fprog: [u64; 2],
    instructions: Box<[u8]>,
}

impl Value {
    /// A program of classic BPF, as seccomp(2) takes it.
    pub(crate) fn program(code: &[clonebox_seccomp::Instruction]) -> Self {
        let instructions: Box<[u8]> = code.iter().flat_map(|one| one.to_bytes()).collect();
        // 16 bits, padding, the address.
        let address = instructions.as_ptr().expose_provenance() as u64;
        Self::Program(Box::new(Program {
            fprog: [code.len() as u64, address],
            instructions,
        }))
    }

    fn lower(&self) -> child::Arg {
        use child::Arg::{Slot, SlotAddress, Word};
        match self {
            Self::Int(number) => Word(*number as usize),
            Self::Octal(mode) => Word(*mode as usize),
            Self::Name(_, word) => Word(*word),
            Self::Open(flags) => Word(*flags as usize),
            Self::Mode(mode) => Word(*mode as usize),
            // As makedev(3) has it for numbers as small as these.
            Self::Device(major, minor) => Word(usize::from(*major) << 8 | usize::from(*minor)),
            Self::Capability(number) => Word(usize::from(*number)),
            Self::Flags(_, bits) => Word(*bits as usize),
            Self::Text(text) => Word(text.as_ptr().expose_provenance()),
            Self::Static(text) => Word(text.as_ptr().expose_provenance()),
            Self::Bytes(bytes) | Self::Struct(bytes, _) => Word(bytes.as_ptr().expose_provenance()),
            Self::Program(program) => Word(program.fprog.as_ptr().expose_provenance()),
            Self::Slot(slot) | Self::Given(slot, _) | Self::GivenLength(slot, _) => Slot(*slot),
            Self::SlotAddress(slot) => SlotAddress(*slot),
            Self::Null => Word(0),
        }
    }

    fn show(&self, exec: &Exec, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Int(number) => write!(out, "{number}"),
            Self::Octal(mode) => show_octal(*mode, out),
            Self::Open(flags) => show_open(*flags, out),
            Self::Mode(mode) => {
                let kind = match mode & libc::S_IFMT {
                    libc::S_IFCHR => "S_IFCHR",
                    _ => "S_IFREG",
                };
                write!(out, "{kind}|")?;
                show_octal(mode & !libc::S_IFMT, out)
            }
            Self::Device(major, 0) => write!(out, "makedev({major:#x}, 0)"),
            Self::Device(major, minor) => write!(out, "makedev({major:#x}, {minor:#x})"),
            Self::Name(name, _) => out.write_str(name),
            Self::Capability(number) => out.write_str(&crate::spec::capability_name(*number)),
            Self::Flags(names, bits) => show_flags(names, *bits, out),
            Self::Text(text) => quote(text.as_bytes(), out),
            Self::Static(text) => quote(text.to_bytes(), out),
            // They may be a secret.
            Self::Bytes(_) => out.write_str("<buffer>"),
            Self::Struct(bytes, show) => out.write_str(&show(bytes)),
            Self::Program(program) => {
                let length = program.instructions.len() / 8;
                write!(out, "{{len={length}, filter=<filter>}}")
            }
            Self::Slot(slot) => exec.show_slot(*slot, out),
            Self::Given(_, text) => quote(text.as_bytes(), out),
            Self::GivenLength(_, length) => write!(out, "{length}"),
            Self::SlotAddress(slot) => write!(out, "[{}]", slot::name(*slot)),
            Self::Null => out.write_str("NULL"),
        }
    }
}

const OPEN_FLAGS: FlagNames = &[
    ("O_CREAT", libc::O_CREAT as u64),
    ("O_EXCL", libc::O_EXCL as u64),
    ("O_NOCTTY", libc::O_NOCTTY as u64),
    ("O_NOFOLLOW", libc::O_NOFOLLOW as u64),
    ("O_CLOEXEC", libc::O_CLOEXEC as u64),
    ("O_PATH", libc::O_PATH as u64),
    ("O_DIRECTORY", libc::O_DIRECTORY as u64),
];

/// The access mode comes first, and is no bit.
pub(crate) fn show_open(flags: i32, out: &mut impl fmt::Write) -> fmt::Result {
    let (name, rest) = match flags & libc::O_ACCMODE {
        libc::O_WRONLY => ("O_WRONLY", flags & !libc::O_ACCMODE),
        libc::O_RDWR => ("O_RDWR", flags & !libc::O_ACCMODE),
        _ => ("O_RDONLY", flags),
    };
    out.write_str(name)?;
    if rest == 0 {
        return Ok(());
    }
    out.write_char('|')?;
    show_flags(OPEN_FLAGS, rest as u64, out)
}

/// As printf(3) has it for strace: three digits at least, and the first one a zero.
fn show_octal(mode: u32, out: &mut impl fmt::Write) -> fmt::Result {
    write!(out, "{}{mode:03o}", if mode > 0o77 { "0" } else { "" })
}

/// One system call.
#[derive(Debug)]
pub(crate) struct Call {
    /// Its name in the kernel.
    pub(crate) name: &'static str,
    number: c_long,
    args: Box<[Value]>,
    pub(crate) save: Option<child::Slot>,
    pub(crate) expect: child::Expect,
    pub(crate) on_error: child::OnError,
}

impl Call {
    /// A call with the arguments that it has.
    pub(crate) fn new<const N: usize>(
        name: &'static str,
        number: c_long,
        args: [Value; N],
    ) -> Self {
        Self {
            name,
            number,
            args: Box::new(args),
            save: None,
            expect: child::Expect::Success,
            on_error: child::OnError::Fail,
        }
    }

    pub(crate) fn save(mut self, slot: child::Slot) -> Self {
        self.save = Some(slot);
        self
    }

    pub(crate) fn expect(mut self, expect: child::Expect) -> Self {
        self.expect = expect;
        self
    }

    pub(crate) fn on_error(mut self, on_error: child::OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// What the child makes of it. Addresses stay valid as long as the call lives: they are of heap
    /// memory that is never moved or changed.
    pub(crate) fn lower(&self) -> child::Step {
        let mut args = [child::Arg::Word(0); 6];
        for (lowered, arg) in args.iter_mut().zip(&self.args) {
            *lowered = arg.lower();
        }
        child::Step {
            number: self.number as usize,
            args,
            save: self.save,
            expect: self.expect,
            on_error: self.on_error,
        }
    }

    /// The call as strace(1) prints it, its result left out.
    pub(crate) fn show(&self, exec: &Exec) -> String {
        let mut text = format!("{}(", self.name);
        for (index, arg) in self.args.iter().enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            // Writing to a String does not fail.
            let _ = arg.show(exec, &mut text);
        }
        text.push(')');
        text
    }
}

/// What the child makes of the calls of a plan, and the words that a launch puts into slots unless it has others.
pub(crate) fn lower(steps: &[Step]) -> (Vec<child::Step>, Vec<(child::Slot, usize)>) {
    let mut code = Vec::with_capacity(steps.len());
    let mut given = Vec::new();
    for Step { call, .. } in steps {
        code.push(call.lower());
        for arg in &call.args {
            match arg {
                Value::Given(slot, text) => given.push((*slot, text.as_ptr().expose_provenance())),
                Value::GivenLength(slot, length) => given.push((*slot, *length)),
                _ => {}
            }
        }
    }
    (code, given)
}

/// Bits by name, joined with `|`; those without one in hexadecimal; `0` for none.
pub(crate) fn show_flags(names: FlagNames, bits: u64, out: &mut impl fmt::Write) -> fmt::Result {
    let mut rest = bits;
    let mut separator = "";
    for (name, bit) in names {
        if rest & bit != 0 {
            write!(out, "{separator}{name}")?;
            rest &= !bit;
            separator = "|";
        }
    }
    match (rest, bits) {
        (_, 0) => out.write_char('0'),
        (0, _) => Ok(()),
        _ => write!(out, "{separator}{rest:#x}"),
    }
}

/// A string in quotes, with everything escaped that could drive a terminal.
pub(crate) fn quote(bytes: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    write!(out, "\"{}\"", bytes.escape_ascii())
}

/// [`quote`] as a value.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::new();
    let _ = quote(bytes, &mut text);
    text
}

/// Bytes escaped in the same way, without the quotes.
pub(crate) fn quoted_bare(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// A path in the same way.
pub(crate) fn shown(path: &Path) -> String {
    quoted_bare(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_shown_by_name_and_the_rest_in_hexadecimal() {
        let show = |bits| {
            let mut text = String::new();
            show_flags(&[("A", 1), ("B", 2)], bits, &mut text).unwrap();
            text
        };
        assert_eq!(show(3), "A|B");
        assert_eq!(show(0), "0");
        assert_eq!(show(0x12), "B|0x10");
        assert_eq!(show(0x10), "0x10");
    }

    #[test]
    fn strings_cannot_drive_a_terminal() {
        assert_eq!(quoted(b"a\x1b[2J\"\xff"), r#""a\x1b[2J\"\xff""#);
    }
}
