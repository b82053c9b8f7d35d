// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a description to a plan.
//!
//! # Theory of operation
//!
//! The order of the steps is the substance of this file. Each phase needs what the ones before it
//! made, and takes away what only they needed:
//!
//! 1. The parent-death signal. The cgroups, whose limits hold from here on at the latest.
//! 2. Session and the caller's foreground, while every signal is blocked (`SIGTTOU` among them). Then a
//!    look whether the parent still lives: one that was killed leaves no box.
//! 3. User and group maps. *Must* precede everything that needs to be root in the user namespace, and
//!    follow that look: the child may have to wait for the parent.
//! 4. Clocks; a session keyring, *before* ids change: it is the box's; names, network, scores. Partly through
//!    the /proc of the host, as the caller. A network is joined by CAP_SYS_ADMIN, or connected while the child
//!    waits: *after* its maps, which pasta needs, and *before* ids change, as its namespaces are opened then.
//!    A box that runs is joined here, when everything of the caller's has been opened: see `plan/join.rs`. What is
//!    below of namespaces and mounts is none of its plan's.
//! 5. `/` recursively private. *Must* precede every other mount: nothing propagates to the host.
//!    A template makes 5 to 9 once, as far as its launches may share it: see `plan/template.rs`. Where the kernel
//!    can, the namespace is made here, *after* all that opens something of the host's: see `plan/fresh.rs`.
//! 6. What is opened as the caller. Then the child becomes somebody of the box, if the caller is nobody
//!    there: what it makes from here on belongs to the box.
//! 7. The root, as a mount of its own below which everything else is mounted; the host's tree is still
//!    there for the sources.
//! 8. /dev of a root filesystem; /proc, whose masks need a null device: it shows the process ids of the
//!    process that mounts it, so only the child can; /sys. Then the mounts that were asked for, in their order.
//! 9. The root read-only, and in the place of the host's, which goes.
//! 10. The new terminal, which may be one of the root's own. Landlock: its rules are about what is mounted by
//!     now, and nothing is mounted or opened after it. Limits: what is above needs descriptors.
//! 11. Standard streams; then every other descriptor is marked to be closed by execve(2), or closed.
//! 12. umask, working directory.
//! 13. Bounding set (needs CAP_SETPCAP), ids (need CAP_SETUID), capabilities, ambient set. *Must
//!     not* precede anything above: the set-up needs what is dropped here.
//! 14. The parent-death signal again if ids have changed: the kernel clears it then.
//! 15. no_new_privs, dispositions, the signal mask. Then the seccomp filter, which needs no_new_privs: what
//!     comes after it, it must allow. A box without no_new_privs gets it before 13, by CAP_SYS_ADMIN.
//! 16. execve(2).

use std::path::PathBuf;
use std::sync::Arc;

use super::cgroup::Cgroups;
use super::draft::{Draft, Kind};
use super::exec::{self, Exec};
use super::facts::HostFacts;
use super::step::{ForUserns, Plan, Step, Steps, Terminal};
use super::{
    call, caps, cgroup, death, dev, fd, fresh, idmap, join, keyring, landlock, mount, namespaces,
    nested, net, no_new_privs, priority, proc, rlimit, rootfs, seccomp, signal, sysfs, template,
    time, tty, user, userns, uts, workdir,
};
use crate::spec::{CapabilitySet, Network, Spec, Violation};

/// The plans of a template.
#[derive(Debug)]
pub struct TemplatePlans {
    /// What makes the mounts that all launches have in common; `None` if there are none.
    pub once: Option<Box<Plan>>,
    /// What each launch does.
    pub each: Box<Plan>,
}

/// Compiles a description. The same input gives the same plan.
///
/// # Errors
///
/// Everything that is wrong with the description.
pub fn compile(spec: &Spec, facts: &HostFacts) -> Result<Plan, Vec<Violation>> {
    let settled = settled(spec)?;
    let spec = settled.as_deref().unwrap_or(spec);
    Ok(*compile_kind(spec, facts, Kind::default())?.each)
}

/// The same for a template: mounts that its launches may have in common are made once.
///
/// # Errors
///
/// As [`compile`].
pub fn compile_template(spec: &Spec, facts: &HostFacts) -> Result<TemplatePlans, Vec<Violation>> {
    let kind = Kind {
        mounts_once: true,
        stands: false,
    };
    let settled = settled(spec)?;
    compile_kind(settled.as_deref().unwrap_or(spec), facts, kind)
}

/// The description with what the box that it joins settles, if it joins one.
fn settled(spec: &Spec) -> Result<Option<Arc<Spec>>, Vec<Violation>> {
    let conflicts = spec.conflicts();
    if conflicts.is_empty() {
        Ok(spec.settled())
    } else {
        Err(conflicts)
    }
}

pub(crate) fn compile_kind(
    spec: &Spec,
    facts: &HostFacts,
    kind: Kind,
) -> Result<TemplatePlans, Vec<Violation>> {
    let violations = spec.validate();
    if !violations.is_empty() {
        return Err(violations);
    }
    let draft = Draft::new(spec, facts, kind)?;
    let trees = idmap::decide(&draft)?;
    let exec = exec::prepare(&draft);
    let (once, steps, makes) = steps(&draft, &exec);
    // A plan is large, and stays where it is made.
    let once = once.map(|steps| {
        let (code, _) = call::lower(&steps);
        Box::new(Plan {
            name: draft.name.clone(),
            clone: namespaces::clone_for_mounts(facts, draft.rootfs_origin()),
            code,
            given: Vec::new(),
            steps,
            makes: Vec::new(),
            exec: Exec::none(),
            cgroups: Cgroups::default(),
            join: None,
            caps: CapabilitySet::NONE,
            user: draft.program_user(),
            userns: None,
            network: None,
            pasta: None,
            landlock: None,
            seccomp: None,
            missed: Vec::new(),
            terminal: Terminal::None,
            devpts: None,
            hands_over: true,
            parent_death: spec.parent_death.value,
            writes_without_privilege: false,
            changes_dumpable: false,
            hidden: facts.uid == 0,
            numbers: fd::Numbers::none(),
            role: None,
            time_namespace: false,
            start_timeout: spec.start_timeout.as_ref().map(|timeout| timeout.value),
            timings: false,
        })
    });
    let clocks = time::of_user_who_joins(&draft).is_some();
    let (code, given) = call::lower(&steps);
    let each = Box::new(Plan {
        clone: namespaces::clone_call(&draft),
        code,
        given,
        steps,
        makes,
        exec,
        cgroups: draft.cgroups.clone(),
        join: spec.join.as_ref().map(|join| join.value.clone()),
        caps: caps::kept(&draft),
        user: draft.program_user(),
        landlock: draft.landlock,
        seccomp: draft.seccomp.clone(),
        missed: draft.missed.clone(),
        userns: draft
            .userns
            .as_ref()
            .filter(|userns| userns.is_made())
            .map(|userns| ForUserns {
                maps: userns.maps.clone(),
                writer: userns.writer,
                origin: userns.origin.clone(),
                trees,
            }),
        network: match &spec.namespaces.net.value {
            Network::Join(namespace) => Some(namespace.clone()),
            _ => None,
        },
        pasta: draft.pasta.clone(),
        terminal: draft.terminal,
        devpts: join::devpts(&draft),
        hands_over: draft.terminal_inside(),
        parent_death: spec.parent_death.value,
        writes_without_privilege: userns::without_privilege(&draft) || clocks,
        changes_dumpable: draft.change().is_some() || userns::becomes(&draft) || clocks,
        hidden: facts.uid == 0 || spec.join.is_some() && !clocks,
        numbers: draft.numbers,
        role: draft.role(),
        time_namespace: spec.namespaces.time.is_some(),
        start_timeout: spec.start_timeout.as_ref().map(|timeout| timeout.value),
        timings: spec.timings,
        name: draft.name,
    });
    Ok(TemplatePlans { once, each })
}

fn steps(draft: &Draft<'_>, exec: &Exec) -> (Option<Vec<Step>>, Vec<Step>, Vec<PathBuf>) {
    let mut steps = Steps::new(draft.split.is_some());
    fd::arrange(draft, &mut steps);
    death::arm(draft, &mut steps);
    cgroup::join(draft, &mut steps);
    tty::session(draft, &mut steps);
    death::look(draft, &mut steps);
    userns::map(draft, &mut steps);
    nested::forbid(draft, &mut steps);
    time::offsets(draft, &mut steps);
    keyring::join(draft, &mut steps);
    join::enter(draft, &mut steps);
    uts::names(draft, &mut steps);
    net::set_up(draft, &mut steps);
    priority::set(draft, &mut steps);
    template::begin(draft, &mut steps);
    fresh::begin(draft, &mut steps);
    mount::private(draft, &mut steps);
    rootfs::open(draft, &mut steps);
    userns::become_somebody(draft, &mut steps);
    rootfs::prepare(draft, &mut steps);
    dev::mount(draft, &mut steps);
    proc::mount(draft, &mut steps);
    sysfs::mount(draft, &mut steps);
    mount::asked(draft, &mut steps);
    rootfs::read_only(draft, &mut steps);
    template::send(draft, &mut steps);
    rootfs::pivot(draft, &mut steps);
    tty::take(draft, &mut steps);
    landlock::restrict(draft, &mut steps);
    rlimit::set(draft, &mut steps);
    fd::standard(draft, &mut steps);
    fd::close(draft, &mut steps);
    workdir::enter(draft, &mut steps);
    seccomp::install_early(draft, &mut steps);
    caps::bounding(draft, &mut steps);
    user::set(draft, &mut steps);
    caps::set(draft, &mut steps);
    death::arm_again(draft, &mut steps);
    no_new_privs::set(draft, &mut steps);
    signal::dispositions(draft, &mut steps);
    signal::mask(&mut steps);
    seccomp::install_last(draft, &mut steps);
    exec::steps(draft, exec, &mut steps);
    steps.finish()
}
