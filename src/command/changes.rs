// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one launch has in the place of what its template says.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use nix::errno::Errno;

use super::stdio::{Ends, Stdio};
use crate::error::Error;
use crate::launch::{Cause, FailedCall, Failure};
use crate::plan::{Plan, Words, quoted, quoted_bare};
use crate::spec::{Origin, Redirect, Setting, Spec};

/// What one launch has in the place of what its template says.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Arguments that come after the template's.
    pub(super) args: Vec<CString>,
    /// `NAME=value` for each variable that is set, and `NAME` for each that is removed.
    pub(super) env: Vec<CString>,
    pub(super) stdio: [Option<Stdio>; 3],
    pub(super) hostname: Option<CString>,
    pub(super) workdir: Option<CString>,
}

impl Changes {
    /// argv and envp, if they are not the plan's.
    pub(super) fn words<'a>(&'a self, plan: &'a Plan) -> Option<Words<'a>> {
        let none = self.args.is_empty() && self.env.is_empty();
        (!none).then(|| Words::new(&plan.exec, &self.args, &self.env))
    }

    /// Opens the streams.
    pub(super) fn open(&self) -> Result<[Option<Ends>; 3], Error> {
        let open = |stream: usize| {
            let stdio = self.stdio[stream].as_ref();
            stdio.map(|stdio| stdio.ends(stream)).transpose()
        };
        Ok([open(0)?, open(1)?, open(2)?])
    }

    /// Why a box that stood has not got its program.
    pub(super) fn cannot_enter(&self, errno: Errno) -> Failure {
        let path = self
            .workdir
            .as_ref()
            .map_or(&[][..], |path| path.as_bytes());
        Failure::Call(Box::new(FailedCall {
            action: format!("enter the working directory {}", quoted_bare(path)),
            call: format!("chdir({})", quoted(path)),
            cause: Cause::Errno(errno),
            origin: Origin::Call("Launch::current_dir"),
            maps: None,
        }))
    }

    /// A description of the launch as a whole, to compile or to tell what has failed.
    pub(super) fn applied(&self, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        Shape::of(&spec, self).apply(&mut spec);
        let args = self.args.iter().map(|arg| os(arg));
        spec.exec.args.extend(args);
        for change in &self.env {
            let bytes = change.to_bytes();
            let end = bytes.iter().position(|&byte| byte == b'=');
            let (name, value) = bytes.split_at(end.unwrap_or(bytes.len()));
            let value = value.get(1..).map(|value| OsStr::from_bytes(value).into());
            let name = OsStr::from_bytes(name).into();
            let change = Setting::new((name, value), Origin::Call("Launch::env"));
            spec.env.changes.push(change);
        }
        if let Some(hostname) = &self.hostname {
            let hostname = hostname.to_string_lossy().into_owned();
            spec.hostname = Some(Setting::new(hostname, Origin::Call("Launch::hostname")));
        }
        if let Some(workdir) = &self.workdir {
            let workdir = PathBuf::from(os(workdir));
            let origin = Origin::Call("Launch::current_dir");
            spec.workdir = Some(Setting::new(workdir, origin));
        }
        spec
    }
}

fn os(text: &CStr) -> OsString {
    OsString::from_vec(text.to_bytes().to_vec())
}

/// What decides which steps a launch has: whether each stream is supplied or the caller's, and whether there is a
/// working directory. Launches of one shape have one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    stdio: [Redirect; 3],
    workdir: bool,
}

impl Shape {
    pub(super) fn of(spec: &Spec, changes: &Changes) -> Self {
        let stdio = std::array::from_fn(|stream: usize| {
            let changed = changes.stdio[stream].as_ref();
            changed.map_or(spec.stdio[stream], Stdio::redirect)
        });
        Self {
            stdio,
            workdir: spec.workdir.is_some() || changes.workdir.is_some(),
        }
    }

    /// Gives a description this shape. A working directory is each launch's own then.
    pub(super) fn apply(self, spec: &mut Spec) {
        spec.stdio = self.stdio;
        if self.workdir && spec.workdir.is_none() {
            let origin = Origin::Call("Launch::current_dir");
            spec.workdir = Some(Setting::new(PathBuf::from("/"), origin));
        }
    }
}
