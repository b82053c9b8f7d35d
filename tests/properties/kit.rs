//! Descriptions that are made up.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clonebox::{
    Access, Arch, Cpus, Dev, DeviceLimit, IdMapping, Login, Mount, MountKind, Namespace, Origin,
    ParentDeath, PathRule, Propagation, Rate, Redirect, Resource, Rlimit, Rootfs, SeccompFilter,
    Selection, Setting, Spec, Swap, TimeOffset, Tty, User, UserNamespace, Writes,
};

use crate::choices::Choices;

pub(crate) fn asked<T>(value: T) -> Setting<T> {
    Setting::new(value, Origin::text("test"))
}

const NAMES: [&str; 14] = [
    "web",
    "a",
    "-",
    ".",
    "_",
    "0",
    "/",
    "=",
    " ",
    "\u{1b}[2J",
    "\n",
    "\0",
    "\u{e9}",
    "0123456789012345678901234567890123456789",
];
pub(crate) const PATHS: [&str; 14] = [
    "/", "/a", "/b/c", "..", ".", "/../", "a", "//", "/proc", "/dev", "/sys", "/dev/shm", "\0", "",
];

/// What a description is made of.
pub(crate) struct Kit<'a> {
    /// Directories that there are, for whoever launches; nothing for who does not.
    pub(crate) directories: &'a [PathBuf],
    /// Whether it is launched: then it takes nothing of the host's away.
    pub(crate) launched: bool,
}

impl Kit<'_> {
    fn path(&self, choices: &mut Choices<'_>) -> PathBuf {
        if self.launched {
            let known = &self.directories[choices.below(self.directories.len())];
            return known.clone();
        }
        choices.os_text(&PATHS).into()
    }

    /// A word: for a launch mostly one that could be right.
    fn name(&self, choices: &mut Choices<'_>) -> String {
        if self.launched && !choices.rarely(8) {
            return choices.pick(&["web", "a", "box-1"]).to_owned();
        }
        choices.text(&NAMES)
    }

    fn target(&self, choices: &mut Choices<'_>) -> PathBuf {
        if self.launched && !choices.rarely(8) {
            return choices
                .pick(&["/a", "/b/c", "/tmp", "/proc", "/dev/shm", "/a/b"])
                .into();
        }
        choices.os_text(&PATHS).into()
    }

    fn size(&self, choices: &mut Choices<'_>) -> u64 {
        if self.launched && !choices.rarely(4) {
            return choices.pick(&[64, 4096, 16 << 20, 64 << 20]);
        }
        choices.number()
    }

    /// A description. Without choices it is the plain box.
    pub(crate) fn spec(&self, program: &Path, choices: &mut Choices<'_>) -> Spec {
        let mut spec = Spec::new(program);
        // Who has too many wishes is refused at once.
        let most = if self.launched {
            choices.below(8)
        } else {
            usize::MAX
        };
        for _ in 0..most {
            if choices.is_over() {
                break;
            }
            self.change(&mut spec, choices);
        }
        spec
    }

    /// Changes one thing.
    fn change(&self, spec: &mut Spec, choices: &mut Choices<'_>) {
        match choices.below(40) {
            0 => spec.name = Some(asked(self.name(choices))),
            1 => spec.hostname = Some(asked(self.name(choices))),
            2 if !self.launched => spec.exec.program = choices.os_text(&PATHS),
            3 => spec.exec.args.push(choices.os_text(&NAMES)),
            4 => spec.exec.arg0 = Some(choices.os_text(&NAMES)),
            5 => spec.env.clear = Some(Origin::text("test")),
            6 => {
                let value = choices.yes().then(|| choices.os_text(&NAMES));
                let name = choices.os_text(&["PATH", "A", "HOME", "=", "\0"]);
                spec.env.changes.push(asked((name, value)));
            }
            7 => spec.workdir = Some(asked(self.path(choices))),
            8 => {
                let (uid, gid) = (choices.number() as u32, choices.number() as u32);
                spec.user = Some(asked(User { uid, gid }));
            }
            9 => {
                let mut name = || choices.text(&["root", "web", "0", "33", "-1", ":"]);
                let (user, group) = (name(), name());
                let group = choices.yes().then_some(group);
                spec.login = Some(asked(Login { user, group }));
            }
            10 => spec.umask = Some(asked(choices.number() as u32 & 0o1777)),
            11 => spec.rlimits.push(asked(self.rlimit(choices))),
            12 => spec.nice = Some(asked(choices.below(50) as i32 - 25)),
            13 => spec.oom_score_adj = Some(asked(choices.number() as i32 % 1200)),
            14 => spec.fds.push(asked(choices.below(40) as i32 - 2)),
            15 => {
                spec.stdio[choices.below(3)] =
                    choices.pick(&[Redirect::Inherit, Redirect::Supplied]);
            }
            16 => spec.tty = asked(choices.pick(&[Tty::Auto, Tty::New, Tty::Inherit, Tty::None])),
            17 => spec.no_new_privs = asked(choices.yes()),
            18 => spec.init = Some(Origin::text("test")),
            19 => spec.timings = choices.yes(),
            20 => namespaces(spec, choices),
            21 => {
                let (monotonic_s, boottime_s) = (choices.number() as i64, choices.number() as i64);
                let offset = TimeOffset {
                    monotonic_s,
                    boottime_s,
                };
                spec.namespaces.time = Some(asked(offset));
            }
            22 => self.rootfs(spec, choices),
            23 => spec.read_only = Some(Origin::text("test")),
            24 => spec.proc = asked(choices.yes()),
            25 => spec.dev = asked(choices.pick(&[Dev::Minimal, Dev::Host, Dev::None])),
            26..=29 => spec.mounts.push(asked(self.mount(choices))),
            30 | 31 => self.limits(spec, choices),
            32 => {
                let one =
                    choices.text(&["ALL", "NONE", "CHOWN", "SYS_ADMIN", "CAP_KILL", "SETPCAP"]);
                if let Ok(one) = one.parse::<Selection>() {
                    let list = if choices.yes() {
                        &mut spec.caps.add
                    } else {
                        &mut spec.caps.drop
                    };
                    list.push(asked(one));
                }
            }
            33 if !self.launched => {
                let all = [
                    ParentDeath::Kill,
                    ParentDeath::KillWithThread,
                    ParentDeath::Survive,
                ];
                spec.parent_death = asked(choices.pick(&all));
                spec.start_timeout = Some(asked(Duration::from_nanos(choices.number())));
            }
            34 if !self.launched => self.landlock(spec, choices),
            35 if !self.launched => seccomp(spec, choices),
            36 if !self.launched => {
                spec.keyring = asked(choices.pick(&[Namespace::Private, Namespace::Host]));
            }
            37 if !self.launched => spec.disable_userns = Some(Origin::text("test")),
            38 if !self.launched => {
                let path =
                    choices.pick(&["/proc/tty", "/proc/sys", "/sys/firmware", "/", "/proc", "a"]);
                let list = if choices.yes() {
                    &mut spec.masks.mask
                } else {
                    &mut spec.masks.unmask
                };
                list.push(asked(path.into()));
            }
            _ => {}
        }
    }

    fn landlock(&self, spec: &mut Spec, choices: &mut Choices<'_>) {
        let landlock = &mut spec.landlock;
        match choices.below(4) {
            0 => landlock.connect.push(asked(choices.number() as u16)),
            1 => landlock.bind.push(asked(choices.number() as u16)),
            2 => landlock.strict = Some(Origin::text("test")),
            _ => landlock.paths.push(asked(PathRule {
                path: self.target(choices),
                access: choices.pick(&[Access::Read, Access::Execute, Access::Write]),
            })),
        }
    }

    fn rlimit(&self, choices: &mut Choices<'_>) -> Rlimit {
        let resource = choices.pick(&[
            Resource::RLIMIT_NOFILE,
            Resource::RLIMIT_CPU,
            Resource::RLIMIT_AS,
            Resource::RLIMIT_STACK,
            // What ends for want of another leaves no core file behind.
            if self.launched {
                Resource::RLIMIT_FSIZE
            } else {
                Resource::RLIMIT_CORE
            },
        ]);
        Rlimit {
            resource,
            soft: self.size(choices),
            hard: choices.number(),
        }
    }

    fn rootfs(&self, spec: &mut Spec, choices: &mut Choices<'_>) {
        let path = self.path(choices);
        let writes = match choices.below(4) {
            0 => Writes::Discard,
            1 => Writes::Through,
            2 => Writes::Memory,
            _ => Writes::Keep(self.path(choices)),
        };
        spec.rootfs = Some(asked(Rootfs { path, writes }));
    }

    fn mount(&self, choices: &mut Choices<'_>) -> Mount {
        let target = self.target(choices);
        let kind = match choices.below(8) {
            0 | 1 => MountKind::Bind {
                source: self.path(choices),
                recursive: choices.yes(),
                optional: choices.yes(),
            },
            2 => MountKind::Tmpfs {
                size: choices.yes().then(|| self.size(choices)),
                mode: choices.yes().then(|| self.size(choices) as u32 & 0o17777),
            },
            3 => MountKind::Overlay {
                lower: (0..choices.below(3)).map(|_| self.path(choices)).collect(),
                upper: choices
                    .yes()
                    .then(|| (self.path(choices), self.path(choices))),
            },
            4 => MountKind::Proc,
            5 => MountKind::Sysfs,
            6 => choices
                .pick(&[MountKindWord::Devpts, MountKindWord::Mqueue])
                .kind(),
            _ => MountKind::File {
                data: choices.bytes(),
                mode: choices.number() as u32 & 0o7777,
            },
        };
        let mut mount = Mount::bind("/", target);
        mount.kind = kind;
        let flags = choices.byte();
        mount.attributes.read_only = flags & 1 != 0;
        mount.attributes.nosuid = flags & 2 != 0;
        mount.attributes.nodev = flags & 4 != 0;
        mount.attributes.noexec = flags & 8 != 0;
        if flags & 16 != 0 {
            mount.attributes.propagation = Propagation::Slave;
        }
        mount
    }

    fn limits(&self, spec: &mut Spec, choices: &mut Choices<'_>) {
        let limits = &mut spec.limits;
        match choices.below(12) {
            // What is launched has memory enough to start.
            0 => {
                limits.memory = Some(asked(choices.number().max(if self.launched {
                    8 << 20
                } else {
                    0
                })));
            }
            1 => limits.memory_reservation = Some(asked(self.size(choices))),
            2 => {
                limits.memory_swap = Some(asked(if choices.yes() {
                    Swap::Unlimited
                } else {
                    Swap::Bytes(choices.number())
                }));
            }
            3 => limits.cpus = Some(asked(Cpus(self.size(choices) as u32))),
            4 => limits.cpu_weight = Some(asked(self.size(choices) as u32)),
            5 => limits.cpuset_cpus = Some(asked(choices.text(&["0", "-", "1", ",", "x"]))),
            6 => limits.cpuset_mems = Some(asked(choices.text(&["0", "-", "1", ","]))),
            7 => limits.pids = Some(asked(self.size(choices))),
            8 => limits.io_weight = Some(asked(self.size(choices) as u32)),
            9 => limits.devices.push(asked(DeviceLimit {
                device: (choices.number() as u32, choices.number() as u32),
                rate: choices.pick(&[Rate::ReadBytes, Rate::WriteOperations]),
                per_second: choices.number(),
            })),
            10 if !self.launched => {
                let name = choices.text(&["memory", ".", "high", "pids", "max", "/", ".."]);
                limits.files.push(asked((name, choices.text(&NAMES))));
                limits.parent = choices.yes().then(|| asked(self.path(choices)));
            }
            _ => limits.best_effort = Some(Origin::text("test")),
        }
    }
}

#[derive(Clone, Copy)]
enum MountKindWord {
    Devpts,
    Mqueue,
}

impl MountKindWord {
    fn kind(self) -> MountKind {
        match self {
            Self::Devpts => MountKind::Devpts,
            Self::Mqueue => MountKind::Mqueue,
        }
    }
}

fn namespaces(spec: &mut Spec, choices: &mut Choices<'_>) {
    let own = choices.pick(&[Namespace::Private, Namespace::Host]);
    let all = &mut spec.namespaces;
    match choices.below(7) {
        0 => all.uts = asked(own),
        1 => all.pid = asked(own),
        2 => all.ipc = asked(own),
        3 => all.net = asked(own.into()),
        4 => all.cgroup = asked(own),
        5 => {
            let id = |choices: &mut Choices<'_>| {
                choices.pick(&[0, 1, 1000, 100_000, u32::MAX - 1, u32::MAX])
            };
            let mapping = IdMapping {
                container_id: id(choices),
                host_id: id(choices),
                size: id(choices),
            };
            let list = choices.pick(&[true, false]);
            let list = if list {
                &mut all.uid_mappings
            } else {
                &mut all.gid_mappings
            };
            list.push(asked(mapping));
        }
        _ => {
            all.user = asked(choices.pick(&[
                UserNamespace::IfNeeded,
                UserNamespace::Auto,
                UserNamespace::KeepId,
                UserNamespace::NoMap,
                UserNamespace::Host,
            ]));
        }
    }
}

fn seccomp(spec: &mut Spec, choices: &mut Choices<'_>) {
    let seccomp = &mut spec.seccomp;
    match choices.below(5) {
        0 => {
            seccomp.filter = asked(if choices.yes() {
                SeccompFilter::Default
            } else {
                SeccompFilter::Off
            });
        }
        1 => seccomp.log = Some(Origin::text("test")),
        2 => seccomp.trace = Some(Origin::text("test")),
        3 => seccomp
            .arches
            .push(asked(choices.pick(&[Arch::X86, Arch::Arm, Arch::X86_64]))),
        _ => {
            if let Ok(filter) = SeccompFilter::from_json(profile(choices).as_bytes()) {
                seccomp.filter = asked(filter);
            }
        }
    }
}

/// A profile of system calls as of OCI or docker.
pub(crate) fn profile(choices: &mut Choices<'_>) -> String {
    const ACTIONS: [&str; 8] = [
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_LOG",
        "SCMP_ACT_TRAP",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_NOTIFY",
    ];
    const OPS: [&str; 8] = [
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_EQ",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
        "SCMP_CMP_MASKED_EQ",
        "SCMP_CMP_IS",
    ];
    const NAMES: [&str; 8] = [
        "read",
        "write",
        "openat",
        "ioctl",
        "clone",
        "socketcall",
        "ptrace",
        "no_such_call",
    ];
    let rules: Vec<serde_json::Value> = (0..choices.below(6))
        .map(|_| {
            let names: Vec<&str> = (0..1 + choices.below(3)).map(|_| choices.pick(&NAMES)).collect();
            let args: Vec<serde_json::Value> = (0..choices.below(3))
                .map(|_| {
                    serde_json::json!({
                        "index": choices.below(7), "value": choices.number(), "valueTwo": choices.number(),
                        "op": choices.pick(&OPS),
                    })
                })
                .collect();
            let mut rule = serde_json::json!({"names": names, "action": choices.pick(&ACTIONS), "args": args});
            if choices.rarely(3) {
                rule["errnoRet"] = (choices.number() % 5000).into();
            }
            if choices.rarely(4) {
                let when = choices.pick(&["includes", "excludes"]);
                rule[when] = serde_json::json!({"caps": [choices.pick(&["CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_X"])]});
            }
            rule
        })
        .collect();
    let all = serde_json::json!({
        "defaultAction": choices.pick(&ACTIONS),
        "architectures": [choices.pick(&["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_X86"])],
        "syscalls": rules,
    });
    all.to_string()
}
