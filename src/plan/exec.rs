// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program: argv, envp, the search through PATH, execve(2).

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use clonebox_child::{OnError, Slot};

use super::call::{Call, Value, quote, quoted_bare};
use super::draft::Draft;
use super::env;
use super::slot;
use super::step::{Role, Steps};
use super::tty;

/// Where the shell looks when there is no PATH (and what sudo and Debian's login set for root).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const AT_FLAGS: &[(&str, u64)] = &[("AT_EMPTY_PATH", libc::AT_EMPTY_PATH as u64)];

/// Strings and the NULL-terminated array of their addresses that execve(2) reads.
pub(crate) struct CStringArray {
    strings: Vec<CString>,
    addresses: Vec<usize>,
}

impl CStringArray {
    pub(crate) fn new(strings: Vec<CString>) -> Self {
        let addresses = strings
            .iter()
            .map(|one| one.as_ptr().expose_provenance())
            .chain([0])
            .collect();
        Self { strings, addresses }
    }

    /// The address of the array.
    pub(crate) fn address(&self) -> usize {
        self.addresses.as_ptr().expose_provenance()
    }

    pub(crate) fn strings(&self) -> &[CString] {
        &self.strings
    }
}

impl fmt::Debug for CStringArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.strings.fmt(f)
    }
}

/// argv and envp of one launch: those of the plan, with what is added and changed.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    /// Of our program and the program's, as in [`Exec`].
    pub(crate) argv: Vec<&'a CStr>,
    pub(crate) envp: Vec<&'a CStr>,
    addresses: [Vec<usize>; 2],
}

impl<'a> Words<'a> {
    /// `env` has `NAME=value` for each variable that is set, and `NAME` for each that is removed.
    pub(crate) fn new(exec: &'a Exec, args: &'a [CString], env: &'a [CString]) -> Self {
        let name = |pair: &CStr| {
            let bytes = pair.to_bytes();
            let end = bytes.iter().position(|&byte| byte == b'=');
            bytes[..end.unwrap_or(bytes.len())].to_vec()
        };
        let old = exec.argv.strings.iter();
        let argv: Vec<&CStr> = old.chain(args).map(CString::as_c_str).collect();
        let mut envp: Vec<&CStr> = exec.envp.strings.iter().map(CString::as_c_str).collect();
        for change in env {
            let changed = name(change);
            envp.retain(|pair| name(pair) != changed);
            if change.to_bytes().contains(&b'=') {
                envp.push(change);
            }
        }
        let address = |one: &&CStr| one.as_ptr().expose_provenance();
        let addresses = [&argv, &envp].map(|words| words.iter().map(address).chain([0]).collect());
        Self {
            argv,
            envp,
            addresses,
        }
    }

    /// The addresses of the arrays.
    pub(crate) fn addresses(&self) -> [usize; 2] {
        [0, 1].map(|array: usize| self.addresses[array].as_ptr().expose_provenance())
    }
}

/// What is executed.
#[derive(Debug)]
pub(crate) struct Exec {
    /// The program as it was named.
    pub(crate) program: OsString,
    /// The paths that are tried, in order.
    pub(crate) candidates: Vec<CString>,
    /// How many of argv are for our program; the rest is the program's.
    pub(crate) told: usize,
    pub(crate) argv: CStringArray,
    pub(crate) envp: CStringArray,
}

impl Exec {
    /// Nothing.
    pub(super) fn none() -> Self {
        Self {
            program: OsString::new(),
            candidates: Vec::new(),
            told: 0,
            argv: CStringArray::new(Vec::new()),
            envp: CStringArray::new(Vec::new()),
        }
    }

    /// Whether the program is a name to look for in PATH, and no path.
    pub(crate) fn is_searched(&self) -> bool {
        !self.program.as_bytes().contains(&b'/')
    }

    /// A word of a launch as strace(1) prints it. argv and envp are known already.
    pub(crate) fn show_slot(&self, slot: Slot, out: &mut impl fmt::Write) -> fmt::Result {
        match slot {
            slot::ARGV => {
                out.write_char('[')?;
                for (index, arg) in self.argv.strings.iter().enumerate() {
                    out.write_str(if index > 0 { ", " } else { "" })?;
                    quote(arg.as_bytes(), out)?;
                }
                out.write_char(']')
            }
            slot::ENVP => write!(out, "/* {} vars */", self.envp.strings.len()),
            slot::PARENT => out.write_str("[{fd=<parent>, events=POLLIN}]"),
            _ => out.write_str(slot::name(slot)),
        }
    }
}

/// Prepares what is executed. The strings have been validated: none contains a NUL.
pub(super) fn prepare(draft: &Draft<'_>) -> Exec {
    let spec = draft.spec;
    let environment = env::compose(draft);
    let path = environment.get(OsStr::new("PATH"));
    let candidates = candidates(&spec.exec.program, path.copied());
    let mut count = 0;
    let mut argv: Vec<CString> = spec
        .exec
        .argv()
        .map(|arg| c_string(arg.as_bytes().to_vec()))
        .collect();
    if let Some(report) = draft.numbers.report {
        // What our program is told: its role, where to report, what terminal there is, how many
        // candidates, the candidates, argv.
        let number = |number: String| c_string(number.into_bytes());
        let role = match draft.role() {
            Some(Role::Init) => c"init",
            Some(Role::Join) => c"join",
            Some(Role::Stand) => c"stand",
            Some(Role::Exec) | None => c"exec",
        };
        let told = [
            role.to_owned(),
            number(report.to_string()),
            tty::word(draft.terminal).to_owned(),
            number(candidates.len().to_string()),
        ];
        let all = told.into_iter().chain(candidates.iter().cloned());
        let program = std::mem::replace(&mut argv, all.collect());
        count = argv.len();
        argv.extend(program);
    }
    Exec {
        program: spec.exec.program.clone(),
        candidates,
        told: count,
        argv: CStringArray::new(argv),
        envp: CStringArray::new(env::pairs(&environment)),
    }
}

/// The paths to try: the program itself when it has a `/`, otherwise the program in each directory
/// of PATH, of which an empty one is the working directory (POSIX, 8.3 "Other Environment
/// Variables").
fn candidates(program: &OsStr, path: Option<&OsStr>) -> Vec<CString> {
    let program = program.as_bytes();
    if program.contains(&b'/') {
        return vec![c_string(program.to_vec())];
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    path.as_bytes()
        .split(|&byte| byte == b':')
        .map(|directory| {
            let directory = if directory.is_empty() {
                b"."
            } else {
                directory
            };
            c_string([directory, b"/", program].concat())
        })
        .collect()
}

pub(crate) fn c_string(bytes: Vec<u8>) -> CString {
    // Validation has refused NUL; what is cut here never was asked for.
    CString::new(bytes).unwrap_or_else(|error| {
        let end = error.nul_position();
        let mut bytes = error.into_vec();
        bytes.truncate(end);
        CString::new(bytes).unwrap_or_default()
    })
}

pub(super) fn steps(draft: &Draft<'_>, exec: &Exec, steps: &mut Steps) {
    let origin = &draft.spec.exec.origin;
    let action = draft.role().map(|role| match role {
        Role::Init => "execute the init",
        Role::Exec => "leave the launcher's executable",
        Role::Join => "enter the process namespace of the box",
        Role::Stand => "stand until there is a program",
    });
    if let Some(action) = action {
        let origin = draft.program_origin();
        let call = Call::new(
            "execveat",
            libc::SYS_execveat,
            [
                Value::Slot(slot::INIT),
                Value::Static(c""),
                Value::Slot(slot::ARGV),
                Value::Slot(slot::ENVP),
                Value::Flags(AT_FLAGS, libc::AT_EMPTY_PATH as u64),
            ],
        );
        steps.push(origin, action, call);
        return;
    }
    for candidate in &exec.candidates {
        let call = Call::new(
            "execve",
            libc::SYS_execve,
            [
                Value::Text(candidate.clone()),
                Value::Slot(slot::ARGV),
                Value::Slot(slot::ENVP),
            ],
        );
        let action = format!("execute {}", quoted_bare(candidate.as_bytes()));
        steps.push(origin, action, call.on_error(OnError::TryNext));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(program: &str, path: Option<&str>) -> Vec<String> {
        candidates(OsStr::new(program), path.map(OsStr::new))
            .into_iter()
            .map(|path| path.into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_name_is_looked_for_as_the_shell_does() {
        assert_eq!(tried("sh", Some("/a:/b")), ["/a/sh", "/b/sh"]);
        assert_eq!(tried("sh", Some(":/b:")), ["./sh", "/b/sh", "./sh"]);
        assert_eq!(tried("./sh", Some("/a")), ["./sh"]);
        assert_eq!(tried("a/sh", Some("/a")), ["a/sh"]);
        assert_eq!(tried("sh", None).last().unwrap(), "/bin/sh");
    }
}
