// SPDX-License-Identifier: MIT OR Apache-2.0
//! The child's system calls of a plain box, written straight: no plan, no interpreter, no report.
//!
//! This is what clonebox is compared with (the floor), and what the other ways do after their
//! clone, so that all of them make the same box.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use clonebox::Plan;

use crate::floor::child::{Kernel, Linux, Privileges, attach, call, exit, own_mounts, own_name};

/// What the child needs, ready for the kernel.
pub(super) struct Straight {
    /// The parent's pidfd in a `struct pollfd`; poll(2) takes no notice of -1.
    pub(super) parent: libc::pollfd,
    program: CString,
    argv: [*const c_char; 2],
    environment: Vec<CString>,
    envp: Vec<*const c_char>,
    privileges: Privileges,
}

impl Straight {
    pub(super) fn new(program: &Path, plan: &Plan) -> Self {
        Self::with(program, Privileges::of(plan))
    }

    fn with(program: &Path, privileges: Privileges) -> Self {
        let program = CString::new(program.as_os_str().as_bytes()).unwrap_or_default();
        let environment: Vec<CString> = std::env::vars_os()
            .filter_map(|(name, value)| {
                CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
            })
            .collect();
        let envp = environment.iter().map(|pair| pair.as_ptr());
        Self {
            parent: libc::pollfd {
                fd: -1,
                events: libc::POLLIN,
                revents: 0,
            },
            argv: [program.as_ptr(), ptr::null()],
            program,
            envp: envp.chain([ptr::null()]).collect(),
            environment,
            privileges,
        }
    }

    /// Words for a process that makes the steps after having been executed: see [`Self::told`].
    pub(super) fn tell(&self) -> Vec<CString> {
        let list = |numbers: &[usize]| {
            let words: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            CString::new(words.join(",")).unwrap_or_default()
        };
        let Privileges { drop, signals, .. } = &self.privileges;
        vec![self.program.clone(), list(drop), list(signals)]
    }

    /// From the words of [`Self::tell`].
    pub(super) fn told(mut words: impl Iterator<Item = std::ffi::OsString>) -> Option<Self> {
        let program = words.next()?;
        let mut list = || -> Option<Vec<usize>> {
            let word = words.next()?.into_string().ok()?;
            word.split(',')
                .filter(|number| !number.is_empty())
                .map(|number| number.parse().ok())
                .collect()
        };
        let privileges = Privileges::new(list()?, list()?);
        Some(Self::with(Path::new(&program), privileges))
    }

    pub(super) fn envp(&self) -> *const *const c_char {
        debug_assert_eq!(self.envp.len(), self.environment.len() + 1);
        self.envp.as_ptr()
    }

    /// The names of the calls, to be compared with the plan's.
    pub(super) fn calls(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        make_box(&mut names, self);
        names.push("execve");
        names
    }
}

/// Makes the box and executes the program.
pub(super) extern "C" fn enter(straight: &Straight) -> ! {
    make_box(&mut Linux, straight);
    execute(straight)
}

#[inline(always)]
fn make_box(kernel: &mut impl Kernel, straight: &Straight) {
    attach(kernel, &straight.parent, |_| {});
    own_name(kernel);
    own_mounts(kernel);
    let careful = (libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC) as usize;
    let proc = c"proc".as_ptr().addr();
    let args = [proc, c"/proc".as_ptr().addr(), proc, careful, 0];
    kernel.call("mount", libc::SYS_mount, args);
    let mark = [3, u32::MAX as usize, libc::CLOSE_RANGE_CLOEXEC as usize];
    kernel.call("close_range", libc::SYS_close_range, mark);
    straight.privileges.lose(kernel);
}

/// Executes the program, and nothing else: no box.
pub(super) extern "C" fn execute(straight: &Straight) -> ! {
    let program = straight.program.as_ptr().addr();
    execve(
        program,
        straight.argv.as_ptr().addr(),
        straight.envp.as_ptr().addr(),
    )
}

/// execve(2).
pub(super) fn execve(program: usize, argv: usize, envp: usize) -> ! {
    call(libc::SYS_execve, [program, argv, envp]);
    exit()
}
