// SPDX-License-Identifier: MIT OR Apache-2.0
//! One launch of a template or of a pool, with words and more of its own.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::changes::Changes;
use super::pool::Pool;
use super::stdio::Stdio;
use super::template::Template;
use crate::error::Error;
use crate::spec::{self, Namespace, Origin, Violation};
use crate::supervise::Child;

/// Where the box comes from.
#[derive(Debug)]
pub(super) enum Source<'a> {
    Template(&'a Template),
    Pool(&'a Pool),
}

/// A launch with more arguments than the template's, or with another environment, other streams, another host
/// name or working directory. The program is the one that was found with the template's PATH.
///
/// Nothing is compiled again, with one exception: the first launch in which a stream is the caller's that is
/// not in the template, or the other way round, or which has a working directory where the template has none,
/// compiles the plan of all launches of that kind.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if !clonebox::doc_test_can_launch() { return Ok(()); }
/// use clonebox::{Command, Stdio};
///
/// let template = Command::new("/bin/sh").arg("-c").stdout(Stdio::piped()).prepare()?;
/// let mut launch = template.launch();
/// let child = launch.arg("cat /proc/sys/kernel/hostname; pwd").hostname("one").current_dir("/").spawn()?;
/// assert_eq!(child.wait_with_output()?.stdout, b"one\n/\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Launch<'a> {
    from: Source<'a>,
    changes: Changes,
    wrong: Vec<Violation>,
}

impl<'a> Launch<'a> {
    pub(super) fn new(from: Source<'a>) -> Self {
        Self {
            from,
            changes: Changes::default(),
            wrong: Vec::new(),
        }
    }

    /// Adds an argument to those of the template.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        let arg = self.word(arg.as_ref().as_bytes().to_vec(), "Launch::arg");
        self.changes.args.extend(arg);
        self
    }

    /// Adds arguments to those of the template.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        for arg in args {
            self.arg(arg);
        }
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        let (name, value) = (name.as_ref().as_bytes(), value.as_ref().as_bytes());
        if self.is_name(name, "Launch::env") {
            let pair = self.word([name, b"=", value].concat(), "Launch::env");
            self.changes.env.extend(pair);
        }
        self
    }

    /// Leaves out a variable of the environment.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        let name = name.as_ref().as_bytes();
        if self.is_name(name, "Launch::env_remove") {
            let name = self.word(name.to_vec(), "Launch::env_remove");
            self.changes.env.extend(name);
        }
        self
    }

    /// Sets standard input.
    pub fn stdin(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stream(0, stdio.into())
    }

    /// Sets standard output.
    pub fn stdout(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stream(1, stdio.into())
    }

    /// Sets standard error.
    pub fn stderr(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stream(2, stdio.into())
    }

    fn stream(&mut self, number: usize, stdio: Stdio) -> &mut Self {
        self.changes.stdio[number] = Some(stdio);
        self
    }

    /// Sets the host name: 1 to 64 bytes. A box of a pool has one already.
    pub fn hostname(&mut self, hostname: impl AsRef<str>) -> &mut Self {
        const ORIGIN: &str = "Launch::hostname";
        let hostname = hostname.as_ref();
        let spec = match self.from {
            Source::Template(template) => template.spec(),
            Source::Pool(pool) => {
                self.complain("a box of a pool has its host name already", ORIGIN);
                pool.spec()
            }
        };
        if spec.namespaces.uts.value == Namespace::Host {
            let of = format!(
                "the box has no host name of its own ({})",
                spec.namespaces.uts.origin
            );
            self.complain(&of, ORIGIN);
        }
        self.wrong
            .extend(spec::host_name(hostname, &Origin::Call(ORIGIN)));
        self.changes.hostname = CString::new(hostname).ok();
        self
    }

    /// Sets the working directory: an absolute path in the box.
    pub fn current_dir(&mut self, path: impl AsRef<Path>) -> &mut Self {
        let path = path.as_ref();
        let origin = Origin::Call("Launch::current_dir");
        self.wrong.extend(spec::working_directory(path, &origin));
        self.changes.workdir = CString::new(path.as_os_str().as_bytes()).ok();
        self
    }

    fn is_name(&mut self, name: &[u8], origin: &'static str) -> bool {
        let good = !name.is_empty() && !name.contains(&b'=');
        if !good {
            let reason = "the name of a variable is empty or has a = in it";
            self.complain(reason, origin);
        }
        good
    }

    fn word(&mut self, bytes: Vec<u8>, origin: &'static str) -> Option<CString> {
        let word = CString::new(bytes).ok();
        if word.is_none() {
            self.complain("a word has a NUL in it", origin);
        }
        word
    }

    fn complain(&mut self, reason: &str, origin: &'static str) {
        self.wrong.push(Violation {
            reason: reason.to_owned(),
            origin: Origin::Call(origin),
        });
    }

    /// Starts the box: its program has been executed when this returns.
    ///
    /// # Errors
    ///
    /// Of every [`ErrorKind`](crate::ErrorKind); `Spec` is about the words. Nothing of the box is left then.
    pub fn spawn(&self) -> Result<Child, Error> {
        if !self.wrong.is_empty() {
            return Err(Error::violations(&self.wrong));
        }
        match self.from {
            Source::Template(template) => {
                let launched = template.start(Some(&self.changes))?;
                Ok(launched.into_child())
            }
            Source::Pool(pool) => pool.take(&self.changes),
        }
    }
}
