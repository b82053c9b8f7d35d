//! Namespaces: what is the box's own, and what stays as it is outside.

use std::fs;

use crate::support::clonebox::run;
use crate::support::{probe, tests};

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").expect("the host has a name").trim().to_owned()
}

tests! {
    fn the_host_name_is_the_boxes_own_and_the_hosts_stays() needs [Box] {
        let before = host_name();
        run(["--hostname", "web", "--", "hostname"]).succeeds().prints("web\n").says_nothing_else();
        assert_eq!(host_name(), before);
    }

    fn the_first_process_is_pid_1() needs [Box] {
        run(["--", &probe::path(), "__probe", "pid"]).succeeds().prints("1\n");
    }
}
