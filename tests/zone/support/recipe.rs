//! Boxes whose plans have, together, every kind of step.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::Path;
use std::thread;

use clonebox::{
    Access, BothIds, CapabilitySet, Command, Hierarchy, HostFacts, IdMapping, IdRange, JoinFacts,
    Mount, MountFacts, Namespace, Network, NetworkNamespace, Origin, ParentDeath, PathFacts,
    PathRule, Plan, Pool, Redirect, Resource, Rlimit, Rootfs, SeccompFilter, Setting, SourceKind,
    Spec, Stdio, Template,
    TemplateMounts::{self, EachLaunch, Once},
    TimeOffset, Tty, User, UserNamespace, Writes,
};
use nix::fcntl::{FcntlArg, fcntl};

use super::filter;
use super::harness::Test;
use super::need::Need::{
    self, Box, Execveat, Idmap, Landlock, Limits, MountSetattr, OpenTreeNamespace, Ptmx, Root,
    Seccomp, Subids, TimeNamespace, Userns,
};
use super::program::Program;
use super::running;

/// Every system call that some plan has. A new kind of step is written down here, and gets a recipe.
pub(crate) const CALLS: [&str; 55] = [
    "capset",
    "chdir",
    "chroot",
    "close",
    "close_range",
    "dup3",
    "execve",
    "execveat",
    "exit_group",
    "fchdir",
    "fchown",
    "fcntl",
    "fsconfig",
    "fsmount",
    "fsopen",
    "futex",
    "getcwd",
    "getpid",
    "ioctl",
    "keyctl",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "mkdirat",
    "mknodat",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "openat",
    "openat2",
    "pivot_root",
    "ppoll",
    "prctl",
    "prlimit64",
    "rt_sigaction",
    "rt_sigprocmask",
    "seccomp",
    "sendmsg",
    "setgroups",
    "sethostname",
    "setns",
    "setpgid",
    "setpriority",
    "setresgid",
    "setresuid",
    "setsid",
    "socket",
    "statfs",
    "statx",
    "symlinkat",
    "umask",
    "umount2",
    "unshare",
    "write",
];

/// The number of a descriptor that is passed on.
const PASSED: i32 = 20;

/// A box, and the situation in which it has the plan that it is here for.
pub(crate) struct Recipe {
    /// What kind of box: a piece of a test's name.
    pub(crate) name: &'static str,
    needs: &'static [Need],
    /// Makes this process one whose boxes get that plan.
    situation: fn(&Path),
    spec: fn(&mut Spec, &Path),
    /// The same situation as facts, where no box is started.
    facts: fn(&mut HostFacts),
    /// Whether launches have mounts in common.
    mounts: TemplateMounts,
}

fn nothing(_: &Path) {}
fn as_it_is(_: &mut HostFacts) {}

/// All of them.
pub(crate) static RECIPES: [Recipe; 32] = [
    Recipe {
        name: "a_plain_box",
        needs: &[Box],
        situation: nothing,
        spec: |_, _| {},
        facts: as_it_is,
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_many_settings",
        needs: &[Box],
        situation: |_| pass_a_descriptor(),
        spec: |spec, _| many_settings(spec),
        facts: as_it_is,
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_a_filter",
        needs: &[Box, Seccomp],
        situation: nothing,
        spec: |spec, _| {
            spec.seccomp.filter = asked(SeccompFilter::Default);
            spec.seccomp.log = Some(origin());
        },
        facts: as_it_is,
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_whose_filter_is_traced",
        needs: &[Root, Seccomp],
        situation: nothing,
        spec: |spec, program| {
            root(spec, program, Writes::Through);
            spec.seccomp.trace = Some(origin());
        },
        facts: |facts| facts.paths = paths(0),
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_that_joins_a_network",
        needs: &[Root],
        situation: nothing,
        spec: |spec, _| {
            let network = NetworkNamespace::open("/proc/self/ns/net").expect("/proc");
            spec.namespaces.net = asked(Network::Join(network));
        },
        facts: as_it_is,
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_an_oom_score",
        needs: &[Box],
        situation: nothing,
        spec: |spec, _| spec.oom_score_adj = Some(asked(1000)),
        facts: as_it_is,
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_a_user_namespace",
        needs: &[Userns],
        situation: nothing,
        spec: |spec, _| map_the_caller(spec),
        facts: the_caller,
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_other_ids_than_roots",
        needs: &[Root, Userns],
        situation: nothing,
        spec: |spec, _| {
            spec.namespaces.user = asked(UserNamespace::Auto);
            spec.user = Some(asked(User { uid: 33, gid: 33 }));
        },
        facts: ids_of_root,
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_a_root_filesystem_whose_ids_are_mapped",
        needs: &[Root, Idmap, Ptmx],
        situation: nothing,
        spec: |spec, program| {
            root(spec, program, Writes::Discard);
            spec.namespaces.user = asked(UserNamespace::Auto);
            spec.tty = asked(Tty::New);
            let mut mount = Mount::bind("/tmp", "/new").read_only();
            mount.attributes.idmap = true;
            spec.mounts.push(asked(mount));
        },
        facts: |facts| {
            ids_of_root(facts);
            facts.paths = paths(1);
        },
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_subordinate_ids_and_a_score",
        needs: &[Subids],
        situation: nothing,
        spec: |spec, _| {
            spec.namespaces.user = asked(UserNamespace::Auto);
            spec.user = Some(asked(User { uid: 33, gid: 33 }));
            spec.oom_score_adj = Some(asked(1000));
        },
        facts: ids_of_root,
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_of_another_user_on_a_new_terminal",
        needs: &[Root, Ptmx],
        situation: nothing,
        spec: |spec, _| {
            spec.user = Some(asked(User {
                uid: 1234,
                gid: 1234,
            }));
            spec.tty = asked(Tty::New);
        },
        facts: as_it_is,
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_on_the_callers_terminal",
        needs: &[Box, Ptmx],
        situation: |_| take_a_terminal(),
        spec: |spec, _| spec.tty = asked(Tty::Inherit),
        facts: |facts| {
            facts.terminals = [true; 3];
            facts.foreground = true;
        },
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_its_own_clocks",
        needs: &[TimeNamespace],
        situation: nothing,
        spec: |spec, _| {
            spec.namespaces.time = Some(asked(TimeOffset {
                monotonic_s: 1,
                boottime_s: 1,
            }));
        },
        facts: as_it_is,
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_an_init_and_a_search",
        needs: &[Box],
        situation: nothing,
        spec: |spec, program| {
            search(spec, program);
            spec.init = Some(origin());
        },
        facts: as_it_is,
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_without_clone3",
        needs: &[Box, Seccomp],
        situation: do_without_clone3,
        spec: search,
        facts: |facts| facts.clone3 = false,
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_where_close_range_is_old",
        needs: &[Box, Seccomp],
        situation: |_| {
            have_an_old_close_range();
            pass_a_descriptor();
        },
        spec: |spec, _| {
            spec.fds.push(asked(PASSED));
            spec.init = Some(origin());
        },
        facts: |facts| facts.close_range_cloexec = false,
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_a_root_filesystem",
        needs: &[Root],
        situation: nothing,
        spec: |spec, program| {
            root(spec, program, Writes::Through);
            spec.read_only = Some(origin());
            spec.namespaces.ipc = asked(Namespace::Private);
        },
        facts: |facts| facts.paths = paths(0),
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_a_root_in_memory",
        needs: &[Root],
        situation: nothing,
        spec: |spec, program| {
            let directory = program.parent().expect("a path");
            let name = program.file_name().expect("a path");
            spec.rootfs = Some(asked(Rootfs::memory()));
            spec.exec.program = Path::new("/new").join(name).into();
            let mount = Mount::bind(directory, "/new").read_only();
            spec.mounts.push(asked(mount));
            spec.read_only = Some(origin());
        },
        facts: |facts| facts.paths = paths(1),
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_an_overlay_mounts_and_a_terminal",
        needs: &[Root, Ptmx],
        situation: nothing,
        spec: |spec, program| {
            root(spec, program, Writes::Discard);
            spec.tty = asked(Tty::New);
            for mount in [
                Mount::bind("/proc/self", "/new/bind").read_only(),
                Mount::tmpfs("/new/tmpfs"),
                Mount::file("data", "/new/tmpfs/file"),
                Mount::parse("type=mqueue,dst=/new/mqueue").expect("a good description"),
            ] {
                spec.mounts.push(asked(mount));
            }
        },
        facts: |facts| facts.paths = paths(4),
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_mounts_on_the_callers_root",
        needs: &[Box],
        situation: nothing,
        spec: |spec, _| {
            for mount in [Mount::tmpfs("/sys"), Mount::bind("/", "/sys/root")] {
                spec.mounts.push(asked(mount));
            }
        },
        facts: |facts| facts.paths = paths(2),
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_a_user_namespace_and_a_root_filesystem",
        needs: &[Userns],
        situation: nothing,
        spec: |spec, program| {
            root(spec, program, Writes::Through);
            map_the_caller(spec);
            spec.disable_userns = Some(origin());
            spec.mounts.push(asked(Mount::tmpfs("/tmp")));
        },
        facts: |facts| {
            the_caller(facts);
            facts.paths = paths(1);
        },
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_landlock",
        needs: &[Box, Landlock],
        situation: nothing,
        spec: |spec, program| {
            spec.landlock.paths = vec![
                asked(PathRule {
                    path: program.to_owned(),
                    access: Access::Execute,
                }),
                asked(PathRule {
                    path: "/".into(),
                    access: Access::Read,
                }),
            ];
            spec.landlock.connect.push(asked(443));
        },
        facts: |facts| facts.landlock = 7,
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_a_root_filesystem_volumes_and_limits",
        needs: &[Root, Limits],
        situation: nothing,
        spec: |spec, program| {
            root(spec, program, Writes::Through);
            spec.limits.pids = Some(asked(64));
            spec.limits.memory = Some(asked(64 << 20));
            spec.mounts = vec![
                asked(Mount::bind("/usr", "/new/volume")),
                asked(Mount::tmpfs("/new/tmpfs")),
            ];
            spec.masks.mask.push(asked("/proc/tty".into()));
            spec.masks.unmask.push(asked("/proc/sys".into()));
        },
        facts: |facts| {
            facts.paths = paths(2);
            let hierarchy = |controller: &str, names: &str| Hierarchy {
                controllers: vec![controller.to_owned()],
                names: names.to_owned(),
                mount: Path::new("/sys/fs/cgroup").join(names),
                ..Hierarchy::default()
            };
            facts.cgroups.hierarchies =
                vec![hierarchy("pids", "pids,one"), hierarchy("memory", "memory")];
        },
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_limits",
        needs: &[Limits],
        situation: nothing,
        spec: |spec, _| {
            spec.limits.pids = Some(asked(64));
            spec.namespaces.cgroup = asked(Namespace::Private);
        },
        facts: |facts| {
            facts.cgroups.hierarchies = vec![Hierarchy {
                controllers: vec!["pids".to_owned()],
                ..Hierarchy::default()
            }];
        },
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_a_root_filesystem_on_an_old_kernel",
        needs: &[Root, Seccomp],
        situation: |_| have_an_old_kernel(),
        spec: |spec, program| {
            let upper = program.parent().expect("a path").to_owned();
            root(spec, program, Writes::Keep(upper));
            spec.read_only = Some(origin());
            let mount = Mount::bind("/proc/self", "/new/old").read_only();
            spec.mounts.push(asked(mount));
        },
        facts: |facts| {
            facts.paths = PathFacts {
                openat2: false,
                mount_setattr: false,
                ..paths(1)
            };
        },
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_whose_mounts_begin_with_its_root",
        needs: &[Root, OpenTreeNamespace],
        situation: nothing,
        spec: |spec, program| {
            some_of_each(spec, program);
            spec.mounts.push(asked(Mount::bind("/usr", "/new/other")));
        },
        facts: |facts| facts.paths = paths_of_linux_7(4),
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_whose_mounts_begin_with_the_lower_layer",
        needs: &[Root, OpenTreeNamespace],
        situation: nothing,
        spec: |spec, program| {
            let upper = program.parent().expect("a path").to_owned();
            root(spec, program, Writes::Keep(upper));
            spec.mounts.push(asked(Mount::bind("/usr", "/new/bind")));
        },
        facts: |facts| facts.paths = paths_of_linux_7(1),
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_with_an_overlay_where_open_tree_makes_no_namespaces",
        needs: &[Root, Seccomp, MountSetattr],
        situation: |_| have_no_new_namespaces(),
        spec: |spec, program| {
            root(spec, program, Writes::Discard);
            spec.mounts.push(asked(Mount::bind("/usr", "/new/bind")));
        },
        facts: |facts| facts.paths = paths(1),
        mounts: EachLaunch,
    },
    Recipe {
        name: "a_box_of_a_template",
        needs: &[Root, MountSetattr],
        situation: nothing,
        spec: some_of_each,
        facts: |facts| facts.paths = paths(3),
        mounts: Once,
    },
    Recipe {
        name: "a_box_of_a_template_with_a_bind_in_a_tmpfs",
        needs: &[Root, MountSetattr],
        situation: nothing,
        spec: |spec, program| {
            let upper = program.parent().expect("a path").to_owned();
            root(spec, program, Writes::Keep(upper));
            let mounts = [
                Mount::tmpfs("/new/tmpfs"),
                Mount::bind("/usr", "/new/tmpfs/bind"),
                Mount::file("data", "/new/tmpfs/file"),
            ];
            spec.mounts.extend(mounts.map(asked));
        },
        facts: |facts| facts.paths = paths(3),
        mounts: Once,
    },
    Recipe {
        name: "a_box_of_a_template_with_an_overlay_and_a_terminal",
        needs: &[Root, Ptmx, MountSetattr],
        situation: nothing,
        spec: |spec, program| {
            root(spec, program, Writes::Discard);
            spec.tty = asked(Tty::New);
            let layers = program.parent().expect("a path").display();
            let overlay = format!("type=overlay,lowerdir={layers}:/usr,dst=/new/overlay");
            let mounts = [
                Mount::bind("/usr", "/new/bind").read_only(),
                Mount::parse(&overlay).expect("a good description"),
            ];
            spec.mounts.extend(mounts.map(asked));
        },
        facts: |facts| facts.paths = paths(2),
        mounts: Once,
    },
    Recipe {
        name: "a_program_that_joins_a_box",
        needs: &[Box, Execveat],
        situation: |program| drop(running::start(program)),
        spec: |spec, program| spec.join = Some(asked(running::join(program))),
        facts: |facts| {
            facts.join = Some(Ok(JoinFacts {
                namespaces: libc::CLONE_NEWNS | libc::CLONE_NEWPID,
                ..JoinFacts::default()
            }));
        },
        mounts: EachLaunch,
    },
];

impl Recipe {
    /// The first of them.
    pub(crate) fn plain() -> &'static Self {
        &RECIPES[0]
    }

    /// Whether launches have mounts in common.
    pub(crate) fn is_template(&self) -> bool {
        self.mounts == Once
    }

    /// Whether it has a new terminal.
    pub(crate) fn needs_terminal(&self) -> bool {
        self.needs.contains(&Ptmx)
    }

    pub(crate) fn needs(&self, need: Need) -> bool {
        self.needs.contains(&need)
    }

    /// A test of this box in a process of its own: `name`, with the box's name for `{}`.
    pub(crate) fn test(
        &'static self,
        module: &str,
        name: &str,
        more_needs: &[Need],
        run: fn(&Self),
    ) -> Test {
        let needs = [self.needs, more_needs].concat();
        Test::new(module, &name.replace("{}", self.name), &needs, move || {
            run(self);
        })
    }

    /// Brings the situation about and compiles the box. It is launched by the thread that asks, so
    /// that this thread's filters are the child's.
    pub(crate) fn prepare(&self, program: &Path) -> Template {
        (self.situation)(program);
        settle(program);
        let spec = self.describe(program);
        let redirected = spec.stdio.map(|stream| stream == Redirect::Supplied);
        let mut command = Command::from(spec);
        let [stdin, stdout, stderr] = redirected;
        if stdin {
            command.stdin(Stdio::null());
        }
        if stdout {
            command.stdout(Stdio::null());
        }
        if stderr {
            command.stderr(Stdio::null());
        }
        command.template_mounts(self.mounts);
        let template = command.prepare().expect("a good description");
        assert_eq!(template.shares_mounts(), self.mounts == Once);
        template
    }

    /// The description, and the facts about a machine where this situation is found.
    pub(crate) fn on_paper(&self, mut facts: HostFacts) -> (Spec, HostFacts) {
        (self.facts)(&mut facts);
        (self.describe(Path::new("/bin/true")), facts)
    }

    fn describe(&self, program: &Path) -> Spec {
        let mut spec = Spec::new(program);
        spec.parent_death = asked(ParentDeath::KillWithThread);
        (self.spec)(&mut spec, program);
        spec
    }
}

/// What a pool is made of. Its boxes cannot end with the thread that makes them.
pub(crate) fn of_a_pool(program: &Path) -> Template {
    let mut command = Command::new(program);
    command
        .parent_death(ParentDeath::Survive)
        .hostname("stands");
    command.prepare().expect("a good description")
}

/// The same with limits, a root filesystem and a volume.
pub(crate) fn of_a_limited_pool(program: &Path) -> Template {
    let mut spec = Spec::new(program);
    root(&mut spec, program, Writes::Discard);
    spec.parent_death = asked(ParentDeath::Survive);
    spec.limits.pids = Some(asked(64));
    spec.limits.memory = Some(asked(64 << 20));
    spec.mounts.push(asked(Mount::bind("/usr", "/new/volume")));
    let template = Command::from(spec).prepare();
    template.expect("a good description")
}

/// The name under which [`launch`] takes a box of a pool.
pub(crate) const A_POOL: &str = "a_pool";

fn launch_from_a_pool() {
    let program = Program::new();
    let pool = Pool::new(&of_a_pool(&program.path()), 1).expect("a pool");
    print(vec![pool.plan().to_json()]);
    let status = pool.spawn().expect("the box starts").wait();
    assert!(status.expect("it ends").success());
}

#[expect(clippy::print_stdout, reason = "another process reads it")]
fn print(plans: Vec<serde_json::Value>) {
    println!("{}", serde_json::Value::from(plans));
}

/// Launches a box of this name once, and prints the plans that it has followed.
pub(crate) fn launch(name: &str) {
    if name == A_POOL {
        return launch_from_a_pool();
    }
    let recipe = RECIPES.iter().find(|recipe| recipe.name == name);
    let program = Program::new();
    let template = recipe.expect("a recipe").prepare(&program.path());
    let plans = [template.mounts_plan(), Some(template.plan())];
    print(plans.into_iter().flatten().map(Plan::to_json).collect());
    let status = template.spawn().expect("the box starts").wait();
    assert!(status.expect("it ends").success());
}

fn origin() -> Origin {
    Origin::text("the recipe")
}

fn asked<T>(value: T) -> Setting<T> {
    Setting::new(value, origin())
}

fn many_settings(spec: &mut Spec) {
    spec.hostname = Some(asked("many".to_owned()));
    spec.namespaces.ipc = asked(Namespace::Private);
    spec.namespaces.net = asked(Network::Private);
    spec.namespaces.cgroup = asked(Namespace::Private);
    spec.workdir = Some(asked("/".into()));
    spec.umask = Some(asked(0o27));
    spec.nice = Some(asked(19));
    spec.rlimits.push(asked(Rlimit {
        resource: Resource::RLIMIT_CORE,
        soft: 0,
        hard: 0,
    }));
    spec.fds.push(asked(PASSED));
    spec.stdio = [Redirect::Supplied; 3];
    spec.timings = true;
}

/// The program's directory becomes the root.
fn root(spec: &mut Spec, program: &Path, writes: Writes) {
    let path = program.parent().expect("a path").to_owned();
    spec.exec.program = Path::new("/")
        .join(program.file_name().expect("a path"))
        .into();
    spec.rootfs = Some(asked(Rootfs { path, writes }));
}

/// A read-only root filesystem with mounts of three kinds.
fn some_of_each(spec: &mut Spec, program: &Path) {
    root(spec, program, Writes::Through);
    spec.read_only = Some(origin());
    let mounts = [
        Mount::bind("/usr", "/new/bind").read_only(),
        Mount::file("data", "/new/file").read_only(),
        Mount::tmpfs("/new/tmpfs"),
    ];
    spec.mounts.extend(mounts.map(asked));
}

/// A user namespace in which the caller is root, and alone.
fn map_the_caller(spec: &mut Spec) {
    let one = |host_id| IdMapping {
        container_id: 0,
        host_id,
        size: 1,
    };
    let own = &mut spec.namespaces;
    own.uid_mappings = vec![asked(one(nix::unistd::geteuid().as_raw()))];
    own.gid_mappings = vec![asked(one(nix::unistd::getegid().as_raw()))];
}

/// Whoever runs the tests.
fn the_caller(facts: &mut HostFacts) {
    facts.uid = nix::unistd::geteuid().as_raw();
    facts.gid = nix::unistd::getegid().as_raw();
}

/// Root of the first user namespace.
fn ids_of_root(facts: &mut HostFacts) {
    let all = vec![IdRange {
        first: 0,
        count: u32::MAX,
    }];
    facts.uid = 0;
    facts.effective = CapabilitySet::ALL;
    facts.ids.initial = true;
    facts.ids.own = BothIds {
        uids: all.clone(),
        gids: all,
    };
}

/// What is known of so many mounts whose targets are not there.
fn paths(mounts: usize) -> PathFacts {
    let missing = MountFacts {
        in_root: true,
        place: Some("/new".into()),
        source: SourceKind::Directory,
        creatable: true,
        ..MountFacts::default()
    };
    PathFacts {
        openat2: true,
        mount_setattr: true,
        initial_user_namespace: true,
        own_network: true,
        mounts: vec![missing; mounts],
        ..PathFacts::default()
    }
}

/// The same where open_tree(2) makes mount namespaces.
fn paths_of_linux_7(mounts: usize) -> PathFacts {
    PathFacts {
        open_tree_namespace: true,
        ..paths(mounts)
    }
}

/// Asks for the facts on a thread to which new calls are refused; they are kept for the process.
fn have_an_old_kernel() {
    thread::spawn(|| {
        filter::refuse(&[libc::SYS_openat2, libc::SYS_mount_setattr], libc::ENOSYS);
        let mut spec = Spec::new("nothing");
        spec.mounts.push(asked(Mount::tmpfs("/tmp")));
        let facts = HostFacts::gather(&spec);
        assert!(!facts.paths.openat2 && !facts.paths.mount_setattr);
    })
    .join()
    .expect("the facts have been asked for");
}

/// Asks for the facts on a thread to which open_tree(2) makes no mount namespaces, as before Linux 7.0.
fn have_no_new_namespaces() {
    thread::spawn(|| {
        filter::refuse_new_namespaces();
        let mut spec = Spec::new("nothing");
        root(&mut spec, Path::new("/bin/true"), Writes::Through);
        let facts = HostFacts::gather(&spec);
        assert!(!facts.paths.open_tree_namespace);
    })
    .join()
    .expect("the facts have been asked for");
}

/// The program by its name, found in the third directory of PATH.
fn search(spec: &mut Spec, program: &Path) {
    let directory = program.parent().expect("a path").as_os_str();
    let mut path = OsString::from("/nonexistent/1:/nonexistent/2:");
    path.push(directory);
    spec.exec.program = program.file_name().expect("a path").to_owned();
    let pair = ("PATH".into(), Some(path));
    spec.env.changes.push(asked(pair));
}

fn pass_a_descriptor() {
    let null = File::open("/dev/null").expect("there is /dev/null");
    let number = fcntl(&null, FcntlArg::F_DUPFD(PASSED)).expect("a descriptor is free");
    assert_eq!(number, PASSED);
}

/// A session with a controlling terminal, which is standard input.
fn take_a_terminal() {
    let pty = nix::pty::openpty(None, None).expect("a terminal can be made");
    nix::unistd::setsid().expect("no group is led from here");
    // SAFETY: the call takes numbers and touches no memory.
    let taken = unsafe { libc::ioctl(pty.slave.as_raw_fd(), libc::TIOCSCTTY, 0) };
    assert_eq!(taken, 0, "a session may take a terminal that nobody has");
    nix::unistd::dup2_stdin(&pty.slave).expect("standard input can be replaced");
    // It stays open as long as the process: a terminal that is hung up hangs up.
    let _ = pty.master.into_raw_fd();
}

/// Starts a box: it may turn out that clone3(2) is refused here, which changes plans.
fn settle(program: &Path) {
    let mut command = Command::new(program);
    command.parent_death(ParentDeath::KillWithThread);
    let status = command.status().expect("a box can be started");
    assert!(status.success());
}

/// Launches a box on a thread to which clone3(2) is refused after the compilation; the whole process
/// learns from it.
pub(crate) fn do_without_clone3(program: &Path) {
    let mut command = Command::new(program);
    command.parent_death(ParentDeath::KillWithThread);
    let template = command.prepare().expect("a good description");
    thread::scope(|scope| {
        scope.spawn(|| {
            filter::refuse(&[libc::SYS_clone3], libc::ENOSYS);
            let status = template.spawn().expect("clone(2) works").wait();
            assert!(status.expect("it ends").success());
        });
    });
    let facts = HostFacts::gather(&Spec::new("nothing"));
    assert!(!facts.clone3, "the process knows");
}

/// Asks for the facts on a thread to which close_range(2) is refused; they are kept for the process.
fn have_an_old_close_range() {
    thread::spawn(|| {
        filter::refuse(&[libc::SYS_close_range], libc::EINVAL);
        let facts = HostFacts::gather(&Spec::new("nothing"));
        assert!(!facts.close_range_cloexec);
    })
    .join()
    .expect("the facts have been asked for");
}
