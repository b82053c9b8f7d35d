// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors: what could not be done, the call, who asked for it, and the way out.

mod hint;

use std::fmt;

use nix::errno::Errno;

use crate::cgroup::MakeError;
use crate::launch::{Cause, FailedCall, Failure};
use crate::pidfd::WaitStatus;
use crate::plan::{Plan, Role, Step, quoted_bare};
use crate::spec::{Origin, Spec, Violation};

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The description is wrong by itself.
    Spec,
    /// The parent could not do its part.
    Parent,
    /// The kernel refused to make the namespaces.
    Clone,
    /// A step of the set-up failed.
    Setup,
    /// The program could not be executed.
    Exec,
    /// The set-up took longer than the start timeout.
    StartTimeout,
    /// The child was killed during the set-up.
    Killed,
    /// The state of boxes with names is not as it has to be: a name is taken, or there is no such box.
    State,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedStep {
    /// Its number, counted from 1; `None` for one of the parent.
    pub number: Option<usize>,
    /// How many there are.
    pub count: usize,
    /// The system call, as strace(1) prints it.
    pub call: String,
    /// Who asked for it.
    pub origin: Origin,
}

/// Why there is no box. Nothing of it is left.
///
/// Its `Display` is one line for people: `cannot <verb> <object>: <system text> (<ERRNO>)`.
/// [`detail`](Self::detail) has the rest.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    errno: Option<Errno>,
    step: Option<FailedStep>,
    hint: Option<String>,
    source: Option<std::sync::Arc<std::io::Error>>,
}

impl Error {
    fn new(kind: ErrorKind, action: &str, errno: Errno) -> Self {
        Self(Box::new(Inner {
            kind,
            message: format!("cannot {action}: {} ({})", errno.desc(), name(errno)),
            errno: Some(errno),
            step: None,
            hint: None,
            source: Some(std::sync::Arc::new(errno.into())),
        }))
    }

    fn without_errno(kind: ErrorKind, message: String) -> Self {
        Self(Box::new(Inner {
            kind,
            message,
            errno: None,
            step: None,
            hint: None,
            source: None,
        }))
    }

    pub(crate) fn violations(violations: &[Violation]) -> Self {
        let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
        Self::without_errno(ErrorKind::Spec, lines.join("\n"))
    }

    pub(crate) fn parent(action: &str, errno: Errno) -> Self {
        let mut error = Self::new(ErrorKind::Parent, action, errno);
        error.0.hint = hint::parent(action, errno);
        error
    }

    pub(crate) fn state(message: String) -> Self {
        Self::without_errno(ErrorKind::State, message)
    }

    pub(crate) fn state_failed(action: &str, errno: Errno) -> Self {
        Self::new(ErrorKind::State, action, errno)
    }

    pub(crate) fn launch(failure: Failure, plan: &Plan, spec: &Spec) -> Self {
        let mut error = Self::told(failure, plan, spec);
        let Inner { hint, errno, .. } = &mut *error.0;
        *hint = hint.take().or_else(|| errno.and_then(hint::everywhere));
        error
    }

    fn told(failure: Failure, plan: &Plan, spec: &Spec) -> Self {
        let failure = match failure {
            // A box that is ending takes no process any more, and kills those that it has.
            Failure::NoProcess(Errno::ENOMEM)
            | Failure::Step(_, Errno::ESRCH)
            | Failure::Killed(..)
                if hint::ends(spec) =>
            {
                Failure::BoxEnded
            }
            Failure::Step(..) | Failure::Exec(..) if hint::has_ended(spec) => Failure::BoxEnded,
            failure => failure,
        };
        match failure {
            Failure::Parent(action, errno) => Self::parent(action, errno),
            Failure::Call(failed) => Self::call_failed(*failed, plan, spec),
            Failure::BoxEnded => {
                let name = spec.join.as_ref().map_or("", |join| join.value.name());
                Self::state(format!("the box {name} has ended"))
            }
            Failure::NoProcess(errno) => {
                let action = "make a process in the process namespace of the box";
                let mut error = Self::new(ErrorKind::Setup, action, errno);
                error.0.hint = hint::joined(spec, errno);
                error
            }
            Failure::Limit(failure) => Self::limit_failed(failure, plan),
            Failure::Clone(errno) => Self::clone_failed(errno, plan),
            Failure::Step(index, errno) => Self::step_failed(index, errno, plan, spec),
            Failure::Exec(candidate, errno) => Self::init_failed(candidate, errno, plan, spec),
            Failure::Killed(index, status) => {
                let (WaitStatus::Exited(number)
                | WaitStatus::Killed(number)
                | WaitStatus::Dumped(number)
                | WaitStatus::Stopped(number)) = status;
                let how = match status {
                    WaitStatus::Exited(_) => format!("exited with {number}"),
                    _ => format!("was killed by {}", crate::plan::signal_name(number)),
                };
                let mut error = Self::without_errno(
                    ErrorKind::Killed,
                    format!("the box {how} before its program was executed"),
                );
                error.0.step = failed_step(index, plan);
                error
            }
            Failure::TimeNamespace => {
                let mut error = Self::new(
                    ErrorKind::Setup,
                    "enter the time namespace at execve",
                    Errno::EOPNOTSUPP,
                );
                error.0.hint = Some("this kernel does so for forked children only; a newer one does at execve (6.1 does not, 6.12 does)".to_owned());
                error
            }
            Failure::Late(index) => {
                let timeout = plan.start_timeout.unwrap_or_default().as_secs_f64();
                let mut error = Self::without_errno(
                    ErrorKind::StartTimeout,
                    format!("the box did not start within {timeout} s and was killed"),
                );
                error.0.step = failed_step(index, plan);
                error
            }
        }
    }

    fn limit_failed(failure: MakeError, plan: &Plan) -> Self {
        let MakeError {
            action,
            errno,
            file,
        } = failure;
        let mut error = Self::new(ErrorKind::Parent, &action, errno);
        error.0.hint = hint::limit(errno, file.as_ref());
        error.0.step = file.map(|file| FailedStep {
            number: None,
            count: plan.steps.len(),
            call: format!("write({:?}, {:?})", file.name, file.value),
            origin: file.origin,
        });
        error
    }

    fn call_failed(failed: FailedCall, plan: &Plan, spec: &Spec) -> Self {
        let FailedCall {
            action,
            call,
            cause,
            origin,
            maps,
        } = failed;
        let hint = match (&cause, &maps) {
            (Cause::Errno(errno), Some(path)) => hint::idmap(*errno, path),
            (Cause::Words(_), None) if call.starts_with("pasta ") => hint::pasta(spec),
            (Cause::Words(_), None) => hint::helper(&call),
            _ => None,
        };
        let mut error = match cause {
            Cause::Errno(errno) => Self::new(ErrorKind::Parent, &action, errno),
            Cause::Words(words) => {
                Self::without_errno(ErrorKind::Parent, format!("cannot {action}: {words}"))
            }
        };
        error.0.hint = hint;
        error.0.step = Some(FailedStep {
            number: None,
            count: plan.steps.len(),
            call,
            origin,
        });
        error
    }

    fn clone_failed(errno: Errno, plan: &Plan) -> Self {
        let kinds: Vec<&str> = plan.clone.origins.iter().map(|(kind, _)| *kind).collect();
        let action = match kinds[..] {
            [] => "make a process".to_owned(),
            _ => format!("make the box's namespaces ({})", kinds.join(", ")),
        };
        let mut error = Self::new(ErrorKind::Clone, &action, errno);
        let asked = plan
            .clone
            .origins
            .iter()
            .find(|(_, origin)| *origin != Origin::Default);
        error.0.step = Some(FailedStep {
            number: None,
            count: plan.steps.len(),
            call: plan.clone.show(),
            origin: asked.map_or(Origin::Default, |(_, origin)| origin.clone()),
        });
        error.0.hint = hint::clone(errno, plan);
        error
    }

    fn step_failed(index: usize, errno: Errno, plan: &Plan, spec: &Spec) -> Self {
        let executes = plan.executes(index);
        let kind = if executes && plan.role.is_none() {
            ErrorKind::Exec
        } else {
            ErrorKind::Setup
        };
        let step = plan.steps.get(index);
        // A program that was named without a path is not to be found anywhere, not in the last place.
        let missing = kind == ErrorKind::Exec
            && matches!(errno, Errno::ENOENT | Errno::ENOTDIR)
            && plan.exec.is_searched();
        let action = match step {
            _ if missing => format!(
                "find {} in PATH",
                quoted_bare(plan.exec.program.as_encoded_bytes())
            ),
            Some(step) => step.action.to_string(),
            None => "make an unknown step".to_owned(),
        };
        let mut error = Self::new(kind, &action, errno);
        error.0.step = failed_step(index, plan);
        error.0.hint = match (kind, step) {
            (ErrorKind::Exec, _) => hint::exec(candidate(index, plan), errno, plan, spec),
            (_, Some(step)) => hint::step(step, errno, plan, spec),
            (_, None) => None,
        };
        error
    }

    fn init_failed(candidate: usize, errno: Errno, plan: &Plan, spec: &Spec) -> Self {
        let path = plan
            .exec
            .candidates
            .get(candidate)
            .map_or(&[][..], |path| path.as_bytes());
        let missing = matches!(errno, Errno::ENOENT | Errno::ENOTDIR) && plan.exec.is_searched();
        let action = if missing {
            format!(
                "find {} in PATH",
                quoted_bare(plan.exec.program.as_encoded_bytes())
            )
        } else {
            format!("execute {}", quoted_bare(path))
        };
        let mut error = Self::new(ErrorKind::Exec, &action, errno);
        error.0.step = Some(FailedStep {
            number: None,
            count: plan.steps.len(),
            call: format!(
                "execve({}, …) by the {}",
                crate::plan::quoted(path),
                if plan.role == Some(Role::Init) {
                    "init"
                } else {
                    "child"
                },
            ),
            origin: spec.exec.origin.clone(),
        });
        error.0.hint = hint::exec(candidate, errno, plan, spec);
        error
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The kernel's answer, if it is one: a number of errno(3).
    pub fn errno(&self) -> Option<i32> {
        self.0.errno.map(|errno| errno as i32)
    }

    /// The step that failed.
    pub fn step(&self) -> Option<&FailedStep> {
        self.0.step.as_ref()
    }

    /// What would help, if a look at the host has confirmed it.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// What a command should exit with: 127 for a program that is not there, 126 for one that cannot
    /// be executed, 125 for everything else.
    pub fn exit_code(&self) -> u8 {
        match (self.0.kind, self.0.errno) {
            (ErrorKind::Exec, Some(Errno::ENOENT | Errno::ENOTDIR)) => 127,
            (ErrorKind::Exec, _) => 126,
            _ => 125,
        }
    }

    /// Step, origin and hint, a line each, indented by two; empty if there is none of them.
    pub fn detail(&self) -> String {
        let mut lines = Vec::new();
        if let Some(step) = &self.0.step {
            let number = match step.number {
                Some(number) => format!("step {number}/{}", step.count),
                None => "call".to_owned(),
            };
            lines.push(format!("  {number:<12} {}", step.call));
            lines.push(format!("  {:<12} {}", "asked by", step.origin));
        }
        if let Some(hint) = &self.0.hint {
            lines.push(format!("  {:<12} {hint}", "hint"));
        }
        lines.join("\n")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        let kind = error
            .0
            .errno
            .map_or(std::io::ErrorKind::Other, |errno| Self::from(errno).kind());
        Self::new(kind, error)
    }
}

fn failed_step(index: usize, plan: &Plan) -> Option<FailedStep> {
    let step: &Step = plan.steps.get(index)?;
    Some(FailedStep {
        number: Some(index + 1),
        count: plan.steps.len(),
        call: plan.show(step),
        origin: step.origin.clone(),
    })
}

/// Which candidate the execve of this index tries.
fn candidate(index: usize, plan: &Plan) -> usize {
    index + plan.exec.candidates.len() - plan.steps.len()
}

/// The name of an errno, such as `EPERM`.
fn name(errno: Errno) -> String {
    match errno {
        Errno::UnknownErrno => "unknown errno".to_owned(),
        errno => format!("{errno:?}"),
    }
}
