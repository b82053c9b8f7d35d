// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way of the tutorials, as a whole program: it makes the namespaces for what it will start, and
//! starts itself, because somebody has to mount and name things in there before the program runs.
//!
//! Not a part of clonebox: benches/command.rs compiles it, to have something to compare with.

use std::env;
use std::ffi::{c_char, c_int, c_ulong, c_void};
use std::io::{Error, Result};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::ptr::null;

const CLONE_NEWNS: c_int = 0x2_0000;
const CLONE_NEWUTS: c_int = 0x400_0000;
const CLONE_NEWPID: c_int = 0x2000_0000;
const MS_NOSUID: c_ulong = 2;
const MS_NODEV: c_ulong = 4;
const MS_NOEXEC: c_ulong = 8;
const MS_REC: c_ulong = 0x4000;
const MS_PRIVATE: c_ulong = 0x4_0000;

// SAFETY: the declarations are those of unshare(2), sethostname(2) and mount(2).
unsafe extern "C" {
    fn unshare(flags: c_int) -> c_int;
    fn sethostname(name: *const c_char, length: usize) -> c_int;
    fn mount(
        source: *const c_char,
        target: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        data: *const c_void,
    ) -> c_int;
}

fn main() -> Result<ExitCode> {
    let mut words = env::args_os().skip(1).peekable();
    if words.next_if(|word| word == "child").is_none() {
        // SAFETY: the call takes numbers; this process has one thread.
        check(unsafe { unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID) })?;
        let status = Command::new("/proc/self/exe")
            .arg("child")
            .args(words)
            .status()?;
        return Ok(ExitCode::from(status.code().unwrap_or(125) as u8));
    }
    let name = c"container";
    // SAFETY: the name is as long as the call is told.
    check(unsafe { sethostname(name.as_ptr(), name.count_bytes()) })?;
    let private = MS_REC | MS_PRIVATE;
    // SAFETY: the strings end with NUL and live during the call.
    check(unsafe { mount(null(), c"/".as_ptr(), null(), private, null()) })?;
    let (proc, place) = (c"proc".as_ptr(), c"/proc".as_ptr());
    let careful = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    // SAFETY: the same.
    check(unsafe { mount(proc, place, proc, careful, null()) })?;
    let program = words.next().unwrap_or_else(|| "/bin/sh".into());
    Err(Command::new(program).args(words).exec())
}

fn check(result: c_int) -> Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(Error::last_os_error())
    }
}
