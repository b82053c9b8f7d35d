// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options as they are typed: the one list of them. What they mean is in `convert.rs`.

use argh::{ArgsInfo, FlagInfoKind, FromArgs, Optionality};

use crate::usage::UsageError;

/// Puts a program into its own Linux namespaces.
#[derive(ArgsInfo, Debug, FromArgs)]
pub(crate) struct Args {
    /// words that belong together
    #[argh(option)]
    #[expect(dead_code, reason = "words.rs puts what it stands for in its place")]
    pub(crate) profile: Vec<String>,
    /// file of words
    #[argh(option)]
    #[expect(dead_code, reason = "words.rs puts what it stands for in its place")]
    pub(crate) config: Vec<String>,
    /// name of the box
    #[argh(option)]
    pub(crate) name: Option<String>,
    /// host name inside
    #[argh(option)]
    pub(crate) hostname: Option<String>,
    /// variable of the environment
    #[argh(option, short = 'e')]
    pub(crate) env: Vec<String>,
    /// file of variables
    #[argh(option)]
    pub(crate) env_file: Vec<String>,
    /// leave out the caller's environment
    #[argh(switch)]
    pub(crate) env_clear: bool,
    /// working directory
    #[argh(option, short = 'w')]
    pub(crate) workdir: Option<String>,
    /// user and group
    #[argh(option, short = 'u')]
    pub(crate) user: Option<String>,
    /// file mode creation mask
    #[argh(option)]
    pub(crate) umask: Option<String>,
    /// resource limit
    #[argh(option)]
    pub(crate) ulimit: Vec<String>,
    /// nice value
    #[argh(option)]
    pub(crate) nice: Option<String>,
    /// score for when memory runs out
    #[argh(option)]
    pub(crate) oom_score_adj: Option<String>,
    /// descriptor to pass on
    #[argh(option)]
    pub(crate) fd: Vec<String>,
    /// terminal
    #[argh(option)]
    pub(crate) tty: Option<String>,
    /// an init as PID 1
    #[argh(switch)]
    pub(crate) init: bool,
    /// root filesystem
    #[argh(option)]
    pub(crate) rootfs: Option<String>,
    /// root filesystem that stays as it is
    #[argh(option)]
    pub(crate) rootfs_overlay: Option<String>,
    /// where what is written over it is kept
    #[argh(option)]
    pub(crate) upper: Option<String>,
    /// the mounts of a template
    #[argh(option)]
    #[expect(dead_code, reason = "template.rs reads it, before the rest")]
    pub(crate) template: Option<String>,
    /// a root that cannot be written to
    #[argh(switch)]
    pub(crate) read_only: bool,
    /// bind mount
    #[argh(option, short = 'v')]
    #[expect(dead_code, reason = "mounts.rs reads them, in the order of the words")]
    pub(crate) volume: Vec<String>,
    /// read-only bind mount
    #[argh(option)]
    #[expect(dead_code, reason = "mounts.rs reads them, in the order of the words")]
    pub(crate) ro_bind: Vec<String>,
    /// bind mount with devices
    #[argh(option)]
    #[expect(dead_code, reason = "mounts.rs reads them, in the order of the words")]
    pub(crate) dev_bind: Vec<String>,
    /// bind mount if there is something
    #[argh(option)]
    #[expect(dead_code, reason = "mounts.rs reads them, in the order of the words")]
    pub(crate) bind_try: Vec<String>,
    /// filesystem in memory
    #[argh(option)]
    #[expect(dead_code, reason = "mounts.rs reads them, in the order of the words")]
    pub(crate) tmpfs: Vec<String>,
    /// mount
    #[argh(option)]
    #[expect(dead_code, reason = "mounts.rs reads them, in the order of the words")]
    pub(crate) mount: Vec<String>,
    /// file with what a descriptor gives
    #[argh(option)]
    #[expect(dead_code, reason = "mounts.rs reads them, in the order of the words")]
    pub(crate) file: Vec<String>,
    /// process information
    #[argh(option)]
    pub(crate) proc: Option<String>,
    /// devices of a root filesystem
    #[argh(option)]
    pub(crate) dev: Option<String>,
    /// memory
    #[argh(option, short = 'm')]
    pub(crate) memory: Option<String>,
    /// memory that is left to the box
    #[argh(option)]
    pub(crate) memory_reservation: Option<String>,
    /// memory and swap
    #[argh(option)]
    pub(crate) memory_swap: Option<String>,
    /// processors
    #[argh(option)]
    pub(crate) cpus: Option<String>,
    /// share of the processors
    #[argh(option)]
    pub(crate) cpu_shares: Option<String>,
    /// share of the processors
    #[argh(option)]
    pub(crate) cpu_weight: Option<String>,
    /// processors that may be used
    #[argh(option)]
    pub(crate) cpuset_cpus: Option<String>,
    /// memory nodes that may be used
    #[argh(option)]
    pub(crate) cpuset_mems: Option<String>,
    /// processes and threads
    #[argh(option)]
    pub(crate) pids_limit: Option<String>,
    /// share of the disks
    #[argh(option)]
    pub(crate) io_weight: Option<String>,
    /// bytes a second
    #[argh(option)]
    pub(crate) device_read_bps: Vec<String>,
    /// bytes a second
    #[argh(option)]
    pub(crate) device_write_bps: Vec<String>,
    /// reads a second
    #[argh(option)]
    pub(crate) device_read_iops: Vec<String>,
    /// writes a second
    #[argh(option)]
    pub(crate) device_write_iops: Vec<String>,
    /// file of the cgroup
    #[argh(option)]
    pub(crate) cgroup_conf: Vec<String>,
    /// cgroup above
    #[argh(option)]
    pub(crate) cgroup_parent: Option<String>,
    /// go on without limits that cannot be set
    #[argh(switch)]
    pub(crate) best_effort_limits: bool,
    /// PID namespace
    #[argh(option)]
    pub(crate) pid: Option<String>,
    /// UTS namespace
    #[argh(option)]
    pub(crate) uts: Option<String>,
    /// IPC namespace
    #[argh(option)]
    pub(crate) ipc: Option<String>,
    /// network namespace
    #[argh(option)]
    pub(crate) net: Option<String>,
    /// port of the host that leads to one of the box
    #[argh(option, short = 'p')]
    pub(crate) publish: Vec<String>,
    /// cgroup namespace
    #[argh(option)]
    pub(crate) cgroupns: Option<String>,
    /// user namespace
    #[argh(option)]
    pub(crate) userns: Option<String>,
    /// user ids of a user namespace
    #[argh(option)]
    pub(crate) uidmap: Vec<String>,
    /// group ids of a user namespace
    #[argh(option)]
    pub(crate) gidmap: Vec<String>,
    /// offset of the clocks
    #[argh(option)]
    pub(crate) time_offset: Option<String>,
    /// capability to keep
    #[argh(option)]
    pub(crate) cap_add: Vec<String>,
    /// capability to drop
    #[argh(option)]
    pub(crate) cap_drop: Vec<String>,
    /// filter of system calls
    #[argh(option)]
    pub(crate) seccomp: Option<String>,
    /// log refused system calls
    #[argh(switch)]
    pub(crate) seccomp_log: bool,
    /// make refused system calls, and print them
    #[argh(switch)]
    pub(crate) seccomp_trace: bool,
    /// filter programs of another architecture as well
    #[argh(option)]
    pub(crate) seccomp_allow_arch: Option<String>,
    /// let execve grant privileges
    #[argh(switch)]
    pub(crate) allow_new_privs: bool,
    /// words of docker's
    #[argh(option)]
    pub(crate) security_opt: Vec<String>,
    /// files that may be read
    #[argh(option)]
    pub(crate) ll_ro: Vec<String>,
    /// files that may be executed
    #[argh(option)]
    pub(crate) ll_exec: Vec<String>,
    /// files that may be written
    #[argh(option)]
    pub(crate) ll_rw: Vec<String>,
    /// TCP port to connect to
    #[argh(option)]
    pub(crate) ll_connect: Vec<String>,
    /// TCP port to bind to
    #[argh(option)]
    pub(crate) ll_bind: Vec<String>,
    /// no box if not all can be enforced
    #[argh(switch)]
    pub(crate) ll_strict: bool,
    /// session keyring
    #[argh(option)]
    pub(crate) keyring: Option<String>,
    /// no user namespaces inside
    #[argh(switch)]
    pub(crate) disable_userns: bool,
    /// outlive clonebox
    #[argh(switch)]
    pub(crate) survive: bool,
    /// go on without the caller
    #[argh(option, short = 'd')]
    pub(crate) detach: Option<String>,
    /// what is kept of what a detached box writes
    #[argh(option)]
    pub(crate) log_size: Option<String>,
    /// kill the box after this time
    #[argh(option)]
    pub(crate) timeout: Option<String>,
    /// give up the start after this time
    #[argh(option)]
    pub(crate) start_timeout: Option<String>,
    /// say nothing but errors
    #[argh(switch, short = 'q')]
    pub(crate) quiet: bool,
    /// print the plan
    #[argh(option)]
    pub(crate) explain: Option<String>,
    /// print how long each step took
    #[argh(option)]
    pub(crate) timings: Option<String>,
    /// write how the box ended
    #[argh(option)]
    pub(crate) report: Option<String>,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing.
    Nothing,
    /// A value, in the next word or after `=`.
    Value,
    /// A value after `=`, or else this one.
    Optionally(&'static str),
}

/// An option, to be recognised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// With its two dashes.
    pub(crate) long: &'static str,
    /// The letter after one dash.
    pub(crate) short: Option<char>,
    /// What it takes.
    pub(crate) takes: Takes,
    /// Whether every value counts, and not the last one only.
    pub(crate) repeats: bool,
}

/// Every option that a command has.
pub(crate) fn known<A: ArgsInfo>() -> Vec<Known> {
    let info = A::get_args_info();
    let option = |flag: &argh::FlagInfo<'static>| Known {
        long: flag.long,
        short: flag.short,
        repeats: matches!(flag.optionality, Optionality::Repeating),
        takes: match (&flag.kind, flag.long) {
            (FlagInfoKind::Switch, _) => Takes::Nothing,
            (_, "--detach") => Takes::Optionally("kept"),
            (_, "--explain") => Takes::Optionally("text"),
            (_, "--timings") => Takes::Optionally("-"),
            (FlagInfoKind::Option { .. }, _) => Takes::Value,
        },
    };
    let mut known = Vec::with_capacity(info.flags.len());
    // argh has its own word on --help; the front end answers it before.
    let flags = info.flags.iter().filter(|flag| flag.long != "--help");
    known.extend(flags.map(option));
    known
}

impl Args {
    /// Reads normalised words.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, UsageError> {
        Self::from_args(&["clonebox"], words)
            .map_err(|exit| UsageError::new(exit.output.trim().replace('\n', " ")))
    }
}
