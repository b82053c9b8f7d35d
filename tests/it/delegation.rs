//! Limits for an ordinary user: in a cgroup that somebody has delegated, and nowhere else.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::clonebox::{Clonebox, Ran};
use crate::support::files::{self, Public};
use crate::support::{binary, tests};

/// An id that nobody has.
const USER: u32 = 4711;
const ROOT: &str = "/sys/fs/cgroup";

/// Cgroups that belong to [`USER`], one in each hierarchy, and below each the one that its processes are
/// in, as a session's are: removed when this is dropped.
struct Delegated {
    above: Vec<PathBuf>,
    program: Public,
    directory: tempfile::TempDir,
}

impl Delegated {
    fn new(test: &str) -> Self {
        let name = format!("delegation.{test}.{}", std::process::id());
        let unified = Path::new(ROOT).join("cgroup.controllers").exists();
        let above: Vec<PathBuf> = if unified {
            vec![Path::new(ROOT).join(&name)]
        } else {
            let hierarchy = |controller: &str| Path::new(ROOT).join(controller).join(&name);
            ["memory", "pids"].map(hierarchy).into()
        };
        let directory = files::directory();
        files::executable(
            directory.path(),
            "clonebox",
            fs::read(binary()).expect("the command"),
        );
        let delegated = Self {
            above,
            program: Public::new(),
            directory,
        };
        for above in &delegated.above {
            let session = above.join("session");
            fs::create_dir(above).expect("root makes cgroups");
            if unified {
                fs::write(above.join("cgroup.subtree_control"), "+memory +pids")
                    .expect("controllers");
            }
            fs::create_dir(&session).expect("root makes cgroups");
            for directory in [above, &session] {
                give(directory);
                for file in ["cgroup.procs", "cgroup.subtree_control", "tasks"] {
                    if directory.join(file).exists() {
                        give(&directory.join(file));
                    }
                }
            }
        }
        delegated
    }

    /// Runs the command as that user, from the session, with a probe as its program.
    fn run(&self, options: &[&str], probe: &[&str]) -> Ran {
        let mut command = Command::new(self.program.path());
        command.args(["__probe", "as-user"]).arg(USER.to_string());
        let sessions = self.above.iter().map(|above| above.join("session"));
        command.args(sessions.map(|session| session.join("cgroup.procs")));
        command
            .arg("--")
            .arg(self.directory.path().join("clonebox"));
        command.args(options);
        command
            .args(["--", self.program.path(), "__probe"])
            .args(probe);
        Clonebox::of(command).run()
    }

    /// The cgroups in those that are delegated, but for the session's.
    fn left(&self) -> Vec<PathBuf> {
        let below = |directory: &Path| {
            let entries = fs::read_dir(directory).expect("a cgroup of ours").flatten();
            let paths = entries.map(|entry| entry.path());
            paths
                .filter(|path| path.is_dir() && !path.ends_with("session"))
                .collect::<Vec<_>>()
        };
        self.above
            .iter()
            .flat_map(|above| [below(above), below(&above.join("session"))].concat())
            .collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for above in &self.above {
            for directory in [above.join("session"), above.clone()] {
                // What has just ended may still be leaving.
                for _ in 0..500 {
                    if fs::remove_dir(&directory).is_ok() {
                        break;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
            }
        }
    }
}

fn give(path: &Path) {
    chown(path, Some(USER), Some(USER)).expect("root gives things away");
}

tests! {
    fn an_ordinary_user_limits_a_box_in_a_delegated_cgroup() needs [Limits, Root, Userns] {
        let delegated = Delegated::new("limits");
        let options = ["-m", "24m", "--pids-limit", "12"];
        let ran = delegated.run(&options, &["eat", "200"]).exits_with(137);
        assert!(ran.stderr().contains("out of memory (limit 24 MiB"), "{}", ran.stderr());
        delegated.run(&options, &["eat", "4"]).succeeds().says_nothing_else();
        let count = delegated.run(&options, &["forks"]).succeeds().stdout();
        let count: usize = count.trim().parse().expect("a number");
        assert!((5..12).contains(&count), "{count} processes");
        assert!(delegated.left().is_empty(), "{:?}", delegated.left());
    }

    fn best_effort_sets_the_limits_that_can_be_set() needs [Limits, Root, Userns] {
        let delegated = Delegated::new("effort");
        // Of version 2 nobody hands on another controller than those that are.
        let control = delegated.above[0].join("cgroup.subtree_control");
        if control.exists() {
            chown(&control, Some(0), Some(0)).expect("root takes things back");
        }
        let options = ["-m", "24m", "--cpuset-cpus", "0"];
        delegated.run(&options, &["exit", "0"]).exits_with(125);
        let options = [&options[..], &["--best-effort-limits"]].concat();
        let ran = delegated.run(&options, &["eat", "200"]).exits_with(137);
        let warning = "clonebox: warning: --cpuset-cpus 0: there is no ";
        assert!(ran.stderr().starts_with(warning), "{}", ran.stderr());
        assert!(ran.stderr().contains("out of memory (limit 24 MiB"), "{}", ran.stderr());
        assert!(delegated.left().is_empty(), "{:?}", delegated.left());
    }

    fn what_is_not_delegated_is_named() needs [Limits, Root, Userns] {
        let delegated = Delegated::new("refused");
        for above in &delegated.above {
            for directory in [above.clone(), above.join("session")] {
                chown(&directory, Some(0), Some(0)).expect("root takes things back");
            }
        }
        let ran = delegated.run(&["-m", "24m"], &["exit", "0"]).exits_with(125);
        assert!(ran.stderr().contains("asked by     --memory 24m"), "{}", ran.stderr());
        assert!(ran.stderr().contains("hint"), "{}", ran.stderr());
        delegated.run(&["--timeout", "20s"], &["exit", "0"]).succeeds();
        let ran = delegated.run(&["-m", "24m", "--best-effort-limits"], &["eat", "64"]).succeeds();
        let warning = "clonebox: warning: --memory 24m: there is no cgroup of the memory controller to be had: cannot ";
        assert!(ran.stderr().starts_with(warning), "{}", ran.stderr());
        assert!(ran.stderr().ends_with(": Permission denied\n"), "{}", ran.stderr());
        assert!(delegated.left().is_empty(), "{:?}", delegated.left());
    }
}
