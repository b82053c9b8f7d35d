// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program: argv, envp, the search through PATH, execve(2).

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use clonebox_child::{OnError, Slot};

use super::call::{Call, Value, quote, quoted_bare};
use super::draft::Draft;
use super::env;
use super::step::{Role, Steps, slot};
use super::tty;
use crate::spec::Spec;

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

/// What is executed.
#[derive(Debug)]
pub(crate) struct Exec {
    /// The program as it was named.
    pub(crate) program: OsString,
    /// The paths that are tried, in order.
    pub(crate) candidates: Vec<CString>,
    pub(crate) argv: CStringArray,
    pub(crate) envp: CStringArray,
}

impl Exec {
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
            Some(Role::Exec) | None => c"exec",
        };
        let told = [
            role.to_owned(),
            number(report.to_string()),
            tty::word(draft.terminal).to_owned(),
            number(candidates.len().to_string()),
        ];
        let told = told.into_iter().chain(candidates.iter().cloned());
        argv = told.chain(argv).collect();
    }
    Exec {
        program: spec.exec.program.clone(),
        candidates,
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

pub(crate) fn steps(spec: &Spec, exec: &Exec, steps: &mut Steps) {
    let origin = &spec.exec.origin;
    let program = match (&spec.init, &spec.rootfs) {
        (Some(init), _) => Some((init, "execute the init")),
        (None, Some(rootfs)) => Some((&rootfs.origin, "leave the launcher's executable")),
        (None, None) => None,
    };
    if let Some((origin, action)) = program {
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
