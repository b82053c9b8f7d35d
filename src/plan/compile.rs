// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a description to a plan.
//!
//! # Theory of operation
//!
//! The order of the steps is the substance of this file. Each phase needs what the ones before it
//! made, and takes away what only they needed:
//!
//! 1. The parent-death signal, and a look whether the parent still lives. *Must* be first: a parent
//!    killed before it leaves no box.
//! 2. User and group maps. *Must* precede everything that needs to be root in the user namespace.
//! 3. Clocks, which are set through the /proc of the host.
//! 4. Session and terminal, while every signal is blocked (`SIGTTOU` among them).
//! 5. Names, network, limits, scores: also through the host's /proc.
//! 6. `/` recursively private. *Must* precede every other mount: nothing propagates to the host.
//! 7. /proc: it shows the process ids of the process that mounts it, so only the child can.
//! 8. Standard streams; then every other descriptor is marked to be closed by execve(2).
//! 9. umask, working directory.
//! 10. Bounding set (needs CAP_SETPCAP), ids (need CAP_SETUID), capabilities, ambient set. *Must
//!     not* precede anything above: the set-up needs what is dropped here.
//! 11. The parent-death signal again if ids have changed: the kernel clears it then.
//! 12. no_new_privs, dispositions, the signal mask, execve(2).

use super::call::Call;
use super::exec::{self, Exec};
use super::facts::HostFacts;
use super::step::{Plan, Steps, Terminal};
use super::{
    caps, death, fd, mount, namespaces, net, no_new_privs, priority, rlimit, signal, time, tty,
    user, userns, uts, workdir,
};
use crate::spec::{Namespace, Origin, Spec, UserNamespace, Violation, random_name};

const CAP_SYS_ADMIN: u8 = 21;

/// What the phases have to know of each other.
pub(super) struct Box<'a> {
    pub(super) spec: &'a Spec,
    pub(super) facts: &'a HostFacts,
    pub(super) name: String,
    /// Who asked for a user namespace, if there is one.
    pub(super) userns: Option<Origin>,
    pub(super) terminal: Terminal,
    /// The streams that the new terminal takes.
    pub(super) on_terminal: [bool; 3],
    pub(super) numbers: fd::Numbers,
}

impl<'a> Box<'a> {
    fn new(spec: &'a Spec, facts: &'a HostFacts) -> Self {
        let (terminal, on_terminal) = tty::decide(spec, facts);
        let user = &spec.namespaces.user;
        let userns = match user.value {
            UserNamespace::Auto => true,
            UserNamespace::IfNeeded => !facts.effective.contains(CAP_SYS_ADMIN),
            UserNamespace::Host => false,
        };
        let mut the_box = Self {
            spec,
            facts,
            numbers: fd::Numbers::default(),
            name: spec
                .name
                .as_ref()
                .map_or_else(|| random_name(facts.entropy), |name| name.value.clone()),
            userns: userns.then(|| user.origin.clone()),
            terminal,
            on_terminal,
        };
        the_box.numbers = fd::Numbers::new(&the_box);
        the_box
    }

    /// Whether the box has process ids of its own.
    pub(super) fn own_pids(&self) -> bool {
        self.spec.namespaces.pid.value == Namespace::Private
    }
}

/// Compiles a description. The same input gives the same plan.
///
/// # Errors
///
/// Everything that is wrong with the description.
pub fn compile(spec: &Spec, facts: &HostFacts) -> Result<Plan, Vec<Violation>> {
    let violations = spec.validate();
    if !violations.is_empty() {
        return Err(violations);
    }
    let the_box = Box::new(spec, facts);
    let exec = exec::prepare(&the_box);
    let steps = steps(&the_box, &exec);
    Ok(Plan {
        clone: namespaces::clone_call(&the_box),
        code: steps.iter().map(|step| Call::lower(&step.call)).collect(),
        steps,
        exec,
        terminal: the_box.terminal,
        parent_death: spec.parent_death.value,
        changes_ids: user::change(&the_box),
        numbers: the_box.numbers,
        init: spec.init.is_some(),
        time_namespace: spec.namespaces.time.is_some(),
        start_timeout: spec.start_timeout.as_ref().map(|timeout| timeout.value),
        timings: spec.timings,
        name: the_box.name,
    })
}

fn steps(the_box: &Box<'_>, exec: &Exec) -> Vec<super::Step> {
    let mut steps = Steps::default();
    fd::arrange(the_box, &mut steps);
    death::arm(the_box, &mut steps);
    userns::map(the_box, &mut steps);
    time::offsets(the_box, &mut steps);
    tty::session(the_box, &mut steps);
    uts::names(the_box, &mut steps);
    net::loopback(the_box, &mut steps);
    rlimit::set(the_box, &mut steps);
    priority::set(the_box, &mut steps);
    mount::private(&mut steps);
    mount::proc(the_box, &mut steps);
    fd::standard(the_box, &mut steps);
    fd::close(the_box, &mut steps);
    workdir::enter(the_box, &mut steps);
    caps::bounding(the_box, &mut steps);
    user::set(the_box, &mut steps);
    caps::set(the_box, &mut steps);
    death::arm_again(the_box, &mut steps);
    no_new_privs::set(the_box, &mut steps);
    signal::dispositions(the_box, &mut steps);
    signal::mask(&mut steps);
    exec::steps(the_box.spec, exec, &mut steps);
    steps.into_vec()
}
