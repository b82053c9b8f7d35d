//! Paths in a root filesystem that lead out of it, on both ways down a path.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::support::files::{self, assert_untouched, canary};
use crate::support::rootfs::Root;
use crate::support::ways::{Way, tests_of_ways};
use crate::support::{exchange, probe};

tests_of_ways! {
    // CVE-2021-30465, CVE-2019-16884 and their kin.
    fn mount_points_that_are_links_are_refused(way) needs [Box] {
        for name in ["proc", "sys", "dev"] {
            let canary = canary();
            let up = format!("../../../../../../..{}", canary.path().display());
            for target in [canary.path().to_str().expect("UTF-8"), &up, "tmp", "/tmp", "/", ".."] {
                let root = Root::new();
                fs::create_dir(root.path().join("tmp")).expect("a directory of ours");
                symlink(target, root.path().join(name)).expect("a directory of ours");
                let ran = way.run(&root, &[], &["exit", "0"]).exits_with(125);
                let complaint = format!("cannot find /{name} in the root: ");
                assert!(ran.stderr().contains(&complaint), "{name} -> {target}: {}", ran.stderr());
                assert_untouched(canary.path());
            }
        }
    }

    fn mount_points_that_are_files_are_refused(way) needs [Box] {
        for name in ["proc", "sys", "dev"] {
            let root = Root::new();
            fs::write(root.path().join(name), "").expect("a directory of ours");
            let ran = way.run(&root, &[], &["exit", "0"]).exits_with(125);
            assert!(ran.stderr().contains("Not a directory (ENOTDIR)"), "{}", ran.stderr());
        }
    }

    // CVE-2024-45310: what a mkdir follows.
    fn links_in_a_target_stay_inside_the_root(way) needs [Box] {
        let (canary, volume) = (canary(), files::directory());
        fs::write(volume.path().join("file"), "data").expect("a directory of ours");
        let up = format!("../../../../../../..{}", canary.path().display());
        for target in [canary.path().to_str().expect("UTF-8"), &up] {
            let root = Root::new();
            symlink(target, root.path().join("link")).expect("a directory of ours");
            // The link dangles inside: what it names is not made, there or here.
            let bind = format!("{}:/link/place", volume.path().display());
            way.run(&root, &["-v", &bind], &["exit", "0"]).exits_with(125);
            assert_untouched(canary.path());
            // It leads to a directory of the same name inside.
            let inside = root.path().join(canary.path().strip_prefix("/").expect("absolute"));
            fs::create_dir_all(&inside).expect("a directory of ours");
            let ran = way.run(&root, &["-v", &bind], &["cat", "/link/place/file"]);
            match way {
                Way::Usual => ran.succeeds().prints("data"),
                // A link ends the walk, wherever it leads.
                Way::Walk => ran.exits_with(125).complains("Not a directory (ENOTDIR)"),
            };
            assert_eq!(inside.join("place").is_dir(), way == Way::Usual);
            assert_untouched(canary.path());
        }
    }

    fn a_target_that_is_a_dangling_link_makes_nothing_on_the_host(way) needs [Box] {
        let (canary, volume) = (canary(), files::directory());
        fs::write(volume.path().join("file"), "data").expect("a directory of ours");
        let root = Root::new();
        symlink(canary.path().join("new"), root.path().join("link")).expect("a directory of ours");
        let before = root.contents();
        for bind in [format!("{}:/link", volume.path().display()), format!("{}/file:/link", volume.path().display())] {
            let ran = way.run(&root, &["-v", &bind], &["cat", "/link"]);
            match way {
                // The kernel mounts a file on the link itself, which it covers.
                Way::Walk if bind.contains("/file:") => ran.succeeds().prints("data"),
                _ => ran.exits_with(125),
            };
            assert_untouched(canary.path());
            let link = |contents: Vec<String>| contents.into_iter().find(|line| line.starts_with("link "));
            assert_eq!(link(root.contents()), link(before.clone()));
        }
    }

    fn a_link_to_a_descriptor_leads_nowhere(way) needs [Box] {
        let (canary, root) = (canary(), Root::new());
        let open = File::open(canary.path()).expect("a directory of ours");
        fcntl(&open, FcntlArg::F_SETFD(FdFlag::empty())).expect("it is open");
        symlink(format!("/proc/self/fd/{}", open.as_raw_fd()), root.path().join("link")).expect("a directory of ours");
        way.run(&root, &["--tmpfs", "/link/x"], &["exit", "0"]).exits_with(125);
        assert_untouched(canary.path());
    }

    fn a_directory_that_is_exchanged_for_a_link_lets_nobody_out(way) needs [Root] {
        assert!(exchange::lets_out_who_looks_first(), "the exchange is too slow to be an attack");
        for name in ["a", "proc", "sys", "dev"] {
            // A process of its own: it asks once whether there is openat2(2).
            let mut launches = Command::new(probe::path());
            launches.args(["__probe", "exchange", name]);
            way.end(launches).succeeds();
        }
    }

    // Otherwise all of these would be about something else.
    fn a_path_without_a_link_is_found_by_the_calls_of_its_way(way) needs [Box] {
        let (root, volume) = (Root::new(), files::directory());
        fs::write(volume.path().join("file"), "data").expect("a directory of ours");
        let bind = format!("{}:/deep/er/place", volume.path().display());
        way.run(&root, &["-v", &bind], &["cat", "/deep/er/place/file"]).succeeds().prints("data");
        let plan = way.run(&root, &["--explain", "-v", &bind], &[]).succeeds().stdout();
        assert_eq!(plan.contains("openat2("), way == Way::Usual, "{plan}");
        assert_eq!(plan.contains("\"er\", O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_PATH|O_DIRECTORY)"), way == Way::Walk, "{plan}");
    }
}
