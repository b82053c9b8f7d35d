//! Any description, on any host, compiles to a plan or to what is wrong with it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clonebox::{
    BothIds, CapabilitySet, CgroupFacts, Hierarchy, HostFacts, IdFacts, IdRange, MountFacts,
    PathFacts, SourceKind, Spec, UserFacts, compile, compile_template,
};

use crate::choices::Choices;
use crate::kit::{Kit, PATHS};

/// A host on which such a description could be compiled.
fn facts(choices: &mut Choices<'_>) -> HostFacts {
    static HERE: OnceLock<HostFacts> = OnceLock::new();
    let mut facts = HERE
        .get_or_init(|| HostFacts::gather(&Spec::new("/")))
        .clone();
    facts.environment = vec![(
        "PATH".into(),
        choices.os_text(&["/bin", ":", "/sbin", ".", ""]),
    )];
    facts.clone3 = choices.yes();
    facts.close_range_cloexec = choices.yes();
    facts.uid = choices.pick(&[0, 1000, u32::MAX - 1]);
    facts.gid = choices.pick(&[0, 100]);
    facts.supplementary_groups = choices.yes();
    facts.bounding = CapabilitySet(choices.number());
    facts.effective = CapabilitySet(choices.number());
    facts.permitted = CapabilitySet(choices.number());
    facts.last_cap = choices.pick(&[40, 0, 37, 63]);
    facts.terminals = [choices.yes(), choices.yes(), choices.yes()];
    facts.foreground = choices.yes();
    facts.ignored_signals = choices.number();
    facts.entropy = choices.number();
    facts.user = match choices.below(3) {
        0 => None,
        1 => Some(Err("nobody is called so".to_owned())),
        _ => Some(Ok(UserFacts {
            uid: 33,
            gid: 33,
            groups: vec![1; choices.below(4)],
            home: "/srv".into(),
        })),
    };
    facts.landlock = choices.pick(&[7, 0, 1, 4, 6]);
    facts.cgroups = cgroups(choices);
    facts.ids = ids(choices);
    facts.paths = PathFacts {
        openat2: choices.yes(),
        mount_setattr: choices.yes(),
        open_tree_namespace: choices.yes(),
        root_flags: choices.number(),
        root_owners: [
            choices.pick(&[None, Some(0), Some(100_000)]),
            choices.pick(&[None, Some(0)]),
        ],
        own_root: [choices.yes(), choices.yes()],
        mount_points: [choices.yes(), choices.yes(), choices.yes()],
        initial_user_namespace: choices.yes(),
        own_network: choices.yes(),
        mounts: Vec::new(),
    };
    facts
}

fn ids(choices: &mut Choices<'_>) -> IdFacts {
    let range = |first, count| IdRange { first, count };
    let ranges = [
        vec![range(0, u32::MAX)],
        vec![range(100_000, 65_536)],
        vec![range(0, 1), range(u32::MAX - 1, 1), range(5, 1000)],
        Vec::new(),
    ];
    let mut any = || ranges[choices.below(ranges.len())].clone();
    let both = |uids, gids| BothIds { uids, gids };
    let (own, subordinate) = (both(any(), any()), both(any(), any()));
    IdFacts {
        initial: choices.yes(),
        own,
        subordinate,
        name: "the user web".to_owned(),
        helpers_missing: choices.yes().then(|| "there is none".to_owned()),
    }
}

fn cgroups(choices: &mut Choices<'_>) -> CgroupFacts {
    let refused = choices.yes();
    let hierarchy = |unified, controllers: &[&str]| Hierarchy {
        unified,
        refused: match controllers {
            [first, ..] if refused => vec![((*first).to_owned(), "it is not yours".to_owned())],
            _ => Vec::new(),
        },
        mount: "/sys/fs/cgroup".into(),
        own: "user.slice".into(),
        controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
        ..Hierarchy::default()
    };
    let all = ["memory", "cpu", "pids", "io", "cpuset"];
    CgroupFacts {
        root: choices.yes(),
        hierarchies: match choices.below(4) {
            0 => vec![hierarchy(true, &all)],
            1 => all.iter().map(|&name| hierarchy(false, &[name])).collect(),
            2 => vec![hierarchy(false, &all[..1]), hierarchy(true, &all[1..])],
            _ => Vec::new(),
        },
        ..CgroupFacts::default()
    }
}

fn mount_facts(choices: &mut Choices<'_>) -> MountFacts {
    let below = choices.below(3);
    MountFacts {
        source: choices.pick(&[SourceKind::Missing, SourceKind::Directory, SourceKind::File]),
        below: (0..below)
            .map(|_| (PathBuf::from(choices.os_text(&PATHS)), choices.number()))
            .collect(),
        known: choices.below(3),
        exists: choices.yes(),
        in_root: choices.yes(),
        place: choices
            .yes()
            .then(|| PathBuf::from(choices.os_text(&PATHS))),
        creatable: choices.yes(),
    }
}

/// Any description, on any host, compiles to a plan or to what is wrong with it.
pub(crate) fn any_spec_compiles(data: &[u8]) {
    let (of_host, of_spec) = data.split_at(data.len().min(64));
    let kit = Kit {
        directories: &[],
        launched: false,
    };
    let spec = kit.spec(Path::new("true"), &mut Choices::new(of_spec));
    let choices = &mut Choices::new(of_host);
    let mut facts = facts(choices);
    facts.paths.mounts = spec.mounts.iter().map(|_| mount_facts(choices)).collect();
    if spec.login.is_some() && facts.user.is_none() {
        facts.user = Some(Err("nobody was looked for".to_owned()));
    }
    let harmless = |text: &str| text.chars().all(|c| c == '\n' || !c.is_control());
    // What is wrong with it is wrong with a template of it, and nothing else.
    let template = compile_template(&spec, &facts);
    assert_eq!(template.is_ok(), compile(&spec, &facts).is_ok());
    match compile(&spec, &facts) {
        Ok(plan) => {
            let text = plan.to_string();
            assert!(harmless(&text), "a plan that drives a terminal: {text:?}");
            let last = plan.steps().last().expect("a step at least");
            assert!(last.name().starts_with("execve"), "{text}");
            for step in plan.steps() {
                assert!(
                    !step.action().is_empty() && harmless(step.action()),
                    "{text}"
                );
            }
            let again = compile(&spec, &facts).expect("it has just been compiled");
            assert_eq!(
                again.to_string(),
                text,
                "the same input gives the same plan"
            );
            assert_eq!(
                again.to_json()["steps"].as_array().map(Vec::len),
                Some(plan.steps().len())
            );
        }
        Err(violations) => {
            assert!(!violations.is_empty());
            for violation in violations {
                let text = violation.to_string();
                assert!(!violation.reason.is_empty() && harmless(&text), "{text:?}");
            }
        }
    }
}
