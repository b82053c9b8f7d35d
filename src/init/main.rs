// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program of a few KiB that clonebox executes from memory, in one of six roles, which `argv[0]`
//! names: `init`, PID 1 of a box; `exec`, which executes the program of a box with a root filesystem; `join`,
//! which executes one in the process namespace of a box that runs; `stand`, which waits for what to execute;
//! `guard`, which gives a terminal its settings back; or `tie`, which ends another program with a box.
//!
//! It is no part of the library's crate: `build.rs` compiles it and embeds it. It has neither std nor
//! libc, and makes its system calls through clonebox-child.

#![no_std]
#![no_main]
#![no_builtins]

mod exec;
mod guard;
mod init;
mod join;
mod kernel;
mod report;
mod stand;
mod tie;

use core::ffi::CStr;

/// What the kernel leaves on the stack of a new program: argc, argv, NULL, envp, NULL.
pub(crate) struct Args {
    count: usize,
    first: *const *const u8,
}

impl Args {
    /// The address of the array from argument `index` on: argv for another program.
    pub(crate) fn address_from(&self, index: usize) -> usize {
        self.first.wrapping_add(index.min(self.count)).addr()
    }

    /// The address of the environment's array.
    pub(crate) fn environment(&self) -> usize {
        self.address_from(self.count) + size_of::<usize>()
    }

    /// The address of argument `index`, if there is one.
    pub(crate) fn get(&self, index: usize) -> Option<*const u8> {
        // SAFETY: the kernel has put `count` addresses there.
        (index < self.count).then(|| unsafe { *self.first.wrapping_add(index) })
    }

    /// The bytes of argument `index`; none if there is no such argument.
    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        match self.get(index) {
            // SAFETY: arguments end with a NUL and live as long as the program.
            Some(start) => unsafe { CStr::from_ptr(start.cast()) }.to_bytes(),
            None => &[],
        }
    }

    /// A decimal number.
    pub(crate) fn number(&self, index: usize) -> Option<usize> {
        let digits = self.bytes(index);
        let mut number = 0usize;
        for digit in digits {
            let value = usize::from(digit.checked_sub(b'0').filter(|value| *value < 10)?);
            number = number.checked_mul(10)?.checked_add(value)?;
        }
        (!digits.is_empty()).then_some(number)
    }
}

extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: the kernel puts the number of arguments at the top of the stack.
    let count = unsafe { *stack };
    let args = Args {
        count,
        first: stack.wrapping_add(1).cast(),
    };
    match args.bytes(0) {
        b"init" => init::run(&args),
        b"exec" => exec::run(&args),
        b"join" => join::run(&args),
        b"stand" => stand::run(&args),
        b"guard" => guard::run(&args),
        b"tie" => tie::run(&args),
        _ => kernel::exit(125),
    }
}

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym start,
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "bl {start}",
    "brk 1",
    start = sym start,
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    kernel::exit(125)
}

/// What the compiler calls for copies that it does not make itself.
///
/// # Safety
///
/// As memcpy(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    for at in 0..length {
        // SAFETY: the caller's promise.
        unsafe { *to.wrapping_add(at) = *from.wrapping_add(at) };
    }
    to
}

/// # Safety
///
/// As memset(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    for at in 0..length {
        // SAFETY: the caller's promise.
        unsafe { *to.wrapping_add(at) = byte as u8 };
    }
    to
}

/// # Safety
///
/// As memcmp(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    for at in 0..length {
        // SAFETY: the caller's promise.
        let (one, other) = unsafe { (*one.wrapping_add(at), *other.wrapping_add(at)) };
        if one != other {
            return i32::from(one) - i32::from(other);
        }
    }
    0
}

/// # Safety
///
/// As bcmp(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(one, other, length) }
}

/// # Safety
///
/// As strlen(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the caller's promise: there is a NUL.
    while unsafe { *text.wrapping_add(length) } != 0 {
        length += 1;
    }
    length
}
