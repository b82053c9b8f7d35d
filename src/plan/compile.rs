// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a description to a plan.
//!
//! # Theory of operation
//!
//! The order of the steps is the substance of this file. Each phase needs what the ones before it
//! made, and takes away what only they needed:
//!
//! 1. The parent-death signal. The cgroups, whose limits hold from here on at the latest.
//! 2. User and group maps. *Must* precede everything that needs to be root in the user namespace.
//! 3. Clocks, which are set through the /proc of the host.
//! 4. Session and the caller's foreground, while every signal is blocked (`SIGTTOU` among them). Then a
//!    look whether the parent still lives: one that was killed leaves no box.
//! 5. A session keyring, *before* ids change: it is the box's. Names, network, scores: also through the host's /proc.
//! 6. `/` recursively private. *Must* precede every other mount: nothing propagates to the host.
//! 7. The root, as a mount of its own below which everything else is mounted; the host's tree is still
//!    there for the sources.
//! 8. /proc: it shows the process ids of the process that mounts it, so only the child can. With a root
//!    filesystem also /sys and /dev. Then the mounts that were asked for, in their order.
//! 9. The root read-only, and in the place of the host's, which goes.
//! 10. The new terminal, which may be one of the root's own. Landlock: its rules are about what is mounted by
//!     now, and nothing is mounted or opened after it. Limits: what is above needs descriptors.
//! 11. Standard streams; then every other descriptor is marked to be closed by execve(2), or closed.
//! 12. umask, working directory.
//! 13. Bounding set (needs CAP_SETPCAP), ids (need CAP_SETUID), capabilities, ambient set. *Must
//!     not* precede anything above: the set-up needs what is dropped here.
//! 14. The parent-death signal again if ids have changed: the kernel clears it then.
//! 15. no_new_privs, dispositions, the signal mask, execve(2).

use std::path::PathBuf;

use super::call::Call;
use super::draft::Draft;
use super::exec::{self, Exec};
use super::facts::HostFacts;
use super::step::{Plan, Steps};
use super::{
    caps, cgroup, death, dev, fd, keyring, landlock, mount, namespaces, nested, net, no_new_privs,
    priority, proc, rlimit, rootfs, signal, sysfs, time, tty, user, userns, uts, workdir,
};
use crate::spec::{Spec, Violation};

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
    let draft = Draft::new(spec, facts)?;
    let exec = exec::prepare(&draft);
    let (steps, makes) = steps(&draft, &exec);
    Ok(Plan {
        clone: namespaces::clone_call(&draft),
        code: steps.iter().map(|step| Call::lower(&step.call)).collect(),
        steps,
        makes,
        exec,
        cgroups: draft.cgroups.clone(),
        landlock: draft.landlock,
        missed: draft.missed.clone(),
        terminal: draft.terminal,
        terminal_inside: draft.terminal_inside(),
        parent_death: spec.parent_death.value,
        changes_ids: user::change(&draft),
        numbers: draft.numbers,
        role: draft.role(),
        time_namespace: spec.namespaces.time.is_some(),
        start_timeout: spec.start_timeout.as_ref().map(|timeout| timeout.value),
        timings: spec.timings,
        name: draft.name,
    })
}

fn steps(draft: &Draft<'_>, exec: &Exec) -> (Vec<super::Step>, Vec<PathBuf>) {
    let mut steps = Steps::new();
    fd::arrange(draft, &mut steps);
    death::arm(draft, &mut steps);
    cgroup::join(draft, &mut steps);
    userns::map(draft, &mut steps);
    nested::forbid(draft, &mut steps);
    time::offsets(draft, &mut steps);
    tty::session(draft, &mut steps);
    death::look(draft, &mut steps);
    keyring::join(draft, &mut steps);
    uts::names(draft, &mut steps);
    net::loopback(draft, &mut steps);
    priority::set(draft, &mut steps);
    mount::private(draft, &mut steps);
    rootfs::prepare(draft, &mut steps);
    proc::mount(draft, &mut steps);
    sysfs::mount(draft, &mut steps);
    dev::mount(draft, &mut steps);
    mount::asked(draft, &mut steps);
    rootfs::read_only(draft, &mut steps);
    rootfs::pivot(draft, &mut steps);
    tty::take(draft, &mut steps);
    landlock::restrict(draft, &mut steps);
    rlimit::set(draft, &mut steps);
    fd::standard(draft, &mut steps);
    fd::close(draft, &mut steps);
    workdir::enter(draft, &mut steps);
    caps::bounding(draft, &mut steps);
    user::set(draft, &mut steps);
    caps::set(draft, &mut steps);
    death::arm_again(draft, &mut steps);
    no_new_privs::set(draft, &mut steps);
    signal::dispositions(draft, &mut steps);
    signal::mask(&mut steps);
    exec::steps(draft.spec, exec, &mut steps);
    steps.finish()
}
