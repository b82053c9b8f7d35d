//! Limits: which files of which hierarchies they are written to, and what is written.

use std::path::{Path, PathBuf};

use clonebox::{
    CgroupFacts, Cpus, DeviceLimit, Hierarchy, HostFacts, Limits, Rate, Spec, Swap, compile,
};

use crate::{asked, named, root, user};

/// Where root mounts them.
const MOUNTS: &str = "/sys/fs/cgroup";
const ALL: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

fn hierarchy(unified: bool, mount: &str, names: &str, controllers: &[&str]) -> Hierarchy {
    Hierarchy {
        unified,
        mount: Path::new(MOUNTS).join(mount),
        own: "/of/caller".into(),
        names: names.to_owned(),
        controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
        refused: Vec::new(),
    }
}

/// Version 1 alone: processors have one hierarchy with their accounting, as everywhere.
fn legacy() -> Vec<Hierarchy> {
    vec![
        hierarchy(false, "cpu,cpuacct", "cpu,cpuacct", &["cpu"]),
        hierarchy(false, "cpuset", "cpuset", &["cpuset"]),
        hierarchy(false, "blkio", "blkio", &["io"]),
        hierarchy(false, "memory", "memory", &["memory"]),
        hierarchy(false, "pids", "pids", &["pids"]),
    ]
}

/// Version 2 alone.
fn unified() -> Vec<Hierarchy> {
    vec![hierarchy(true, "", "", &ALL)]
}

/// Memory and disks on version 1, the rest on version 2.
fn hybrid() -> Vec<Hierarchy> {
    vec![
        hierarchy(true, "unified", "", &["cpu", "cpuset", "pids"]),
        hierarchy(false, "blkio", "blkio", &["io"]),
        hierarchy(false, "memory", "memory", &["memory"]),
    ]
}

fn of(facts: HostFacts, hierarchies: Vec<Hierarchy>) -> HostFacts {
    let cgroups = CgroupFacts {
        root: facts.uid == 0,
        hierarchies,
        unified: false,
    };
    HostFacts { cgroups, ..facts }
}

fn limited(change: impl Fn(&mut Limits)) -> Spec {
    let mut spec = named();
    change(&mut spec.limits);
    spec
}

/// The directories, with the files below each that are written there.
fn written(spec: &Spec, facts: &HostFacts) -> Vec<(String, Vec<String>)> {
    let plan = compile(spec, facts)
        .expect("a good description")
        .to_string();
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for line in plan.lines() {
        if let Some(directory) = line.strip_prefix("     mkdir /") {
            all.push((format!("/{directory}"), Vec::new()));
        } else if let Some((_, files)) = all.last_mut()
            && let Some(file) = line.strip_prefix("       ")
            && file.contains(" = ")
        {
            let text = file.strip_suffix("test").expect("who asked for it");
            files.push(text.trim_end().to_owned());
        }
    }
    all
}

/// A limit: what version 2 writes, what version 1 writes, and the controller of both.
type Row = (
    fn(&mut Limits),
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
);

fn rate(limits: &mut Limits, rate: Rate) {
    limits.devices.push(asked(DeviceLimit {
        device: (8, 16),
        rate,
        per_second: 1_048_576,
    }));
}

fn swap(limits: &mut Limits, swap: Swap) {
    limits.memory = Some(asked(64 << 20));
    limits.memory_swap = Some(asked(swap));
}

const ROWS: [Row; 22] = [
    (
        |limits| limits.memory = Some(asked(64 << 20)),
        &["memory.max = 67108864"],
        &["memory.limit_in_bytes = 67108864"],
        "memory",
    ),
    (
        |limits| limits.memory_reservation = Some(asked(32 << 20)),
        &["memory.low = 33554432"],
        &["memory.soft_limit_in_bytes = 33554432"],
        "memory",
    ),
    (
        // Memory and swap together are one number on version 1; on version 2 swap has its own.
        |limits| swap(limits, Swap::Bytes(96 << 20)),
        &["memory.max = 67108864", "memory.swap.max = 33554432"],
        &[
            "memory.limit_in_bytes = 67108864",
            "memory.memsw.limit_in_bytes = 100663296",
        ],
        "memory",
    ),
    (
        |limits| swap(limits, Swap::Bytes(64 << 20)),
        &["memory.max = 67108864", "memory.swap.max = 0"],
        &[
            "memory.limit_in_bytes = 67108864",
            "memory.memsw.limit_in_bytes = 67108864",
        ],
        "memory",
    ),
    (
        |limits| swap(limits, Swap::Unlimited),
        &["memory.max = 67108864", "memory.swap.max = max"],
        &[
            "memory.limit_in_bytes = 67108864",
            "memory.memsw.limit_in_bytes = -1",
        ],
        "memory",
    ),
    (
        |limits| limits.cpus = Some(asked(Cpus(1500))),
        &["cpu.max = 150000 100000"],
        &["cpu.cfs_period_us = 100000", "cpu.cfs_quota_us = 150000"],
        "cpu",
    ),
    (
        |limits| limits.cpus = Some(asked(Cpus(10))),
        &["cpu.max = 1000 100000"],
        &["cpu.cfs_period_us = 100000", "cpu.cfs_quota_us = 1000"],
        "cpu",
    ),
    (
        |limits| limits.cpu_weight = Some(asked(100)),
        &["cpu.weight = 100"],
        &["cpu.shares = 1024"],
        "cpu",
    ),
    (
        |limits| limits.cpu_weight = Some(asked(1)),
        &["cpu.weight = 1"],
        &["cpu.shares = 10"],
        "cpu",
    ),
    (
        |limits| limits.cpu_weight = Some(asked(10_000)),
        &["cpu.weight = 10000"],
        &["cpu.shares = 102400"],
        "cpu",
    ),
    (
        |limits| limits.cpuset_cpus = Some(asked("0-2,4".to_owned())),
        &["cpuset.cpus = 0-2,4"],
        &["cpuset.cpus = 0-2,4"],
        "cpuset",
    ),
    (
        |limits| limits.cpuset_mems = Some(asked("0,1".to_owned())),
        &["cpuset.mems = 0,1"],
        &["cpuset.mems = 0,1"],
        "cpuset",
    ),
    (
        |limits| limits.pids = Some(asked(50)),
        &["pids.max = 50"],
        &["pids.max = 50"],
        "pids",
    ),
    (
        // Kernels have some of the schedulers that go by weights.
        |limits| limits.io_weight = Some(asked(100)),
        &[
            "io.weight = default 100 if there",
            "io.bfq.weight = 100 if there",
        ],
        &[
            "blkio.weight = 500 if there",
            "blkio.bfq.weight = 100 if there",
        ],
        "io",
    ),
    (
        |limits| limits.io_weight = Some(asked(1)),
        &[
            "io.weight = default 1 if there",
            "io.bfq.weight = 1 if there",
        ],
        &[
            "blkio.weight = 10 if there",
            "blkio.bfq.weight = 1 if there",
        ],
        "io",
    ),
    (
        |limits| limits.io_weight = Some(asked(10_000)),
        &[
            "io.weight = default 10000 if there",
            "io.bfq.weight = 1000 if there",
        ],
        &[
            "blkio.weight = 1000 if there",
            "blkio.bfq.weight = 1000 if there",
        ],
        "io",
    ),
    (
        |limits| rate(limits, Rate::ReadBytes),
        &["io.max = 8:16 rbps=1048576"],
        &["blkio.throttle.read_bps_device = 8:16 1048576"],
        "io",
    ),
    (
        |limits| rate(limits, Rate::WriteBytes),
        &["io.max = 8:16 wbps=1048576"],
        &["blkio.throttle.write_bps_device = 8:16 1048576"],
        "io",
    ),
    (
        |limits| rate(limits, Rate::ReadOperations),
        &["io.max = 8:16 riops=1048576"],
        &["blkio.throttle.read_iops_device = 8:16 1048576"],
        "io",
    ),
    (
        |limits| rate(limits, Rate::WriteOperations),
        &["io.max = 8:16 wiops=1048576"],
        &["blkio.throttle.write_iops_device = 8:16 1048576"],
        "io",
    ),
    (
        |limits| conf(limits, "memory.high", "32m"),
        &["memory.high = 32m"],
        &["memory.high = 32m"],
        "memory",
    ),
    (
        // Both names of a controller are known.
        |limits| conf(limits, "blkio.bfq.weight", "7"),
        &["blkio.bfq.weight = 7"],
        &["blkio.bfq.weight = 7"],
        "io",
    ),
];

fn conf(limits: &mut Limits, file: &str, value: &str) {
    limits
        .files
        .push(asked((file.to_owned(), value.to_owned())));
}

/// Where version 1 has a controller.
fn legacy_mount(controller: &str) -> &str {
    match controller {
        "cpu" => "cpu,cpuacct",
        "io" => "blkio",
        other => other,
    }
}

#[test]
fn each_limit_is_written_where_its_controller_is_and_as_that_version_has_it() {
    for (change, new, old, controller) in ROWS {
        let spec = limited(change);
        let expect = |hierarchies, mount: &str, files: &[&str]| {
            let found = written(&spec, &of(root(), hierarchies));
            let directory = format!("{MOUNTS}/{mount}<box>");
            let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
            assert_eq!(found, [(directory, files)], "{controller}");
        };
        let mount = format!("{}/", legacy_mount(controller));
        expect(unified(), "", new);
        expect(legacy(), &mount, old);
        if matches!(controller, "io" | "memory") {
            expect(hybrid(), &mount, old);
        } else {
            expect(hybrid(), "unified/", new);
        }
    }
}

#[test]
fn limits_of_one_hierarchy_have_one_cgroup_there() {
    let spec = limited(|limits| {
        limits.memory = Some(asked(1 << 20));
        limits.cpus = Some(asked(Cpus(1000)));
        limits.pids = Some(asked(9));
    });
    let found = written(&spec, &of(root(), unified()));
    assert_eq!(found.len(), 1, "{found:?}");
    let files = [
        "memory.max = 1048576",
        "cpu.max = 100000 100000",
        "pids.max = 9",
    ];
    assert_eq!(found[0].1, files);
    let directories = |hierarchies| -> Vec<String> {
        let found = written(&spec, &of(root(), hierarchies));
        found.into_iter().map(|(directory, _)| directory).collect()
    };
    let below = |mounts: &[&str]| -> Vec<String> {
        let name = |mount: &&str| format!("{MOUNTS}/{mount}/<box>");
        mounts.iter().map(name).collect()
    };
    assert_eq!(
        directories(legacy()),
        below(&["memory", "cpu,cpuacct", "pids"])
    );
    assert_eq!(directories(hybrid()), below(&["memory", "unified"]));
}

#[test]
fn a_cgroup_is_made_below_the_parent_that_was_asked_for_or_the_callers_own() {
    let directory = |facts: HostFacts, parent: Option<&str>| {
        let spec = limited(|limits| {
            limits.pids = Some(asked(9));
            limits.parent = parent.map(|parent| asked(PathBuf::from(parent)));
        });
        written(&spec, &of(facts, unified())).remove(0).0
    };
    let parent = Some("machine.slice/boxes");
    let below = format!("{MOUNTS}/machine.slice/boxes/<box>");
    assert_eq!(directory(root(), parent), below);
    assert_eq!(directory(user(), parent), below);
    assert_eq!(directory(root(), None), format!("{MOUNTS}/<box>"));
    assert_eq!(directory(user(), None), format!("{MOUNTS}/of/caller/<box>"));
}

#[test]
fn the_child_is_made_in_a_cgroup_of_version_2_and_enters_all_others_first() {
    let spec = limited(|limits| {
        limits.memory = Some(asked(1 << 20));
        limits.pids = Some(asked(9));
    });
    let enters = |hierarchies, clone3| {
        let facts = HostFacts {
            clone3,
            ..of(root(), hierarchies)
        };
        let plan = compile(&spec, &facts).expect("a good description");
        let calls: Vec<String> = plan.steps().map(|step| step.call()).collect();
        let is_door = |call: &&String| call.as_str() == "write(<cgroup>, \"0\", 1)";
        let doors = calls.iter().filter(is_door).count();
        let mut mounts = calls.iter().take_while(|call| !is_door(call));
        assert!(
            doors == 0
                || !mounts
                    .any(|call| call.starts_with("mount(") || call.starts_with("sethostname(")),
            "{calls:?}"
        );
        (plan.to_string().contains("CLONE_INTO_CGROUP"), doors)
    };
    assert_eq!(enters(unified(), true), (true, 0));
    assert_eq!(enters(unified(), false), (false, 1));
    assert_eq!(enters(legacy(), true), (false, 2));
    assert_eq!(enters(hybrid(), true), (true, 1));
    assert_eq!(enters(hybrid(), false), (false, 2));
}

#[test]
fn a_limit_without_its_controller_is_an_error_that_names_it_or_a_warning() {
    let mut spec = limited(|limits| {
        limits.memory = Some(asked(1 << 20));
        limits.pids = Some(asked(9));
    });
    let facts = of(
        root(),
        vec![hierarchy(false, "memory", "memory", &["memory"])],
    );
    let wrong = compile(&spec, &facts).expect_err("there is no such controller");
    let reasons: Vec<&str> = wrong.iter().map(|wrong| wrong.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "there is no pids controller here in any hierarchy of cgroups (they have memory): \
          boot with it, or say --best-effort-limits"
        ]
    );
    spec.limits.best_effort = Some(clonebox::Origin::text("test"));
    let found = written(&spec, &facts);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].1, ["memory.limit_in_bytes = 1048576"]);
}
