// SPDX-License-Identifier: MIT OR Apache-2.0
//! One launch of a template or of a pool, with words of its own.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use super::pool::Pool;
use super::template::Template;
use crate::error::Error;
use crate::plan::Words;
use crate::spec::{Origin, Violation};
use crate::supervise::Child;

/// Where the box comes from.
#[derive(Debug)]
pub(super) enum Source<'a> {
    Template(&'a Template),
    Pool(&'a Pool),
}

/// A launch with more arguments than the template's, or another environment. Nothing is compiled again. The
/// program is the one that was found with the template's PATH.
#[derive(Debug)]
pub struct Launch<'a> {
    from: Source<'a>,
    args: Vec<CString>,
    env: Vec<CString>,
    wrong: Vec<Violation>,
}

impl<'a> Launch<'a> {
    pub(super) fn new(from: Source<'a>) -> Self {
        Self {
            from,
            args: Vec::new(),
            env: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// Adds an argument to those of the template.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        let arg = self.word(arg.as_ref().as_bytes().to_vec(), "Launch::arg");
        self.args.extend(arg);
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
            self.env.extend(pair);
        }
        self
    }

    /// Leaves out a variable of the environment.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        let name = name.as_ref().as_bytes();
        if self.is_name(name, "Launch::env_remove") {
            let name = self.word(name.to_vec(), "Launch::env_remove");
            self.env.extend(name);
        }
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
                let words = Words::new(&template.plan.exec, &self.args, &self.env);
                let launched = template.start(Some(&words))?;
                Ok(launched.into_child(template.unmount_later))
            }
            Source::Pool(pool) => pool.take(&self.args, &self.env),
        }
    }
}
