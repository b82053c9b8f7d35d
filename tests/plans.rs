//! Plans: what a description compiles to on a host that is made up. No privilege, no clone.

use std::path::PathBuf;

use clonebox::{
    Access, BothIds, CapabilitySet, CgroupFacts, Dev, HostFacts, IdFacts, IdRange, Mount,
    MountFacts, Namespace, Network, Origin, ParentDeath, PathFacts, PathRule, Plan, Propagation,
    Redirect, Rootfs, Setting, Spec, TimeOffset, Tty, User, UserNamespace, Writes, compile,
};

#[path = "plans/limits.rs"]
mod limits;

/// A plain root on a current kernel, not at a terminal.
fn root() -> HostFacts {
    HostFacts {
        clone3: true,
        close_range_cloexec: true,
        uid: 0,
        gid: 0,
        supplementary_groups: false,
        bounding: CapabilitySet(0x1ff_ffff_ffff),
        permitted: CapabilitySet(0x1ff_ffff_ffff),
        effective: CapabilitySet(0x1ff_ffff_ffff),
        last_cap: 40,
        terminals: [false; 3],
        foreground: false,
        ignored_signals: 1 << 12,
        environment: vec![("PATH".into(), "/bin".into())],
        entropy: 1,
        user: None,
        keyctl: true,
        landlock: 7,
        devices: vec![c"/dev/null"],
        cgroups: CgroupFacts::default(),
        paths: PathFacts::default(),
        pasta: None,
        join: None,
        ids: IdFacts::default(),
    }
}

/// An ordinary user.
fn user() -> HostFacts {
    HostFacts {
        uid: 1000,
        gid: 100,
        effective: CapabilitySet::NONE,
        ..root()
    }
}

fn asked<T>(value: T) -> Setting<T> {
    Setting::new(value, Origin::text("test"))
}

fn plan(spec: &Spec, facts: &HostFacts) -> Plan {
    compile(spec, facts).expect("the description is fine")
}

fn calls(spec: &Spec, facts: &HostFacts) -> Vec<String> {
    plan(spec, facts).steps().map(|step| step.call()).collect()
}

/// The calls without those that are there for every box.
fn particular(spec: &Spec, facts: &HostFacts) -> Vec<String> {
    let plain = calls(&named(), facts);
    calls(spec, facts)
        .into_iter()
        .filter(|call| !plain.contains(call))
        .collect()
}

/// The plain box, with a name so that no randomness is in it.
fn named() -> Spec {
    Spec {
        name: Some(asked("box".to_owned())),
        ..Spec::new("true")
    }
}

#[track_caller]
fn assert_order(calls: &[String], before: &str, after: &str) {
    let at = |begin: &str| {
        calls
            .iter()
            .position(|call| call.starts_with(begin))
            .unwrap_or_else(|| panic!("no {begin} in {calls:#?}"))
    };
    assert!(
        at(before) < at(after),
        "{before} comes after {after}: {calls:#?}"
    );
}

#[test]
fn the_plain_box_of_root_is_these_calls() {
    let calls = calls(&named(), &root());
    let without_drops: Vec<&str> = calls
        .iter()
        .map(String::as_str)
        .filter(|call| !call.contains("PR_CAPBSET_DROP"))
        .collect();
    let sets = "1<<CAP_CHOWN|1<<CAP_DAC_OVERRIDE|1<<CAP_FOWNER|1<<CAP_FSETID|1<<CAP_KILL|1<<CAP_SETGID|\
                1<<CAP_SETUID|1<<CAP_SETPCAP|1<<CAP_NET_BIND_SERVICE|1<<CAP_SYS_CHROOT|1<<CAP_SETFCAP";
    let capset = format!(
        "capset({{version=_LINUX_CAPABILITY_VERSION_3, pid=0}}, {{effective={sets}, permitted={sets}, inheritable=0}})"
    );
    assert_eq!(
        without_drops,
        [
            "prctl(PR_SET_PDEATHSIG, SIGKILL)",
            "setsid()",
            "ppoll([{fd=<parent>, events=POLLIN}], 1, {tv_sec=0, tv_nsec=0}, NULL, 8)",
            "keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)",
            "sethostname(\"box\", 3)",
            "mount(NULL, \"/\", NULL, MS_REC|MS_PRIVATE, NULL)",
            "mount(\"proc\", \"/proc\", \"proc\", MS_NOSUID|MS_NODEV|MS_NOEXEC, NULL)",
            "close_range(3, 4294967295, CLOSE_RANGE_CLOEXEC)",
            &capset,
            "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)",
            "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)",
            "rt_sigaction(SIGPIPE, {sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}, NULL, 8)",
            "rt_sigaction(SIGCHLD, {sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}, NULL, 8)",
            "rt_sigprocmask(SIG_SETMASK, [], NULL, 8)",
            "execve(\"/bin/true\", [\"true\"], /* 1 vars */)",
        ]
    );
    assert_eq!(
        calls.len() - without_drops.len(),
        41 - 11,
        "every other capability leaves the bounding set"
    );
}

#[test]
fn the_same_input_gives_the_same_plan() {
    assert_eq!(
        plan(&named(), &root()).to_string(),
        plan(&named(), &root()).to_string()
    );
    assert_eq!(
        plan(&named(), &root()).to_json(),
        plan(&named(), &root()).to_json()
    );
}

#[test]
fn an_ordinary_user_gets_a_user_namespace_whose_maps_come_before_all_that_needs_root() {
    let calls = calls(&named(), &user());
    assert_order(
        &calls,
        "openat(AT_FDCWD, \"/proc/self/setgroups\"",
        "openat(AT_FDCWD, \"/proc/self/gid_map\"",
    );
    assert_order(
        &calls,
        "openat(AT_FDCWD, \"/proc/self/uid_map\"",
        "sethostname",
    );
    assert!(
        calls.contains(&"write(<fd>, \"0 1000 1\\n\", 9)".to_owned()),
        "{calls:#?}"
    );
    assert!(
        calls.contains(&"write(<fd>, \"0 100 1\\n\", 8)".to_owned()),
        "{calls:#?}"
    );
    assert!(
        !calls.iter().any(|call| call.starts_with("setgroups")),
        "it is denied: {calls:#?}"
    );
}

/// Facts of a caller who has these ids, and others below it.
fn with_ids(facts: HostFacts, subordinate: Option<IdRange>) -> HostFacts {
    let both = |ranges: Vec<IdRange>| BothIds {
        uids: ranges.clone(),
        gids: ranges,
    };
    let all = IdRange {
        first: 0,
        count: u32::MAX,
    };
    let ids = IdFacts {
        initial: true,
        own: both(vec![all]),
        subordinate: both(subordinate.into_iter().collect()),
        ..IdFacts::default()
    };
    HostFacts { ids, ..facts }
}

fn with_userns(userns: UserNamespace) -> Spec {
    let mut spec = named();
    spec.namespaces.user = asked(userns);
    spec
}

const WAIT: &str = "futex(<gate>, FUTEX_WAIT, 0, NULL)";

#[test]
fn a_child_that_waits_for_its_maps_has_looked_at_its_parent_and_then_becomes_root_of_the_box() {
    let calls = calls(&with_userns(UserNamespace::Auto), &with_ids(root(), None));
    assert_order(&calls, "ppoll", WAIT);
    assert_order(&calls, WAIT, "sethostname");
    assert_order(&calls, "mount(NULL, \"/\"", "setresgid(0, 0, 0)");
    assert_order(&calls, "setresgid(0, 0, 0)", "setresuid(0, 0, 0)");
    assert_order(&calls, "setresuid(0, 0, 0)", "mount(\"proc\"");
    let armed = calls
        .iter()
        .filter(|call| *call == "prctl(PR_SET_PDEATHSIG, SIGKILL)");
    assert_eq!(armed.count(), 2, "the kernel forgets it when ids change");
    assert!(
        !calls.iter().any(|call| call.contains("uid_map")),
        "{calls:#?}"
    );
}

#[test]
fn a_box_that_survives_is_tied_to_its_parent_while_it_waits() {
    let mut spec = with_userns(UserNamespace::Auto);
    spec.parent_death = asked(ParentDeath::Survive);
    let calls = calls(&spec, &with_ids(root(), None));
    assert_order(&calls, "prctl(PR_SET_PDEATHSIG, SIGKILL)", WAIT);
    assert_order(&calls, WAIT, "prctl(PR_SET_PDEATHSIG, 0)");
    let armed = calls
        .iter()
        .filter(|call| *call == "prctl(PR_SET_PDEATHSIG, SIGKILL)");
    assert_eq!(armed.count(), 1);
}

#[test]
fn a_child_waits_for_pasta_after_its_maps_and_is_tied_to_its_parent_until_then() {
    let with_pasta = |facts| HostFacts {
        pasta: Some("/usr/bin/pasta".into()),
        ..facts
    };
    let mut spec = with_userns(UserNamespace::Auto);
    spec.namespaces.net = asked(Network::Pasta);
    spec.parent_death = asked(ParentDeath::Survive);
    let second = "futex(<gate>, FUTEX_WAIT, 1, NULL)";
    let theirs = calls(&spec, &with_pasta(with_ids(root(), None)));
    assert_order(&theirs, "prctl(PR_SET_PDEATHSIG, SIGKILL)", "ppoll");
    assert_order(&theirs, "ppoll", WAIT);
    assert_order(&theirs, WAIT, "ioctl(<fd>, SIOCSIFFLAGS");
    assert_order(&theirs, "ioctl(<fd>, SIOCSIFFLAGS", second);
    assert_order(&theirs, second, "prctl(PR_SET_PDEATHSIG, 0)");
    assert_order(&theirs, "prctl(PR_SET_PDEATHSIG, 0)", "mount(NULL, \"/\"");
    // A child that writes its maps itself waits once.
    let own = calls(&spec, &with_pasta(user()));
    assert_order(&own, "write(<fd>, \"0 1000 1\\n\"", WAIT);
    assert_order(&own, WAIT, "prctl(PR_SET_PDEATHSIG, 0)");
    assert!(!own.iter().any(|call| call == second), "{own:#?}");
    let missing = compile(&spec, &user()).expect_err("there is no pasta");
    assert_eq!(
        missing[0].to_string(),
        "test: there is no pasta in PATH: apt install passt"
    );
}

#[test]
fn an_ordinary_user_has_subordinate_ids_where_there_are_some_and_is_alone_otherwise() {
    let spec = with_userns(UserNamespace::Auto);
    let range = IdRange {
        first: 100_000,
        count: 65_536,
    };
    let calls_with = |facts| calls(&spec, &facts);
    let full = calls_with(with_ids(user(), Some(range)));
    assert!(full.contains(&WAIT.to_owned()), "{full:#?}");
    assert!(
        !full.iter().any(|call| call.starts_with("setres")),
        "{full:#?}"
    );
    let alone = calls_with(with_ids(user(), None));
    assert!(
        alone.contains(&"write(<fd>, \"0 1000 1\\n\", 9)".to_owned()),
        "{alone:#?}"
    );
    let mut helpless = with_ids(user(), Some(range));
    helpless.ids.helpers_missing = Some("they are not there".to_owned());
    assert_eq!(calls_with(helpless), alone);
    // Without being asked, nobody is made to wait for a helper.
    assert_eq!(calls(&named(), &with_ids(user(), Some(range))), alone);
}

#[test]
fn a_user_of_the_box_is_changed_to_where_it_has_several() {
    let range = IdRange {
        first: 100_000,
        count: 65_536,
    };
    let mut spec = with_userns(UserNamespace::Auto);
    spec.user = Some(asked(User { uid: 33, gid: 44 }));
    let calls = calls(&spec, &with_ids(user(), Some(range)));
    assert_order(&calls, "prctl(PR_CAPBSET_DROP", "setresgid(44, 44, 44)");
    assert_order(&calls, "setresgid(44, 44, 44)", "setresuid(33, 33, 33)");
}

#[test]
fn mounts_of_root_come_from_the_launch_and_nobody_opens_a_path_of_the_hosts() {
    let mut spec = with_userns(UserNamespace::Auto);
    spec.rootfs = Some(asked(Rootfs {
        path: "/secret/root".into(),
        writes: Writes::Discard,
    }));
    spec.mounts
        .push(asked(Mount::bind("/secret/data", "/data")));
    let mut facts = with_ids(root(), None);
    facts.paths = PathFacts {
        mount_setattr: true,
        root_owners: [Some(0), None],
        mounts: vec![MountFacts::default()],
        ..PathFacts::default()
    };
    let made = calls(&spec, &facts);
    assert!(
        !made.iter().any(|call| call.contains("secret")),
        "{made:#?}"
    );
    assert_order(&made, "pivot_root", "umount2(\".\", MNT_DETACH)");
    let left = made
        .iter()
        .filter(|call| *call == "umount2(\".\", MNT_DETACH)");
    assert_eq!(left.count(), 2, "the layers, and the old root below them");
    facts.paths.mount_setattr = false;
    let refused = compile(&spec, &facts).expect_err("the kernel is too old");
    let reason = "/secret/root belongs to nobody of the box's user namespace (test), and this kernel cannot map \
                  the ids of a mount: mount_setattr(2) is there since Linux 5.12";
    assert_eq!(refused[0].reason, reason);
    facts.paths.root_owners = [Some(1_879_048_192), None];
    assert!(
        compile(&spec, &facts).is_ok(),
        "it has been made for the box"
    );
}

/// A box with a root filesystem and a bind, and a host that makes a mount namespace of a tree.
fn fresh(writes: Writes) -> (Spec, HostFacts) {
    let mut spec = named();
    spec.rootfs = Some(asked(Rootfs {
        path: "/secret/root".into(),
        writes,
    }));
    spec.mounts
        .push(asked(Mount::bind("/secret/data", "/data")));
    let mut facts = root();
    facts.paths = PathFacts {
        openat2: true,
        mount_setattr: true,
        open_tree_namespace: true,
        initial_user_namespace: true,
        own_network: true,
        mounts: vec![MountFacts::default()],
        ..PathFacts::default()
    };
    (spec, facts)
}

/// How many mounts a plan takes away, if it begins with the root; `None` if it copies all mounts.
fn unmounts(spec: &Spec, facts: &HostFacts) -> Option<usize> {
    let plan = plan(spec, facts);
    let copies = plan.to_string().contains("CLONE_NEWNS|");
    let made: Vec<String> = plan.steps().map(|step| step.call()).collect();
    let begins = made
        .iter()
        .any(|call| call.contains("OPEN_TREE_NAMESPACE") && call.starts_with("open_tree(<rootfs>"));
    assert_ne!(copies, begins, "{made:#?}");
    let left = made.iter().filter(|call| call.starts_with("umount2("));
    begins.then(|| left.count())
}

#[test]
fn a_mount_namespace_begins_with_the_root_where_the_kernel_makes_one_of_it() {
    for (writes, left) in [
        (Writes::Through, 0),
        (Writes::Discard, 2),
        (Writes::Keep("/secret/upper".into()), 2),
        (Writes::Memory, 1),
    ] {
        let (spec, facts) = fresh(writes);
        assert_eq!(unmounts(&spec, &facts), Some(left));
        let made = calls(&spec, &facts);
        let joins = made
            .iter()
            .position(|call| call == "setns(<namespace>, CLONE_NEWNS)");
        let (before, after) = made.split_at(joins.expect("it is joined"));
        assert!(
            !after.iter().any(|call| call.contains("secret")),
            "a path of the host's leads nowhere then: {made:#?}"
        );
        let copies = before
            .iter()
            .filter(|call| call.contains("OPEN_TREE_CLONE"));
        let private = before
            .iter()
            .filter(|call| call.starts_with("mount_setattr(") && call.contains("MS_PRIVATE"));
        assert_eq!(copies.count(), private.count(), "{made:#?}");
        assert_order(
            after,
            "setns(",
            "mount(NULL, \"/\", NULL, MS_REC|MS_PRIVATE",
        );
    }
}

#[test]
fn what_cannot_be_seen_from_a_new_mount_namespace_is_made_in_a_copy() {
    let copies = |change: fn(&mut Spec, &mut HostFacts)| {
        let (mut spec, mut facts) = fresh(Writes::Through);
        change(&mut spec, &mut facts);
        unmounts(&spec, &facts).is_none()
    };
    assert!(!copies(|_, _| {}));
    assert!(copies(|_, facts| facts.paths.open_tree_namespace = false));
    assert!(copies(|_, facts| facts.paths.mount_setattr = false));
    assert!(copies(|_, facts| facts.paths.openat2 = false));
    assert!(copies(|_, facts| facts.paths.own_network = false));
    assert!(copies(|_, facts| {
        facts.paths.initial_user_namespace = false;
    }));
    assert!(copies(|spec, _| spec.dev = asked(Dev::Host)));
    assert!(copies(|spec, _| {
        let mount = &mut spec.mounts[0].value;
        mount.attributes.propagation = Propagation::Slave;
    }));
    assert!(copies(|spec, facts| {
        let overlay = Mount::parse("type=overlay,lowerdir=/secret/a:/secret/b,dst=/c");
        spec.mounts
            .push(asked(overlay.expect("a good description")));
        facts.paths.mounts.push(MountFacts::default());
    }));
    // The caller's own root has the caller's mounts.
    assert!(copies(|spec, _| spec.rootfs = None));
}

#[test]
fn the_callers_own_root_is_not_given_to_root_of_the_box() {
    let mut spec = with_userns(UserNamespace::Auto);
    let mut facts = with_ids(root(), None);
    facts.paths = PathFacts {
        mount_setattr: true,
        root_owners: [Some(0), Some(0)],
        ..PathFacts::default()
    };
    for (writes, own_root, named) in [
        (Writes::Through, [true, false], "/srv/a"),
        (Writes::Discard, [true, false], "/srv/a"),
        (Writes::Keep("/srv/b".into()), [false, true], "/srv/b"),
    ] {
        let path = "/srv/a".into();
        spec.rootfs = Some(asked(Rootfs { path, writes }));
        facts.paths.own_root = own_root;
        let refused = compile(&spec, &facts).expect_err("it would be root outside");
        let reason = format!(
            "the caller's own root is in {named}, whose files would be those of root of the box (test): --rootfs \
             system has the programs of it, read-only"
        );
        assert_eq!(refused[0].reason, reason);
        // One that belongs to somebody of the box is not mapped: what is root's in it is nobody's.
        facts.paths.root_owners = [Some(1_879_048_192); 2];
        assert!(compile(&spec, &facts).is_ok());
        facts.paths.root_owners = [Some(0), Some(0)];
        facts.paths.own_root = [false, false];
        assert!(compile(&spec, &facts).is_ok());
    }
}

#[test]
fn in_a_user_namespace_the_user_asked_for_is_mapped_and_not_changed_to() {
    let spec = Spec {
        user: Some(asked(User { uid: 7, gid: 8 })),
        ..named()
    };
    let calls = calls(&spec, &user());
    assert!(
        calls.contains(&"write(<fd>, \"7 1000 1\\n\", 9)".to_owned()),
        "{calls:#?}"
    );
    assert!(
        !calls.iter().any(|call| call.starts_with("setres")),
        "{calls:#?}"
    );
}

#[test]
fn a_caller_passes_on_no_capability_that_it_does_not_have_itself() {
    let facts = HostFacts {
        permitted: CapabilitySet(1 << 5),
        ..root()
    };
    let calls = calls(&named(), &facts);
    let capset = calls.iter().find(|call| call.starts_with("capset"));
    assert_eq!(
        capset.unwrap(),
        "capset({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, {effective=1<<CAP_KILL, permitted=1<<CAP_KILL, inheritable=0})"
    );
}

#[test]
fn ids_change_after_the_bounding_set_and_before_the_capabilities_and_the_death_signal_comes_again()
{
    let spec = Spec {
        user: Some(asked(User { uid: 7, gid: 8 })),
        ..named()
    };
    let calls = calls(&spec, &root());
    assert_order(&calls, "prctl(PR_CAPBSET_DROP", "setgroups(0, NULL)");
    assert_order(&calls, "setgroups(0, NULL)", "setresgid(8, 8, 8)");
    assert_order(&calls, "setresgid(8, 8, 8)", "setresuid(7, 7, 7)");
    assert_order(&calls, "setresuid(7, 7, 7)", "capset");
    let armed: Vec<usize> = (0..calls.len())
        .filter(|&index| calls[index].starts_with("prctl(PR_SET_PDEATHSIG"))
        .collect();
    let changed = calls.iter().position(|call| call.starts_with("setresuid"));
    assert!(
        armed.len() == 2 && Some(armed[0]) < changed && changed < Some(armed[1]),
        "{calls:#?}"
    );
}

#[test]
fn mounts_are_private_before_anything_is_mounted_and_capabilities_go_after_it() {
    let calls = calls(&named(), &root());
    assert_order(&calls, "mount(NULL, \"/\"", "mount(\"proc\"");
    assert_order(&calls, "mount(\"proc\"", "prctl(PR_CAPBSET_DROP");
    assert_order(&calls, "prctl(PR_CAPBSET_DROP", "capset");
    assert_order(&calls, "capset", "prctl(PR_SET_NO_NEW_PRIVS");
    assert_order(&calls, "prctl(PR_SET_NO_NEW_PRIVS", "rt_sigprocmask");
}

#[test]
fn no_handler_is_left_when_the_mask_opens_without_clone3() {
    let facts = HostFacts {
        clone3: false,
        ..root()
    };
    let calls = calls(&named(), &facts);
    let resets = calls
        .iter()
        .filter(|call| call.starts_with("rt_sigaction"))
        .count();
    assert_eq!(
        resets, 62,
        "every signal but SIGKILL and SIGSTOP: {calls:#?}"
    );
    let mask = calls
        .iter()
        .position(|call| call.starts_with("rt_sigprocmask"));
    let last = calls
        .iter()
        .rposition(|call| call.starts_with("rt_sigaction"));
    assert!(last < mask, "{calls:#?}");
    assert!(plan(&named(), &facts).to_string().contains("clone(flags="));
}

#[test]
fn what_the_caller_ignores_is_reset() {
    let facts = HostFacts {
        ignored_signals: 1 | 1 << 1,
        ..root()
    };
    let extra = particular(&named(), &facts);
    assert!(extra.is_empty(), "{extra:#?}");
    let calls = calls(&named(), &facts);
    for signal in ["SIGHUP", "SIGINT", "SIGPIPE", "SIGCHLD"] {
        assert!(
            calls
                .iter()
                .any(|call| call.starts_with(&format!("rt_sigaction({signal},"))),
            "{signal}: {calls:#?}"
        );
    }
}

#[test]
fn descriptors_are_marked_in_the_gaps_between_those_that_are_passed() {
    let spec = Spec {
        fds: vec![asked(5), asked(3), asked(9)],
        ..named()
    };
    let calls = calls(&spec, &root());
    let ranges: Vec<&str> = calls
        .iter()
        .map(String::as_str)
        .filter(|call| call.starts_with("close_range"))
        .collect();
    assert_eq!(
        ranges,
        [
            "close_range(4, 4, CLOSE_RANGE_CLOEXEC)",
            "close_range(6, 8, CLOSE_RANGE_CLOEXEC)",
            "close_range(10, 4294967295, CLOSE_RANGE_CLOEXEC)",
        ]
    );
    assert!(
        calls.contains(&"fcntl(5, F_SETFD, 0)".to_owned()),
        "{calls:#?}"
    );
}

#[test]
fn a_kernel_that_cannot_mark_a_range_keeps_the_parents_pidfd_out_of_it() {
    let facts = HostFacts {
        close_range_cloexec: false,
        ..root()
    };
    let calls = calls(&named(), &facts);
    assert_eq!(calls[0], "dup3(<parent>, 3, O_CLOEXEC)");
    assert!(
        calls.contains(&"close_range(4, 4294967295, 0)".to_owned()),
        "{calls:#?}"
    );
}

#[test]
fn an_init_gets_the_lowest_number_that_is_not_passed() {
    let spec = Spec {
        init: Some(Origin::text("test")),
        fds: vec![asked(3)],
        ..named()
    };
    let calls = calls(&spec, &root());
    assert_eq!(calls[0], "dup3(<report>, 4, 0)");
    let last = calls.last().expect("there are calls");
    assert!(
        last.starts_with(
            "execveat(<init>, \"\", [\"init\", \"4\", \"none\", \"1\", \"/bin/true\", \"true\"]"
        ),
        "{last}"
    );
}

#[test]
fn an_init_leaves_a_new_terminal_to_the_program() {
    let spec = Spec {
        init: Some(Origin::text("test")),
        tty: asked(Tty::New),
        ..named()
    };
    let calls = calls(&spec, &root());
    assert!(!calls.contains(&"ioctl(<pts>, TIOCSCTTY, 0)".to_owned()));
    let last = calls.last().expect("there are calls");
    assert!(last.contains(r#"["init", "3", "new", "1","#), "{last}");
}

#[test]
fn a_terminal_takes_the_streams_that_are_terminals() {
    let facts = HostFacts {
        terminals: [true, false, true],
        ..root()
    };
    let spec = Spec {
        tty: asked(Tty::Auto),
        ..named()
    };
    let extra = particular(&spec, &facts);
    assert_eq!(
        extra,
        [
            "ioctl(<pts>, TIOCSCTTY, 0)",
            "dup3(<pts>, 0, 0)",
            "dup3(<pts>, 2, 0)"
        ]
    );
    let supplied = Spec {
        stdio: [Redirect::Inherit, Redirect::Inherit, Redirect::Supplied],
        ..spec
    };
    let extra = particular(&supplied, &facts);
    assert_eq!(
        extra,
        [
            "ioctl(<pts>, TIOCSCTTY, 0)",
            "dup3(<pts>, 0, 0)",
            "dup3(<stderr>, 2, 0)"
        ]
    );
}

#[test]
fn without_a_terminal_on_standard_input_there_is_no_new_one() {
    let facts = HostFacts {
        terminals: [false, true, true],
        ..root()
    };
    let spec = Spec {
        tty: asked(Tty::Auto),
        ..named()
    };
    assert!(particular(&spec, &facts).is_empty());
}

#[test]
fn an_inherited_terminal_is_taken_to_the_foreground_only_by_a_caller_who_has_it() {
    let spec = Spec {
        tty: asked(Tty::Inherit),
        ..named()
    };
    let front = HostFacts {
        terminals: [true; 3],
        foreground: true,
        ..root()
    };
    let back = HostFacts {
        foreground: false,
        ..front.clone()
    };
    assert_eq!(
        particular(&spec, &front),
        ["setpgid(0, 0)", "getpid()", "ioctl(0, TIOCSPGRP, [<pid>])"]
    );
    assert_eq!(particular(&spec, &back), ["setpgid(0, 0)"]);
    assert!(!calls(&spec, &front).contains(&"setsid()".to_owned()));
}

#[test]
fn namespaces_of_the_host_need_no_calls() {
    let mut spec = Spec::new("/bin/true");
    spec.namespaces.uts = asked(Namespace::Host);
    spec.namespaces.pid = asked(Namespace::Host);
    let calls = calls(&spec, &root());
    assert!(
        !calls
            .iter()
            .any(|call| call.starts_with("sethostname") || call.starts_with("mount(\"proc\""))
    );
}

#[test]
fn the_clone_names_who_asked_for_each_namespace() {
    let mut spec = named();
    spec.namespaces.net = asked(Namespace::Private.into());
    spec.namespaces.user = asked(UserNamespace::Auto);
    spec.namespaces.time = Some(asked(TimeOffset {
        monotonic_s: 1,
        boottime_s: 2,
    }));
    let json = plan(&spec, &root()).to_json();
    let origin = |kind: &str| {
        let namespaces = json["clone"]["namespaces"].as_array().expect("a list");
        let found = namespaces.iter().find(|entry| entry["namespace"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} in {json:#}"))["origin"].clone()
    };
    assert_eq!(origin("net"), "test");
    assert_eq!(origin("user"), "test");
    assert_eq!(origin("mount"), "default");
    let calls = calls(&spec, &root());
    assert_order(
        &calls,
        "unshare(CLONE_NEWTIME)",
        "openat(AT_FDCWD, \"/proc/self/timens_offsets\"",
    );
    assert!(
        calls.contains(&"write(<fd>, \"monotonic 1 0\\nboottime 2 0\\n\", 27)".to_owned()),
        "{calls:#?}"
    );
}

#[test]
fn a_score_for_the_child_is_not_the_parents() {
    let spec = Spec {
        oom_score_adj: Some(asked(500)),
        ..named()
    };
    assert!(
        plan(&spec, &root()).to_string().contains("CLONE_VFORK"),
        "the kernel exempts vfork(2) alone"
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let spec = Spec {
        name: Some(asked("a b".to_owned())),
        hostname: Some(asked("x".repeat(65))),
        workdir: Some(asked(PathBuf::from("relative"))),
        umask: Some(asked(0o1000)),
        nice: Some(asked(20)),
        oom_score_adj: Some(asked(1001)),
        fds: vec![asked(2)],
        ..Spec::new("a\0b")
    };
    let violations = compile(&spec, &root()).expect_err("it is all wrong");
    assert_eq!(violations.len(), 8, "{violations:#?}");
}

fn restricted() -> Spec {
    let mut spec = named();
    spec.landlock.paths.push(asked(PathRule {
        path: "/usr".into(),
        access: Access::Write,
    }));
    spec.landlock.connect.push(asked(443));
    spec
}

/// The plan of [`restricted`] on a kernel with this version of Landlock, and how many kinds of access it
/// restricts.
fn landlock(abi: u32) -> (Plan, usize) {
    let facts = HostFacts {
        landlock: abi,
        ..root()
    };
    let plan = plan(&restricted(), &facts);
    let enforced = plan.landlock().expect("it was asked for");
    assert_eq!(enforced.abi, abi);
    let names = enforced.names().len();
    (plan, names)
}

#[test]
fn landlock_restricts_what_its_version_knows_and_says_what_it_does_not() {
    let lacking = |abi| {
        let (plan, names) = landlock(abi);
        let missed: Vec<String> = plan.missed().iter().map(ToString::to_string).collect();
        (names, missed.join("\n"))
    };
    let says = |abi: u32, what: &str| {
        format!("test: the kernel has Landlock {abi}, which does not restrict {what}")
    };
    let (truncate, ports, ioctl, scope) = (
        "truncating files (Linux 6.2)",
        "TCP ports (Linux 6.7)",
        "ioctl of devices (Linux 6.10)",
        "signals and abstract sockets (Linux 6.12)",
    );
    let none =
        "test: the kernel has no Landlock, or a filter forbids it: nothing of this is enforced";
    assert_eq!(lacking(0), (0, none.to_owned()));
    let all = [truncate, ports, ioctl, scope].join(", ");
    assert_eq!(lacking(1), (13, says(1, &all)));
    assert_eq!(lacking(2), (14, says(2, &all)));
    let less = [ports, ioctl, scope].join(", ");
    assert_eq!(lacking(3), (15, says(3, &less)));
    let less = [ioctl, scope].join(", ");
    assert_eq!(lacking(4), (15 + 1, says(4, &less)));
    assert_eq!(lacking(5), (16 + 1, says(5, scope)));
    assert_eq!(lacking(6), (16 + 1 + 2, String::new()));
    assert_eq!(lacking(7), lacking(6));
}

#[test]
fn strict_landlock_is_an_error_unless_all_of_it_is_enforced() {
    let mut spec = restricted();
    spec.landlock.strict = Some(Origin::text("strict"));
    for abi in 0..6 {
        let facts = HostFacts {
            landlock: abi,
            ..root()
        };
        assert_eq!(compile(&spec, &facts).expect_err("an error").len(), 1);
    }
    assert!(plan(&spec, &root()).missed().is_empty());
}

#[test]
fn a_kernel_without_landlock_is_asked_nothing_of_it() {
    let calls = |plan: &Plan| {
        plan.steps()
            .filter(|step| step.name().starts_with("landlock"))
            .count()
    };
    assert_eq!(calls(&landlock(0).0), 0);
    // The ruleset; two for the path, one for the null device, one for the port; the end.
    assert_eq!(calls(&landlock(7).0), 1 + 2 + 1 + 1 + 1);
}

#[test]
fn landlock_comes_after_the_mounts_and_before_privileges_go() {
    let calls = calls(&restricted(), &root());
    for before in ["mount(\"proc\"", "setsid("] {
        assert_order(&calls, before, "landlock_create_ruleset(");
    }
    for after in [
        "close_range(",
        "prctl(PR_CAPBSET_DROP",
        "capset(",
        "execve(",
    ] {
        assert_order(&calls, "landlock_restrict_self(", after);
    }
}

#[test]
fn a_keyring_is_made_before_ids_change_unless_it_is_the_callers_or_refused() {
    let mut spec = named();
    spec.user = Some(asked(User { uid: 1, gid: 1 }));
    assert_order(&calls(&spec, &root()), "keyctl(", "setresuid(");
    let without = HostFacts {
        keyctl: false,
        ..root()
    };
    assert!(
        !calls(&spec, &without)
            .iter()
            .any(|call| call.starts_with("keyctl"))
    );
    spec.keyring = asked(Namespace::Host);
    assert!(
        !calls(&spec, &root())
            .iter()
            .any(|call| call.starts_with("keyctl"))
    );
}

/// The mounts of a root filesystem's /sys/fs/cgroup.
fn cgroupfs(namespace: Namespace, facts: &HostFacts) -> Vec<String> {
    let mut spec = named();
    spec.rootfs = Some(asked(Rootfs {
        path: "/root".into(),
        writes: Writes::Through,
    }));
    if namespace == Namespace::Host {
        spec.namespaces.cgroup = asked(namespace);
    }
    let mut calls = calls(&spec, facts);
    calls.retain(|call| call.contains("\"fs/cgroup") && call.starts_with("mount("));
    calls
}

#[test]
fn a_root_filesystem_has_a_read_only_view_of_its_own_cgroup_and_of_no_other() {
    let mut facts = root();
    facts.paths.mount_setattr = true;
    facts.paths.own_network = true;
    assert_eq!(
        cgroupfs(Namespace::Private, &facts),
        [""; 0],
        "there are no cgroups"
    );
    facts.cgroups.unified = true;
    let safe = "MS_NOSUID|MS_NODEV|MS_NOEXEC";
    let mount = format!("mount(\"cgroup2\", \"fs/cgroup\", \"cgroup2\", {safe}, NULL)");
    let remount = "mount(NULL, \"fs/cgroup\", NULL, MS_RDONLY|MS_NOSUID|MS_NODEV|MS_NOEXEC|MS_REMOUNT|MS_BIND, NULL)";
    assert_eq!(cgroupfs(Namespace::Private, &facts), [&mount, remount]);
    assert_eq!(cgroupfs(Namespace::Host, &facts), [""; 0]);
    // What lies below the caller's /sys is hidden: the same filesystem cannot be mounted over itself.
    facts.paths.own_network = false;
    let tmpfs = format!("mount(\"tmpfs\", \"fs/cgroup\", \"tmpfs\", {safe}, \"mode=755\")");
    assert_eq!(
        cgroupfs(Namespace::Private, &facts),
        [&tmpfs, &mount, remount]
    );
    // And where it cannot be made read-only, it is not there at all.
    facts.paths.mount_setattr = false;
    let cover = cgroupfs(Namespace::Host, &facts);
    assert_eq!(cover.len(), 1, "{cover:?}");
    assert!(
        cover[0].starts_with("mount(\"tmpfs\", \"fs/cgroup\", \"tmpfs\", MS_RDONLY|"),
        "{cover:?}"
    );
}
