//! What gets out of other boxes does not get out of one for untrusted programs.

use super::assert_refused;
use crate::profiles::{LIMITS, untrusted};
use crate::support::segment::Segment;
use crate::support::{files, tests};

const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";
const SYSFS: [&str; 5] = [
    "mount-and-write",
    "sysfs",
    "",
    "/home",
    "/home/kernel/rcu_expedited",
];

/// The attack, with the filter of system calls and without.
#[track_caller]
fn refused(attack: &[&str]) {
    for filter in ["default", "off"] {
        let ran = untrusted(&LIMITS, &["--seccomp", filter], attack).succeeds();
        assert_refused(ran.stdout().trim_end());
    }
}

tests! {
    fn it_mounts_nothing_and_makes_no_device() needs [Root, Userns, Execveat] {
        for attack in [&["make-device", "/home/node"][..], &["open-to-write", CORE_PATTERN], &["uncover", CORE_PATTERN], &SYSFS] {
            refused(attack);
            refused(&[&["nested"], attack].concat());
        }
        // With every wall that stands there taken back, as root.
        let walls = [&LIMITS[..], &["userns", "disable-userns", "cap-drop", "net", "ll-exec", "ll-rw"]].concat();
        for attack in [&["uncover", CORE_PATTERN][..], &SYSFS] {
            untrusted(&walls, &["--cap-add", "SYS_ADMIN"], attack).succeeds().prints("fine\n");
        }
    }

    fn its_root_is_all_there_is() needs [Root, Userns, Execveat, Pids] {
        let directory = files::directory();
        let canary = files::write(directory.path(), "canary", "644", "");
        let canary = canary.to_str().expect("UTF-8");
        let own = std::process::id().to_string();
        for attack in [&["chroot-out", canary][..], &["pivot-out", canary], &["setns", "pidfd", &own, canary], &["setns", "path", &own, canary], &["open", canary]] {
            refused(attack);
            refused(&[&["nested"], attack].concat());
        }
    }

    fn it_reaches_nobody_outside() needs [Userns, Execveat, Pids] {
        let segment = Segment::new();
        let own = std::process::id().to_string();
        let key = segment.key().to_string();
        for attack in [["signal", &own], ["segment", &key]] {
            refused(&attack);
        }
    }
}
