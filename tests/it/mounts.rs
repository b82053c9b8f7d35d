//! Mounts: one more inside, none outside, and nothing of one side seen on the other.

use std::fs;

use crate::support::clonebox::run;
use crate::support::{binary, files, probe, run_probe, tests};

/// Other programs may mount something meanwhile: then there is another try.
const TRIES: usize = 20;

/// Runs something while the host's mount table stays as it is: the table and the result.
#[track_caller]
fn undisturbed<T>(mut run: impl FnMut() -> T) -> (String, T) {
    let table = || fs::read_to_string("/proc/self/mountinfo").expect("/proc");
    for _ in 0..TRIES {
        let before = table();
        let result = run();
        if table() == before {
            return (before, result);
        }
    }
    panic!("the host's mount table changes with every run");
}

/// How many more mounts a box with these options has than the host.
#[track_caller]
fn more(options: &[&str]) -> usize {
    let words = ["cat", "/proc/self/mounts"];
    let (outside, inside) = undisturbed(|| run_probe(options, &words).succeeds().stdout());
    inside.lines().count() - outside.lines().count()
}

/// The words of mountinfo, in front of the ` - ` and behind it. See proc_pid_mountinfo(5).
fn fields(line: &str) -> (Vec<&str>, Vec<&str>) {
    let (front, back) = line.split_once(" - ").expect("a separator");
    (front.split(' ').collect(), back.split(' ').collect())
}

/// Whether a mount passes anything on, or has anything passed on to it.
fn propagates(line: &&str) -> bool {
    let (front, _) = fields(line);
    let other = |word: &&str| word.starts_with("shared:") || word.starts_with("master:");
    front[6..].iter().any(other)
}

/// A box that mounts something, in an outer one whose mounts are all shared: the mount tables
/// inside and outside, and the directory.
#[track_caller]
fn mount_in_a_shared_tree() -> (String, String, String) {
    let directory = files::directory();
    let directory = directory.path().to_str().expect("UTF-8");
    let clonebox = binary();
    let clonebox = clonebox.to_str().expect("UTF-8");
    let probe = probe::path();
    let admin = ["--cap-add", "SYS_ADMIN", "--", &probe, "__probe"];
    let words = [
        &admin[..],
        &["share", clonebox],
        &admin,
        &["mount", directory],
    ]
    .concat();
    let tables = run(words).succeeds().stdout();
    let (inside, outside) = tables.split_once("outside\n").expect("two tables");
    (inside.to_owned(), outside.to_owned(), directory.to_owned())
}

tests! {
    fn a_box_has_one_mount_more_than_the_host() needs [Box] {
        assert_eq!(more(&[]), 1);
    }

    fn a_box_with_the_process_ids_of_the_host_has_the_mounts_of_the_host() needs [Box] {
        assert_eq!(more(&["--pid", "host"]), 0);
    }

    fn the_mount_table_of_the_host_stays_as_it_is() needs [Box] {
        undisturbed(|| run_probe(&[], &["exit", "0"]).succeeds());
    }

    fn the_new_mount_is_a_proc_without_set_id_devices_and_programs() needs [Box] {
        let table = run_probe(&[], &["cat", "/proc/self/mountinfo"]).succeeds().stdout();
        let (front, back) = fields(table.lines().last().expect("a mount"));
        assert_eq!((front[4], back[0]), ("/proc", "proc"));
        let options: Vec<&str> = front[5].split(',').collect();
        for option in ["nosuid", "nodev", "noexec"] {
            assert!(options.contains(&option), "no {option} in {options:?}");
        }
    }

    fn no_mount_of_a_box_propagates() needs [Box] {
        let (inside, outside, _) = mount_in_a_shared_tree();
        assert!(outside.lines().any(|line| propagates(&line)), "nothing is shared:\n{outside}");
        let left: Vec<&str> = inside.lines().filter(propagates).collect();
        assert!(left.is_empty(), "{left:#?}");
    }

    fn what_a_box_mounts_is_not_seen_outside() needs [Box] {
        let (inside, outside, directory) = mount_in_a_shared_tree();
        let there = |table: &str| table.lines().any(|line| fields(line).0[4] == directory);
        assert!(there(&inside), "{directory} is not mounted in:\n{inside}");
        assert!(!there(&outside), "{directory} is mounted in:\n{outside}");
    }
}
