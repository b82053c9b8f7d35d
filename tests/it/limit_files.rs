// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel says of the limits of a box that runs: the files of the cgroup in which its first process is.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::support::cgroups::{assert_nothing_left, left, name};
use crate::support::clonebox::{Running, run};
use crate::support::state::State;
use crate::support::tests;

/// Files, and what is to be read in them.
type Files = &'static [(&'static str, &'static str)];

/// Limits.
struct Row {
    controller: &'static str,
    options: &'static [&'static str],
    unified: Files,
    legacy: Files,
}

/// What a box is started with.
const STARTED: [Row; 5] = [
    Row {
        controller: "memory",
        options: &[
            "-m",
            "64m",
            "--memory-reservation",
            "32m",
            "--memory-swap",
            "96m",
        ],
        unified: &[
            ("memory.max", "67108864"),
            ("memory.low", "33554432"),
            ("memory.swap.max", "33554432"),
        ],
        legacy: &[
            ("memory.limit_in_bytes", "67108864"),
            ("memory.soft_limit_in_bytes", "33554432"),
            ("memory.memsw.limit_in_bytes", "100663296"),
        ],
    },
    Row {
        controller: "cpu",
        options: &["--cpus", "1.5"],
        unified: &[("cpu.max", "150000 100000")],
        legacy: &[
            ("cpu.cfs_quota_us", "150000"),
            ("cpu.cfs_period_us", "100000"),
        ],
    },
    Row {
        controller: "cpu",
        options: &["--cpu-weight", "50"],
        unified: &[("cpu.weight", "50")],
        legacy: &[("cpu.shares", "512")],
    },
    Row {
        controller: "cpuset",
        options: &["--cpuset-cpus", "0", "--cpuset-mems", "0"],
        unified: &[
            ("cpuset.cpus", "0"),
            ("cpuset.mems", "0"),
            ("cpuset.cpus.effective", "0"),
        ],
        legacy: &[
            ("cpuset.cpus", "0"),
            ("cpuset.mems", "0"),
            ("cpuset.effective_cpus", "0"),
        ],
    },
    Row {
        controller: "pids",
        options: &["--pids-limit", "77"],
        unified: &[("pids.max", "77")],
        legacy: &[("pids.max", "77")],
    },
];

/// To what it is changed.
const CHANGED: [Row; 5] = [
    Row {
        controller: "memory",
        options: &[
            "-m",
            "128m",
            "--memory-reservation",
            "48m",
            "--memory-swap",
            "192m",
        ],
        unified: &[
            ("memory.max", "134217728"),
            ("memory.low", "50331648"),
            ("memory.swap.max", "67108864"),
        ],
        legacy: &[
            ("memory.limit_in_bytes", "134217728"),
            ("memory.soft_limit_in_bytes", "50331648"),
            ("memory.memsw.limit_in_bytes", "201326592"),
        ],
    },
    Row {
        controller: "memory",
        options: &["-m", "32m", "--memory-swap", "32m"],
        unified: &[("memory.max", "33554432"), ("memory.swap.max", "0")],
        legacy: &[
            ("memory.limit_in_bytes", "33554432"),
            ("memory.memsw.limit_in_bytes", "33554432"),
        ],
    },
    Row {
        controller: "cpu",
        options: &["--cpus", "0.5"],
        unified: &[("cpu.max", "50000 100000")],
        legacy: &[
            ("cpu.cfs_quota_us", "50000"),
            ("cpu.cfs_period_us", "100000"),
        ],
    },
    Row {
        controller: "cpu",
        options: &["--cpu-weight", "200"],
        unified: &[("cpu.weight", "200")],
        legacy: &[("cpu.shares", "2048")],
    },
    Row {
        controller: "pids",
        options: &["--pids-limit", "99"],
        unified: &[("pids.max", "99")],
        legacy: &[("pids.max", "99")],
    },
];

/// Whether version 2 has a controller; `None` if nobody has it.
fn is_unified(controller: &str) -> Option<bool> {
    let root = Path::new("/sys/fs/cgroup");
    for mount in [root.to_owned(), root.join("unified")] {
        let all = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
        if all.split_whitespace().any(|one| one == controller) {
            return Some(true);
        }
    }
    let old = if controller == "io" {
        "blkio"
    } else {
        controller
    };
    let own = fs::read_to_string("/proc/self/cgroup").expect("/proc");
    let mut lists = own.lines().filter_map(|line| line.split(':').nth(1));
    lists
        .any(|list| list.split(',').any(|one| one == old))
        .then_some(false)
}

/// The cgroups of a box in which the process is.
fn of_process(name: &str, process: u64) -> Vec<PathBuf> {
    let mut all = left(name);
    all.retain(|cgroup| {
        let list = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        list.lines().any(|line| line == process.to_string())
    });
    all
}

/// What a file says that exactly one of them has.
#[track_caller]
fn read(cgroups: &[PathBuf], file: &str) -> String {
    let mut texts = cgroups
        .iter()
        .filter_map(|cgroup| fs::read_to_string(cgroup.join(file)).ok());
    let text = texts.next();
    assert!(texts.next().is_none(), "{file} in several of {cgroups:?}");
    let text = text.unwrap_or_else(|| panic!("no {file} in {cgroups:?}"));
    text.trim_end().to_owned()
}

/// Ends a box, and waits until clonebox has cleared up after it.
#[track_caller]
fn end(running: Running, state: &State, name: &str) {
    state.run(&["kill", name]).succeeds();
    running.end().exits_with(137);
    assert_nothing_left(name);
}

impl Row {
    /// Compares with what the kernel says, once whoever is asked for it has done so.
    #[track_caller]
    fn compare(&self, is_unified: bool, cgroups: &[PathBuf]) {
        let files = if is_unified {
            self.unified
        } else {
            self.legacy
        };
        for (file, text) in files {
            assert_eq!(read(cgroups, file), *text, "{file} of {:?}", self.options);
        }
    }
}

/// The files of schedulers that go by weights, of either version.
const WEIGHTS: [&str; 4] = [
    "io.weight",
    "io.bfq.weight",
    "blkio.weight",
    "blkio.bfq.weight",
];

/// Those that a cgroup has here.
fn weight_files(is_unified: bool) -> Vec<&'static str> {
    let mounts = if is_unified {
        ["", "unified"]
    } else {
        ["blkio", "blkio,io"]
    };
    let mounts = mounts.map(|mount| Path::new("/sys/fs/cgroup").join(mount));
    let file = if is_unified {
        "cgroup.controllers"
    } else {
        "tasks"
    };
    let mount = mounts
        .iter()
        .find(|mount| mount.join(file).exists())
        .expect("a hierarchy");
    let own = mount.join(name("own"));
    fs::create_dir(&own).expect("root makes cgroups");
    let all = WEIGHTS.into_iter();
    let there = all.filter(|file| own.join(file).exists()).collect();
    fs::remove_dir(&own).expect("nobody is in it");
    there
}

/// A disk: its path, and its numbers.
fn disk() -> Option<(String, String)> {
    let mut names: Vec<_> = fs::read_dir("/sys/block")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.into_iter().find_map(|name| {
        let path = format!("/dev/{name}");
        let found = fs::metadata(&path).ok()?;
        let device = found.rdev();
        let numbers = format!(
            "{}:{}",
            nix::sys::stat::major(device),
            nix::sys::stat::minor(device)
        );
        found
            .file_type()
            .is_block_device()
            .then_some((path, numbers))
    })
}

tests! {
    fn each_limit_is_in_the_kernels_file_of_the_cgroup_in_which_the_box_is() needs [Limits, Root] {
        for row in STARTED {
            let Some(is_unified) = is_unified(row.controller) else {
                continue;
            };
            let (name, state) = (name("files"), State::new());
            let running = state.start(&name, row.options);
            row.compare(is_unified, &of_process(&name, state.pid(&name)));
            end(running, &state, &name);
        }
    }

    fn a_limit_that_is_changed_is_changed_in_the_kernels_file() needs [Limits, Root] {
        for row in CHANGED {
            let (name, state) = (name("changed"), State::new());
            let started = STARTED.iter().filter(|started| started.controller == row.controller);
            let options: Vec<&str> = started.flat_map(|started| started.options).copied().collect();
            let running = state.start(&name, &options);
            let change = [&["update"], row.options, &[&name]].concat();
            state.run(&change).succeeds();
            let is_unified = is_unified(row.controller).expect("it can be limited");
            row.compare(is_unified, &of_process(&name, state.pid(&name)));
            end(running, &state, &name);
        }
    }

    fn the_weight_of_disks_is_in_the_file_of_each_scheduler_that_goes_by_it() needs [Limits, Root] {
        let Some(is_unified) = is_unified("io") else {
            return;
        };
        let there = weight_files(is_unified);
        let name = name("weight");
        if there.is_empty() {
            let ran = run(["--name", &name, "--io-weight", "100", "--", "/bin/true"]).exits_with(125);
            ran.complains("weight: No such file or directory (ENOENT)\n").complains("modprobe bfq");
            return;
        }
        let compare = |state: &State, texts: [&str; 4]| {
            let cgroups = of_process(&name, state.pid(&name));
            for (file, text) in WEIGHTS.iter().zip(texts).filter(|(file, _)| there.contains(file)) {
                assert_eq!(read(&cgroups, file), text, "{file}");
            }
        };
        for (weight, texts) in [
            ("1", ["default 1", "default 1", "10", "1"]),
            ("100", ["default 100", "default 100", "500", "100"]),
            ("1200", ["default 1200", "default 200", "1000", "200"]),
            ("10000", ["default 10000", "default 1000", "1000", "1000"]),
        ] {
            let state = State::new();
            let running = state.start(&name, &["--io-weight", weight]);
            compare(&state, texts);
            state.run(&["update", "--io-weight", "50", &name]).succeeds();
            compare(&state, ["default 50", "default 50", "250", "50"]);
            end(running, &state, &name);
        }
    }

    fn the_rates_of_a_disk_are_in_the_kernels_file() needs [Limits, Root] {
        let (Some(is_unified), Some((path, numbers))) = (is_unified("io"), disk()) else {
            return;
        };
        let (name, state) = (name("rates"), State::new());
        let rates = [
            ("--device-read-bps", "1m", "rbps", "read_bps", 1_048_576),
            ("--device-write-bps", "2m", "wbps", "write_bps", 2_097_152),
            ("--device-read-iops", "30", "riops", "read_iops", 30),
            ("--device-write-iops", "40", "wiops", "write_iops", 40),
        ];
        let limits: Vec<String> = rates.iter().map(|(_, limit, ..)| format!("{path}:{limit}")).collect();
        let options = rates.iter().zip(&limits).flat_map(|((option, ..), limit)| [*option, limit]);
        let running = state.start(&name, &options.collect::<Vec<_>>());
        let cgroups = of_process(&name, state.pid(&name));
        if is_unified {
            let words = rates.map(|(.., word, _, rate)| format!("{word}={rate}"));
            assert_eq!(read(&cgroups, "io.max"), format!("{numbers} {}", words.join(" ")));
        } else {
            for (.., word, rate) in rates {
                let file = format!("blkio.throttle.{word}_device");
                assert_eq!(read(&cgroups, &file), format!("{numbers} {rate}"), "{file}");
            }
        }
        end(running, &state, &name);
    }
}
