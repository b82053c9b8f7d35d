// SPDX-License-Identifier: MIT OR Apache-2.0
//! The builder, in the manner of [`std::process::Command`].

/// A setting whose origin is the method that made it.
macro_rules! setting {
    ($method:literal, $value:expr) => {
        Setting::new($value, Origin::Call(concat!("Command::", $method)))
    };
}

mod changes;
mod confine;
mod launch;
mod namespaces;
mod pool;
mod rootfs;
mod stdio;
mod template;

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Output};
use std::sync::Arc;
use std::time::Duration;

pub use launch::Launch;
pub use pool::Pool;
pub use stdio::Stdio;
pub use template::{Template, TemplateMounts};

use crate::errno;
use crate::error::Error;
use crate::spec::{Join, Login, Origin, ParentDeath, Rlimit, Selection, Setting, Spec, Tty, User};
use crate::state::PinnedTemplate;
use crate::supervise::Child;

/// A box to be started: a program, as in [`std::process::Command`], and the walls around it.
///
/// Without further words it gets host name, process ids and mounts of its own, keeps few capabilities,
/// and is killed when the calling process dies. A caller without the right to make namespaces gets a
/// user namespace in which it is root.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if !clonebox::doc_test_can_launch() { return Ok(()); }
/// let output = clonebox::Command::new("/bin/sh")
///     .args(["-c", "hostname; echo $$"])
///     .hostname("web")
///     .output()?;
/// assert_eq!(output.stdout, b"web\n1\n");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Command {
    /// Shared with the templates that were made of it, as long as it does not change.
    spec: Arc<Spec>,
    stdio: [Option<Stdio>; 3],
    template_mounts: TemplateMounts,
    unmount_later: bool,
}

impl Command {
    /// A box around `program`: a path if it contains a `/`, otherwise a name that is looked for in the
    /// box's PATH.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Spec::new(program.as_ref()).into()
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.spec_mut().exec.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.spec_mut()
            .exec
            .args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets `argv[0]`, which is the program otherwise.
    pub fn arg0(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.spec_mut().exec.arg0 = Some(arg.as_ref().to_owned());
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        let pair = (name.as_ref().to_owned(), Some(value.as_ref().to_owned()));
        self.spec_mut().env.changes.push(setting!("env", pair));
        self
    }

    /// Leaves out a variable of the environment.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        let pair: (OsString, Option<OsString>) = (name.as_ref().to_owned(), None);
        self.spec_mut()
            .env
            .changes
            .push(setting!("env_remove", pair));
        self
    }

    /// Leaves out the caller's environment, and forgets what was set before.
    pub fn env_clear(&mut self) -> &mut Self {
        self.spec_mut().env.clear = Some(Origin::Call("Command::env_clear"));
        self.spec_mut().env.changes.clear();
        self
    }

    /// Starts the program in a box that runs, instead of a new one: see [`Entry::join`](crate::Entry::join). It gets
    /// the namespaces, cgroups and root of the box, and is confined as its first process was: what else is said
    /// of namespaces, mounts, limits or filters is an error. Its user, directory and capabilities are those of
    /// the box unless set otherwise; a capability that is [added](Self::cap_add) may be more than the box has.
    ///
    /// It is killed when the calling process dies, and when the box ends; what it has started itself ends with the
    /// box. As it is a child of the calling process, a box with process ids of its own has not ended until
    /// it has been waited for: pid_namespaces(7).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use clonebox::{Command, Registry};
    ///
    /// let web = Registry::of_user()?.find("web")?;
    /// let status = Command::new("ps").arg("ax").join(web.join()?).status()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn join(&mut self, join: Join) -> &mut Self {
        self.spec_mut().join = Some(setting!("join", join));
        self
    }

    /// Sets the working directory: an absolute path in the box.
    pub fn current_dir(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        self.spec_mut().workdir = Some(setting!("current_dir", path.into()));
        self
    }

    /// Sets standard input.
    pub fn stdin(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stdio[0] = Some(stdio.into());
        self
    }

    /// Sets standard output.
    pub fn stdout(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stdio[1] = Some(stdio.into());
        self
    }

    /// Sets standard error.
    pub fn stderr(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stdio[2] = Some(stdio.into());
        self
    }

    /// Names the box; the name is also its host name unless [`hostname`](Self::hostname) sets another.
    pub fn name(&mut self, name: impl Into<String>) -> &mut Self {
        self.spec_mut().name = Some(setting!("name", name.into()));
        self
    }

    /// Keeps a capability more than the default ones.
    pub fn cap_add(&mut self, capability: Selection) -> &mut Self {
        self.spec_mut()
            .caps
            .add
            .push(setting!("cap_add", capability));
        self
    }

    /// Drops a capability of the default ones.
    pub fn cap_drop(&mut self, capability: Selection) -> &mut Self {
        self.spec_mut()
            .caps
            .drop
            .push(setting!("cap_drop", capability));
        self
    }

    /// Runs the program as this user.
    pub fn user(&mut self, user: User) -> &mut Self {
        self.spec_mut().user = Some(setting!("user", user));
        self
    }

    /// Runs the program as the user of this name in the box's own /etc/passwd.
    pub fn login(&mut self, login: Login) -> &mut Self {
        self.spec_mut().login = Some(setting!("login", login));
        self
    }

    /// Sets the file mode creation mask: 0 to 0o777.
    pub fn umask(&mut self, umask: u32) -> &mut Self {
        self.spec_mut().umask = Some(setting!("umask", umask));
        self
    }

    /// Sets a resource limit.
    pub fn rlimit(&mut self, rlimit: Rlimit) -> &mut Self {
        self.spec_mut().rlimits.push(setting!("rlimit", rlimit));
        self
    }

    /// Sets what is added to the badness of the program when memory runs out: -1000 to 1000.
    pub fn oom_score_adj(&mut self, adj: i32) -> &mut Self {
        self.spec_mut().oom_score_adj = Some(setting!("oom_score_adj", adj));
        self
    }

    /// Sets the nice value: -20 to 19.
    pub fn nice(&mut self, nice: i32) -> &mut Self {
        self.spec_mut().nice = Some(setting!("nice", nice));
        self
    }

    /// Passes a descriptor of the caller on under its own number, 3 or higher.
    pub fn pass_fd(&mut self, fd: RawFd) -> &mut Self {
        self.spec_mut().fds.push(setting!("pass_fd", fd));
        self
    }

    /// Chooses the terminal.
    pub fn tty(&mut self, tty: Tty) -> &mut Self {
        self.spec_mut().tty = setting!("tty", tty);
        self
    }

    /// Chooses whether execve(2) may still grant privileges.
    pub fn no_new_privs(&mut self, no_new_privs: bool) -> &mut Self {
        self.spec_mut().no_new_privs = setting!("no_new_privs", no_new_privs);
        self
    }

    /// Chooses what becomes of the box when the calling process dies.
    pub fn parent_death(&mut self, parent_death: ParentDeath) -> &mut Self {
        self.spec_mut().parent_death = setting!("parent_death", parent_death);
        self
    }

    /// Puts a small init into the box that forwards signals and reaps orphans.
    pub fn init(&mut self, init: bool) -> &mut Self {
        self.spec_mut().init = init.then_some(Origin::Call("Command::init"));
        self
    }

    /// Limits the time that the set-up may take, until the program is executed.
    pub fn start_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.spec_mut().start_timeout = Some(setting!("start_timeout", timeout));
        self
    }

    /// Chooses whether the time of each step is taken: see [`Child::timings`].
    pub fn timings(&mut self, timings: bool) -> &mut Self {
        self.spec_mut().timings = timings;
        self
    }

    /// Chooses what [`prepare`](Self::prepare) makes once for all launches; a launch without it makes all
    /// itself.
    pub fn template_mounts(&mut self, mounts: TemplateMounts) -> &mut Self {
        self.template_mounts = mounts;
        self
    }

    /// Chooses whether [`Child::wait`] may tell of the end of a box before its mounts are taken away, which a
    /// thread of the library then does within milliseconds. It is a good part of the wait; whoever wants to
    /// unmount what was in the box needs it done. A box of a [`Pool`] then costs another descriptor while it stands.
    /// Linux 6.11 or later; before, it changes nothing.
    pub fn unmount_later(&mut self, later: bool) -> &mut Self {
        self.unmount_later = later;
        self
    }

    /// Compiles the command, to be launched any number of times, and makes the mounts that the launches can
    /// have in common: see [`Template`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Spec`](crate::ErrorKind::Spec), with all that is wrong with it; any other if mounts
    /// cannot be made.
    pub fn prepare(&self) -> Result<Template, Error> {
        let inherit = Stdio::inherit();
        self.prepare_with(&inherit, &inherit, self.template_mounts, None)
    }

    /// The same with the mounts of a template that somebody has created before: see [`Templates`](crate::Templates).
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare); and [`ErrorKind::State`](crate::ErrorKind::State) if those mounts are not
    /// the ones that this command would make.
    pub fn prepare_pinned(&self, pinned: &PinnedTemplate) -> Result<Template, Error> {
        let inherit = Stdio::inherit();
        self.prepare_with(&inherit, &inherit, TemplateMounts::Once, Some(pinned))
    }

    fn spec_mut(&mut self) -> &mut Spec {
        Arc::make_mut(&mut self.spec)
    }

    fn prepare_with(
        &self,
        stdin: &Stdio,
        output: &Stdio,
        mounts: TemplateMounts,
        pinned: Option<&PinnedTemplate>,
    ) -> Result<Template, Error> {
        let [one, two, three] = &self.stdio;
        let stdio = [(one, stdin), (two, output), (three, output)]
            .map(|(stdio, default)| stdio.as_ref().unwrap_or(default).clone());
        let mut spec = Arc::clone(&self.spec);
        // A Spec may say that whoever launches it supplies a stream; the command does not.
        let redirects = std::array::from_fn(|stream| stdio[stream].redirect());
        if spec.stdio != redirects {
            Arc::make_mut(&mut spec).stdio = redirects;
        }
        let mut template = Template::new(spec, stdio, mounts, pinned)?;
        template.unmount_later = self.unmount_later;
        Ok(template)
    }

    /// Starts the box: its program has been executed when this returns. Standard streams are
    /// inherited unless set otherwise.
    ///
    /// # Errors
    ///
    /// Of every [`ErrorKind`](crate::ErrorKind). Nothing of the box is left then.
    pub fn spawn(&self) -> Result<Child, Error> {
        let inherit = Stdio::inherit();
        self.prepare_with(&inherit, &inherit, TemplateMounts::EachLaunch, None)?
            .spawn()
    }

    /// Starts the box and waits for its end.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn status(&self) -> Result<ExitStatus, Error> {
        self.spawn()?.wait().map_err(|error| waiting(&error))
    }

    /// Starts the box, waits for its end and collects what it writes. Standard input is empty, and
    /// output and error are collected, unless set otherwise.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn output(&self) -> Result<Output, Error> {
        let child = self
            .prepare_with(
                &Stdio::null(),
                &Stdio::piped(),
                TemplateMounts::EachLaunch,
                None,
            )?
            .spawn()?;
        child.wait_with_output().map_err(|error| waiting(&error))
    }

    /// What [`spawn`](Self::spawn) would do, a line for each system call, without doing it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Spec`](crate::ErrorKind::Spec).
    pub fn explain(&self) -> Result<String, Error> {
        let inherit = Stdio::inherit();
        let template = self.prepare_with(&inherit, &inherit, TemplateMounts::EachLaunch, None)?;
        Ok(template.plan().to_string())
    }
}

fn waiting(error: &std::io::Error) -> Error {
    Error::parent("wait for the box", errno::of(error))
}

impl From<Spec> for Command {
    fn from(spec: Spec) -> Self {
        Arc::new(spec).into()
    }
}

impl From<Arc<Spec>> for Command {
    fn from(spec: Arc<Spec>) -> Self {
        Self {
            spec,
            stdio: [None, None, None],
            template_mounts: TemplateMounts::Once,
            unmount_later: false,
        }
    }
}
