//! `--timeout`: the end of a box that takes too long.

use crate::support::processes::{eventually, marked, marker};
use crate::support::{Clonebox, run_probe, tests};

/// The command, the box's first process, a child with a session of its own, and its child.
const FAMILY: usize = 4;

tests! {
    fn a_box_that_takes_too_long_is_124() needs [Box] {
        run_probe(&["--timeout", "100ms"], &["stay"]).exits_with(124);
    }

    fn a_box_that_ends_in_time_has_its_own_code() needs [Box] {
        run_probe(&["--timeout", "1h"], &["exit", "7"]).exits_with(7).says_nothing_else();
    }

    fn a_time_beyond_every_clock_never_comes() needs [Box] {
        let options = ["--timeout", "5000000000000000h", "--start-timeout", "5000000000000000h"];
        run_probe(&options, &["exit", "7"]).exits_with(7).says_nothing_else();
    }

    fn a_box_that_was_killed_by_itself_has_not_timed_out() needs [Box] {
        let words = ["raise", &libc::SIGKILL.to_string()];
        run_probe(&["--pid", "host", "--timeout", "1h"], &words).exits_with(128 + libc::SIGKILL);
    }

    fn all_processes_of_a_box_end_with_its_time() needs [Box] {
        let marker = marker("timeout");
        // On a slow machine the family may need more time to be complete.
        let complete = ["1s", "5s", "30s"].into_iter().any(|time| {
            let mut running =
                Clonebox::new().args(["--timeout", time]).probe(["family", &marker]).start();
            let mut complete = false;
            eventually(|| {
                complete = marked(&marker).len() >= FAMILY;
                complete || running.has_ended()
            });
            running.end().exits_with(124);
            complete
        });
        assert!(complete, "the box has never had all its processes");
        assert!(eventually(|| marked(&marker).is_empty()), "{:?}", marked(&marker));
    }

    fn a_box_without_process_ids_of_its_own_is_124_too() needs [Box] {
        run_probe(&["--pid", "host", "--timeout", "100ms"], &["stay"]).exits_with(124);
    }
}
