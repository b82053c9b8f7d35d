//! What the kernel lets root change for the whole machine: devices, its parameters, what it executes itself.

use std::fs;

use super::assert_refused;
use crate::support::rootfs::Root;
use crate::support::user::Place;
use crate::support::{files, run_probe, tests};

/// What the kernel executes as root, with every capability, when a process ends by a fault.
const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";
const UNPROTECTED: [&str; 2] = ["--security-opt", "systempaths=unconfined"];

/// Refused, and also by what stands behind the filter.
#[track_caller]
fn refused(root: &Root, options: &[&str], attack: &[&str]) {
    for filter in ["default", "off"] {
        let options = [&["--seccomp", filter], options].concat();
        assert_refused(root.run(&options, attack).succeeds().stdout().trim_end());
    }
}

tests! {
    fn with_mknod_root_makes_a_device_and_reads_it() needs [Root] {
        let directory = files::directory();
        let node = directory.path().join("node").display().to_string();
        run_probe(&["--cap-add", "MKNOD"], &["make-device", &node]).succeeds().prints("fine\n");
    }

    fn a_box_makes_no_device() needs [Root, Userns, Idmap] {
        let (root, directory) = (Root::new(), files::directory());
        let node = directory.path().join("node").display().to_string();
        run_probe(&[], &["make-device", &node]).succeeds().prints("EPERM\n");
        let ran = run_probe(&["--userns", "auto", "--cap-add", "ALL"], &["make-device", &node]).succeeds();
        assert_refused(ran.stdout().trim_end());
        for options in [&[][..], &["--userns", "auto", "--cap-add", "ALL"]] {
            refused(&root, options, &["make-device", "/node"]);
            refused(&root, options, &["nested", "make-device", "/node"]);
        }
    }

    fn a_device_on_a_tmpfs_is_not_opened() needs [Root] {
        let root = Root::new();
        let options = ["--cap-add", "MKNOD", "--tmpfs", "/tmp"];
        root.run(&options, &["make-device", "/node"]).succeeds().prints("fine\n");
        for node in ["/tmp/node", "/dev/shm/node"] {
            root.run(&options, &["make-device", node]).succeeds().prints("EACCES\n");
        }
    }

    fn where_proc_is_uncovered_root_opens_core_pattern_for_writing() needs [Root] {
        Root::new().run(&UNPROTECTED, &["open-to-write", CORE_PATTERN]).succeeds().prints("fine\n");
        // On the host's own files nothing is covered: no boundary.
        run_probe(&[], &["open-to-write", CORE_PATTERN]).succeeds().prints("fine\n");
    }

    fn who_may_mount_uncovers_core_pattern() needs [Root] {
        Root::new().run(&["--cap-add", "SYS_ADMIN"], &["uncover", CORE_PATTERN]).succeeds().prints("fine\n");
    }

    fn core_pattern_is_read_only_in_a_root_filesystem() needs [Root, Userns, Idmap] {
        let root = Root::new();
        root.run(&[], &["open-to-write", CORE_PATTERN]).succeeds().prints("EROFS\n");
        for options in [&[][..], &["--userns", "auto"], &["--userns", "auto", "--cap-add", "ALL"]] {
            refused(&root, options, &["open-to-write", CORE_PATTERN]);
            refused(&root, options, &["uncover", CORE_PATTERN]);
            refused(&root, options, &["nested", "uncover", CORE_PATTERN]);
        }
    }

    fn core_pattern_is_not_an_ordinary_users_whatever_his_box_may_do() needs [Userns] {
        let place = Place::new();
        for attack in [&["open-to-write", CORE_PATTERN][..], &["uncover", CORE_PATTERN], &["nested", "uncover", CORE_PATTERN]] {
            place.box_of_user(&["--cap-add", "ALL"], attack).succeeds().prints("EACCES\n");
        }
    }

    fn sysfs_is_for_those_who_may_mount() needs [Root, Userns, Idmap] {
        let root = Root::new();
        fs::create_dir(root.path().join("place")).expect("a directory of ours");
        let attack = ["mount-and-write", "sysfs", "", "/place", "/place/kernel/rcu_expedited"];
        root.run(&["--cap-add", "SYS_ADMIN"], &attack).succeeds().prints("fine\n");
        for options in [&[][..], &["--userns", "auto"], &["--userns", "auto", "--cap-add", "ALL"]] {
            refused(&root, options, &attack);
            refused(&root, options, &[&["nested"], &attack[..]].concat());
            refused(&root, options, &["open-to-write", "/sys/kernel/rcu_expedited"]);
        }
    }

    /// CVE-2022-0492. Its release_agent is a program that the kernel executes as root. Version 2 has none.
    fn a_release_agent_is_for_those_who_may_mount() needs [Root, Userns, Idmap] {
        let root = Root::new();
        fs::create_dir(root.path().join("place")).expect("a directory of ours");
        let cgroups = fs::read_to_string("/proc/self/cgroup").expect("/proc");
        let mut hierarchies = cgroups.lines().filter_map(|line| line.split(':').nth(1));
        let hierarchy = hierarchies.rfind(|controllers| !controllers.is_empty());
        // Without version 1 there is none to mount, and it is the files of version 2 that must not be written.
        let (attack, kind, data, file) = match hierarchy {
            Some(controllers) => ("mount-and-rewrite", "cgroup", controllers, "/place/release_agent"),
            None => ("mount-and-write", "cgroup2", "", "/place/cgroup.procs"),
        };
        let attack = [attack, kind, data, "/place", file];
        root.run(&["--cap-add", "SYS_ADMIN", "--cgroupns", "host"], &attack).succeeds().prints("fine\n");
        for options in [&[][..], &["--cgroupns", "host"], &["--userns", "auto"], &["--userns", "auto", "--cap-add", "ALL"]] {
            refused(&root, options, &attack);
            refused(&root, options, &[&["nested"], &attack[..]].concat());
        }
    }
}
