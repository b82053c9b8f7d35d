//! Namespaces: what is the box's own, and what stays as it is outside.

use std::collections::BTreeMap;
use std::fs;

use crate::support::clonebox::run;
use crate::support::{binary, probe, run_probe, tests};

const HOST_NAME: &str = "/proc/sys/kernel/hostname";

fn host_name() -> String {
    fs::read_to_string(HOST_NAME).expect("the host has a name")
}

/// The host name of a box with these options.
#[track_caller]
fn host_name_with(options: &[&str]) -> String {
    run_probe(options, &["cat", HOST_NAME]).succeeds().stdout()
}

/// The kinds of namespaces that a box with these options has of its own. The user namespace is left
/// out: whether there is one depends on the caller.
#[track_caller]
fn own(options: &[&str]) -> Vec<&'static str> {
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "time", "uts"].into_iter();
    let paths: BTreeMap<String, &str> = kinds
        .map(|kind| (format!("/proc/self/ns/{kind}"), kind))
        .filter(|(path, _)| fs::symlink_metadata(path).is_ok())
        .collect();
    let mut words = vec!["links"];
    words.extend(paths.keys().map(String::as_str));
    let links = run_probe(options, &words).succeeds().stdout();
    let same =
        |path: &str, link: &str| fs::read_link(path).is_ok_and(|ours| ours.as_os_str() == link);
    paths
        .iter()
        .zip(links.lines())
        .filter(|((path, _), link)| !same(path, link))
        .map(|((_, kind), _)| *kind)
        .collect()
}

/// What the monotonic clock and the one of the boot say, in seconds.
fn clocks() -> [i64; 2] {
    use nix::time::{ClockId, clock_gettime};
    [ClockId::CLOCK_MONOTONIC, ClockId::CLOCK_BOOTTIME]
        .map(|clock| clock_gettime(clock).expect("a clock").tv_sec())
}

/// By how much the clocks of a box are ahead, between the least and the most that it can be.
#[track_caller]
fn ahead(option: &str) -> [std::ops::RangeInclusive<i64>; 2] {
    let before = clocks();
    let printed = run_probe(&[option], &["clocks"]).succeeds().stdout();
    let after = clocks();
    let mut inside = printed
        .lines()
        .map(|line| line.parse::<i64>().expect("seconds"));
    [0, 1].map(|clock| {
        let inside = inside.next().expect("two clocks");
        inside - after[clock]..=inside - before[clock]
    })
}

tests! {
    fn the_host_name_is_the_boxes_own_and_the_hosts_stays() needs [Box] {
        let before = host_name();
        assert_eq!(host_name_with(&["--hostname", "web"]), "web\n");
        assert_eq!(host_name(), before);
    }

    fn the_host_name_is_the_name_of_the_box() needs [Box] {
        assert_eq!(host_name_with(&["--name", "db-1"]), "db-1\n");
    }

    fn a_host_name_wins_over_the_name() needs [Box] {
        assert_eq!(host_name_with(&["--name", "db-1", "--hostname", "web"]), "web\n");
    }

    fn a_box_without_a_name_gets_one_that_can_be_read() needs [Box] {
        let name = host_name_with(&[]);
        let parts: Vec<&str> = name.trim_end().split('-').collect();
        let word = |word: &str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase());
        assert!(parts.len() == 3 && word(parts[0]) && word(parts[1]), "{name}");
        assert_eq!(parts[2].len(), 4, "{name}");
    }

    fn two_boxes_without_a_name_have_different_ones() needs [Box] {
        assert_ne!(host_name_with(&[]), host_name_with(&[]));
    }

    fn a_host_name_may_have_64_bytes() needs [Box] {
        let name = "x".repeat(64);
        assert_eq!(host_name_with(&["--hostname", &name]).trim_end(), name);
    }

    fn the_first_process_is_pid_1() needs [Box] {
        run_probe(&[], &["pid"]).succeeds().prints("1\n").says_nothing_else();
    }

    fn proc_shows_the_processes_of_the_box_only() needs [Box] {
        let names = run_probe(&[], &["list", "/proc"]).succeeds().stdout();
        let number = |name: &&str| name.bytes().all(|byte| byte.is_ascii_digit());
        let processes: Vec<&str> = names.lines().filter(number).collect();
        assert_eq!(processes, ["1"]);
    }

    fn mounts_process_ids_and_host_name_are_the_boxes_own_and_nothing_else() needs [Box] {
        assert_eq!(own(&[]), ["mnt", "pid", "uts"]);
    }

    fn ipc_private_is_an_ipc_namespace_of_its_own() needs [Box] {
        assert_eq!(own(&["--ipc", "private"]), ["ipc", "mnt", "pid", "uts"]);
    }

    fn net_none_is_a_network_namespace_of_its_own() needs [Box] {
        assert_eq!(own(&["--net", "none"]), ["mnt", "net", "pid", "uts"]);
    }

    fn cgroupns_private_is_a_cgroup_namespace_of_its_own() needs [Box] {
        assert_eq!(own(&["--cgroupns", "private"]), ["cgroup", "mnt", "pid", "uts"]);
    }

    fn time_offset_is_a_time_namespace_of_its_own() needs [Box, TimeNamespace] {
        assert_eq!(own(&["--time-offset", "1"]), ["mnt", "pid", "time", "uts"]);
    }

    fn pid_host_leaves_the_process_ids_of_the_host() needs [Box] {
        assert_eq!(own(&["--pid", "host"]), ["mnt", "uts"]);
    }

    fn uts_host_leaves_the_host_name_of_the_host() needs [Box] {
        assert_eq!(own(&["--uts", "host"]), ["mnt", "pid"]);
        assert_eq!(host_name_with(&["--uts", "host"]), host_name());
    }

    fn host_is_a_word_for_what_is_the_hosts_anyway() needs [Box] {
        let options = ["--ipc", "host", "--net", "host", "--cgroupns", "host"];
        assert_eq!(own(&options), ["mnt", "pid", "uts"]);
    }

    fn the_loopback_device_of_a_box_without_a_network_is_up() needs [Box] {
        run_probe(&["--net", "none"], &["loopback"]).succeeds().prints("up\n");
    }

    fn there_is_no_way_out_of_a_box_without_a_network() needs [Box] {
        run_probe(&["--net", "none"], &["network"]).succeeds().prints("NetworkUnreachable\n");
    }

    fn an_offset_moves_both_clocks() needs [Box, TimeNamespace] {
        let [monotonic, boottime] = ahead("--time-offset=1000000");
        assert!(monotonic.contains(&1_000_000), "{monotonic:?}");
        assert!(boottime.contains(&1_000_000), "{boottime:?}");
    }

    fn an_offset_may_be_of_one_clock() needs [Box, TimeNamespace] {
        let [monotonic, boottime] = ahead("--time-offset=boottime=1000000");
        assert!(monotonic.contains(&0), "{monotonic:?}");
        assert!(boottime.contains(&1_000_000), "{boottime:?}");
    }

    fn a_box_can_be_started_in_a_box() needs [Box, Userns] {
        let clonebox = binary();
        let inner = clonebox.to_str().expect("UTF-8");
        run(["--seccomp", "off", "--", inner, "--name", "inner", "--", &probe::path(), "__probe", "cat", HOST_NAME])
            .succeeds()
            .prints("inner\n");
    }
}
