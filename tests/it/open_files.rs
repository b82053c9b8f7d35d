// SPDX-License-Identifier: MIT OR Apache-2.0
//! Callers that may have few files open. A launch that holds a descriptor of each mount (as root, in a user namespace;
//! on kernels whose open_tree(2) makes mount namespaces in all boxes with a root filesystem) needs many at once.

use std::fs;
use std::os::unix::process::CommandExt;

use nix::sys::resource::{Resource, setrlimit};

use crate::support::processes::{eventually, marked};
use crate::support::rootfs::Root;
use crate::support::{Clonebox, files, tests};

/// With that of the program as many as a launch ever holds at once.
const VOLUMES: usize = 63;
/// Enough for everything.
const PLENTY: u64 = 256;

/// A run of the command, which may have so many files open.
fn with(limit: u64, clonebox: Clonebox) -> Clonebox {
    let mut command = clonebox.command();
    let change = move || Ok(setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?);
    // SAFETY: between fork and execve the closure makes one system call.
    unsafe { command.pre_exec(change) };
    Clonebox::of(command)
}

/// How many lines of a table of mounts have this in them.
fn count(table: &str, text: &str) -> usize {
    table.lines().filter(|line| line.contains(text)).count()
}

/// Starts a box with many volumes under one limit after the other. With each it starts, or there is one error that
/// names the limit.
#[track_caller]
fn starts_or_names_the_limit(options: &[&str]) {
    let (root, source) = (Root::new(), files::directory());
    let source = source.path().display();
    let volumes: Vec<String> = (0..VOLUMES)
        .map(|number| format!("--volume={source}:/volume-{number}"))
        .collect();
    let options: Vec<&str> = options
        .iter()
        .copied()
        .chain(volumes.iter().map(String::as_str))
        .collect();
    // Around what is needed for nothing, and for all of them, each number is another step that fails.
    let few = (8..13).chain([24]).chain(68..82);
    for limit in few.chain([PLENTY]) {
        let clonebox = root.describe(&options, &["cat", "/proc/self/mountinfo"]);
        let mut running = with(limit, clonebox).start();
        assert!(eventually(|| running.has_ended()), "it hangs with {limit}");
        let ran = running.end();
        if ran.code() == Some(0) {
            assert_eq!(count(&ran.stdout(), " /volume-"), VOLUMES, "with {limit}");
        } else {
            assert_ne!(limit, PLENTY, "{}", ran.stderr());
            let ran = ran
                .exits_with(125)
                .prints("")
                .complains(": Too many open files (EMFILE)\n");
            let hint = format!(
                "hint         this process may have {limit} files open (RLIMIT_NOFILE): raise ulimit -n\n"
            );
            let said = ran.complains(&hint).stderr();
            assert_eq!(count(&said, "clonebox: "), 1, "{said}");
        }
        assert!(
            eventually(|| marked(root.text()).is_empty()),
            "with {limit}"
        );
        let own = fs::read_to_string("/proc/self/mountinfo").expect("/proc");
        assert_eq!(count(&own, root.text()), 0, "with {limit}: {own}");
    }
}

tests! {
    fn a_box_with_many_volumes_starts_or_the_limit_of_open_files_is_named() needs [Root, Execveat] {
        starts_or_names_the_limit(&[]);
    }

    fn so_it_is_where_the_launch_makes_the_mounts() needs [Root, Idmap, Execveat] {
        starts_or_names_the_limit(&["--userns=auto"]);
    }

    fn so_it_is_where_the_launch_stands_still_meanwhile() needs [Root, Idmap, Execveat] {
        starts_or_names_the_limit(&["--userns=auto", "--oom-score-adj=1000"]);
    }
}
