// SPDX-License-Identifier: MIT OR Apache-2.0
//! The filter of system calls. See seccomp(2).
//!
//! The default one was compiled when clonebox was built; here it only learns what capabilities the box
//! keeps.

use clonebox_seccomp::{
    Answer, Arch, Data, Instruction, KILL_PROCESS, KILL_THREAD, Leaf, Profile, Section, TRACE,
    TRAP, USER_NOTIF, compile, errno, number, resolve, run,
};

use super::call::{Call, FlagNames, Value};
use super::caps;
use super::draft::Draft;
use super::slot;
use super::step::{Role, Steps};
use super::trace;
use crate::spec::{Origin, ProfileRule, SeccompFilter, SeccompProfile, Violation, When};

/// A program that `build.rs` has compiled.
#[derive(Clone, Copy)]
struct Compiled {
    code: &'static [Instruction],
    leaves: &'static [Leaf],
}

const fn i(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

include!(concat!(env!("OUT_DIR"), "/seccomp.rs"));

#[cfg(target_arch = "x86_64")]
const MACHINE: Arch = Arch::X86_64;
#[cfg(target_arch = "aarch64")]
const MACHINE: Arch = Arch::Aarch64;

/// What of an answer is no data: `SECCOMP_RET_ACTION_FULL`.
const ACTION: u32 = 0xffff_0000;

const FLAGS: FlagNames = &[
    ("SECCOMP_FILTER_FLAG_LOG", libc::SECCOMP_FILTER_FLAG_LOG),
    (
        "SECCOMP_FILTER_FLAG_NEW_LISTENER",
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
    ),
    (
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    ),
];

/// The filter of a box.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) code: Vec<Instruction>,
    pub(crate) origin: Origin,
    /// It refuses nothing, and tells what it would refuse.
    pub(crate) traced: bool,
    /// It ends a process for some call, by SIGSYS.
    pub(crate) kills: bool,
    /// It does that without asking the process, which the kernel logs.
    pub(crate) kills_itself: bool,
    flags: u64,
}

impl Filter {
    /// Whether the kernel logs what it refuses.
    pub(super) fn logs(&self) -> bool {
        self.flags & libc::SECCOMP_FILTER_FLAG_LOG != 0
    }

    /// What it does about a call.
    pub(crate) fn judge(&self, data: &Data) -> Option<u32> {
        run(&self.code, data)
    }

    /// What it does about a call of this machine.
    pub(crate) fn answer(&self, number: usize, args: [u64; 6]) -> Option<u32> {
        let data = Data {
            nr: number as u32,
            arch: MACHINE.audit(),
            instruction_pointer: 0,
            args,
        };
        self.judge(&data)
    }

    /// Whether an instruction loads from scratch memory (`BPF_LD` and `BPF_LDX` of `BPF_MEM`).
    pub(crate) fn reads_scratch(&self) -> bool {
        let mut code = self.code.iter();
        code.any(|one| matches!(one.code, 0x60 | 0x61))
    }
}

/// Whether a program ends a process for some call, by SIGSYS: by a trap, and without asking the process.
fn ends(code: &[Instruction]) -> (bool, bool) {
    const RET: u16 = 0x06;
    // A program that returns what it has computed is believed to.
    const RET_A: u16 = 0x16;
    code.iter().fold((false, false), |(traps, kills), one| {
        let answers = |actions: &[u32]| {
            one.code == RET_A || one.code == RET && actions.contains(&(one.k & ACTION))
        };
        (
            traps || answers(&[TRAP]),
            kills || answers(&[KILL_THREAD, KILL_PROCESS]),
        )
    })
}

/// The filter, if there is one.
pub(super) fn decide(draft: &Draft<'_>) -> Result<Option<Filter>, Vec<Violation>> {
    let seccomp = &draft.spec.seccomp;
    let origin = &seccomp.filter.origin;
    let mut violations = Vec::new();
    for arch in &seccomp.arches {
        if Some(arch.value) != MACHINE.compat() {
            violations.push(Violation {
                reason: format!(
                    "a machine of {} runs no programs of {}",
                    MACHINE.name(),
                    arch.value.name()
                ),
                origin: arch.origin.clone(),
            });
        }
    }
    if !violations.is_empty() {
        return Err(violations);
    }
    let compat = seccomp.arches.first().map(|arch| arch.value);
    let capabilities = caps::kept(draft).0;
    let boundary = draft.userns.is_some() || draft.spec.rootfs.is_some();
    let mut flags = 0;
    let code = match &seccomp.filter.value {
        SeccompFilter::Off => {
            let traced = seccomp.trace.iter();
            let reason = "there is no filter to trace";
            let violations: Vec<_> = traced
                .map(|trace| violation(reason.into(), trace))
                .collect();
            return if violations.is_empty() {
                Ok(None)
            } else {
                Err(violations)
            };
        }
        SeccompFilter::Auto if !boundary && seccomp.trace.is_none() => return Ok(None),
        SeccompFilter::Auto | SeccompFilter::Default => {
            let Compiled { code, leaves } = if compat.is_some() {
                WITH_COMPAT
            } else {
                NATIVE
            };
            resolve(code, leaves, capabilities)
        }
        SeccompFilter::Profile(profile) => {
            flags |= u64::from(profile.flags);
            let mut arches = vec![MACHINE];
            arches.extend(
                MACHINE
                    .compat()
                    .filter(|arch| compat == Some(*arch) || profile.arches.contains(arch)),
            );
            let profile = chosen(profile, capabilities);
            let policies: Vec<_> = arches
                .into_iter()
                .map(|arch| profile.policy(arch))
                .collect();
            compile(&policies, Answer::always(errno(libc::ENOSYS as u16)))
                .map_err(|error| vec![violation(error.to_string(), origin)])?
                .code
        }
        SeccompFilter::Program(program) => program.0.clone(),
    };
    if seccomp.log.is_some() {
        flags |= libc::SECCOMP_FILTER_FLAG_LOG;
    }
    if seccomp.trace.is_some() {
        flags |= libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    }
    // Once, and not at each launch.
    let (traps, kills) = ends(&code);
    let traced = seccomp.trace.is_some();
    let filter = Filter {
        code,
        traced,
        kills: !traced && (traps || kills),
        kills_itself: !traced && kills,
        origin: origin.clone(),
        flags,
    };
    // The default one is known to allow what it must, with any capabilities.
    if matches!(
        seccomp.filter.value,
        SeccompFilter::Profile(_) | SeccompFilter::Program(_)
    ) {
        may_start(&filter, draft.role())?;
    }
    trace::check(draft.spec, &filter)?;
    Ok(Some(filter))
}

fn violation(reason: String, origin: &Origin) -> Violation {
    Violation {
        reason,
        origin: origin.clone(),
    }
}

/// What a profile says of a box with these capabilities.
fn chosen(profile: &SeccompProfile, capabilities: u64) -> Profile {
    let applies = |rule: &&ProfileRule| {
        let native = match MACHINE {
            Arch::X86_64 => "amd64",
            _ => "arm64",
        };
        let named = |when: &When| when.arches.iter().any(|arch| arch == native);
        let includes = &rule.includes;
        let all = includes.capabilities & !capabilities == 0;
        let here = includes.arches.is_empty() || named(includes);
        let excluded = rule.excludes.capabilities & capabilities != 0 || named(&rule.excludes);
        all && here && !excluded
    };
    let sections = profile.rules.iter().filter(applies).flat_map(|rule| {
        rule.alternatives.iter().map(|conditions| Section {
            answer: Answer::always(rule.word),
            conditions: conditions.clone(),
            names: rule.names.clone(),
        })
    });
    // A libc tries new calls first and takes older ones when they are missing: as in runc.
    let refuses = profile.default & ACTION == errno(0);
    let unknown = if refuses {
        errno(libc::ENOSYS as u16)
    } else {
        profile.default
    };
    let mut sections: Vec<Section> = sections.collect();
    // One without conditions counts before all with, as in libseccomp.
    let always: Vec<String> = sections
        .iter()
        .filter(|section| section.conditions.is_empty())
        .flat_map(|section| section.names.clone())
        .collect();
    for section in sections
        .iter_mut()
        .filter(|section| !section.conditions.is_empty())
    {
        section.names.retain(|name| !always.contains(name));
    }
    Profile {
        otherwise: Answer::always(profile.default),
        unknown: Answer::always(unknown),
        sections,
    }
}

/// Refuses a filter under which no program starts: the calls that come after it.
fn may_start(filter: &Filter, role: Option<Role>) -> Result<(), Vec<Violation>> {
    const CLONE_FLAGS: u64 = (libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD) as u64;
    /// Of `asm-generic/ioctls.h`; the libc crate's has another type with each C library.
    const TIOCSPGRP: u64 = 0x5410;
    let exec: &[(&str, [u64; 2])] = &[("fcntl", [3, libc::F_SETFD as u64]), ("execveat", [0; 2])];
    let stand: &[(&str, [u64; 2])] = &[
        ("read", [0; 2]),
        ("mmap", [0; 2]),
        ("write", [0; 2]),
        ("exit_group", [0; 2]),
    ];
    let init: &[(&str, [u64; 2])] = &[
        ("mmap", [0; 2]),
        ("clone", [CLONE_FLAGS, 0]),
        ("setpgid", [0; 2]),
        ("setsid", [0; 2]),
        ("getpid", [0; 2]),
        ("getpgid", [0; 2]),
        ("ioctl", [0, TIOCSPGRP]),
        ("rt_sigprocmask", [0; 2]),
        ("rt_sigtimedwait", [0; 2]),
        ("wait4", [0; 2]),
        ("kill", [0; 2]),
        ("write", [0; 2]),
        ("exit_group", [0; 2]),
    ];
    let join: &[(&str, [u64; 2])] = &[
        ("rt_sigprocmask", [0; 2]),
        ("clone", [(libc::CLONE_PARENT | libc::SIGCHLD) as u64, 0]),
        (
            "prctl",
            [libc::PR_SET_PDEATHSIG as u64, libc::SIGKILL as u64],
        ),
        ("setpgid", [0; 2]),
        ("setsid", [0; 2]),
        ("getpid", [0; 2]),
        ("getpgid", [0; 2]),
        ("ioctl", [0, TIOCSPGRP]),
        ("read", [0; 2]),
        ("write", [0; 2]),
        ("exit_group", [0; 2]),
    ];
    let (more, what) = match role {
        None => (Vec::new(), "the program"),
        Some(Role::Exec) => (exec.to_vec(), "a program of a root filesystem"),
        Some(Role::Init) => ([exec, init].concat(), "the init"),
        Some(Role::Join) => ([exec, join].concat(), "a program that joins the box"),
        Some(Role::Stand) => ([exec, stand].concat(), "a box of a pool"),
    };
    let mut violations = Vec::new();
    for (name, [first, second]) in [("execve", [0; 2])].into_iter().chain(more) {
        let number = number(MACHINE, name).unwrap_or(u32::MAX);
        let answer = filter.answer(number as usize, [first, second, 0, 0, 0, 0]);
        let action = answer.map(|answer| answer & ACTION);
        let others = [TRACE, USER_NOTIF].map(Some).contains(&action) && !filter.traced;
        if !others && !answer.is_some_and(trace::is_made) {
            let reason =
                format!("the filter forbids {name}(2), without which {what} does not start");
            violations.push(violation(reason, &filter.origin));
        }
    }
    if violations.is_empty() {
        Ok(())
    } else {
        Err(violations)
    }
}

/// The filter before privileges go: without no_new_privs installing one needs CAP_SYS_ADMIN.
pub(super) fn install_early(draft: &Draft<'_>, steps: &mut Steps) {
    if !draft.spec.no_new_privs.value {
        install(draft, steps);
    }
}

/// The filter as the last step before execve(2): the fewer calls come after it, the fewer it must allow.
pub(super) fn install_last(draft: &Draft<'_>, steps: &mut Steps) {
    if draft.spec.no_new_privs.value {
        install(draft, steps);
    }
}

fn install(draft: &Draft<'_>, steps: &mut Steps) {
    let Some(filter) = &draft.seccomp else {
        return;
    };
    let mode = Value::Name(
        "SECCOMP_SET_MODE_FILTER",
        libc::SECCOMP_SET_MODE_FILTER as usize,
    );
    let program = if filter.traced {
        Value::program(&trace::asking(&filter.code))
    } else {
        Value::program(&filter.code)
    };
    let args = [mode, Value::Flags(FLAGS, filter.flags), program];
    let mut call = Call::new("seccomp", libc::SYS_seccomp, args);
    if filter.traced {
        call = call.save(slot::LISTENER);
    }
    steps.push(&filter.origin, "install the seccomp filter", call);
    if filter.traced {
        trace::send(draft, steps);
    }
}
