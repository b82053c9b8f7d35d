//! Capabilities and no_new_privs.

use clonebox::CapabilitySet;

use crate::support::clonebox::{Clonebox, run};
use crate::support::processes::eventually;
use crate::support::status::Status;
use crate::support::{alone, binary, probe, run_probe, tests};

const CHOWN: u64 = 1 << 0;
const KILL: u64 = 1 << 5;
const NET_BIND_SERVICE: u64 = 1 << 10;
const SYS_ADMIN: u64 = 1 << 21;
const SETS: [&str; 3] = ["CapEff", "CapPrm", "CapBnd"];

/// What a box may have at most: everything in a user namespace, what the caller has without.
fn limit() -> u64 {
    let own = Status::own();
    if own.set("CapEff") & SYS_ADMIN != 0 {
        return own.set("CapBnd");
    }
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").expect("/proc");
    u64::MAX >> (63 - last.trim().parse::<u32>().expect("a number"))
}

/// Checks effective, permitted and bounding set of a box with these options.
#[track_caller]
fn has(options: &[&str], expected: u64) {
    let status = Status::in_a_box(options);
    let expected = expected & limit();
    for set in SETS {
        let actual = status.set(set);
        assert_eq!(
            actual, expected,
            "{set} of {options:?}: {actual:#x}, not {expected:#x}"
        );
    }
}

/// Waits until the command, whose box runs, is in this state.
#[track_caller]
fn command_becomes(so: impl Fn(&Status) -> bool) {
    let mut running = Clonebox::new().probe(["stay"]).start();
    running.ready();
    let pid = running.pid();
    let status = || Status::of(pid).expect("it runs");
    assert!(eventually(|| so(&status())), "{:?}", status());
}

tests! {
    fn a_box_keeps_eleven_capabilities_as_far_as_its_caller_has_them() needs [Box] {
        assert_eq!(CapabilitySet::DEFAULT.0.count_ones(), 11);
        has(&[], CapabilitySet::DEFAULT.0);
    }

    fn nothing_is_inheritable_or_ambient() needs [Box] {
        let status = Status::in_a_box(&[]);
        assert_eq!((status.set("CapInh"), status.set("CapAmb")), (0, 0));
    }

    fn what_is_inheritable_and_ambient_in_the_caller_is_not_in_the_box() needs [Root] {
        let clonebox = binary();
        let output = std::process::Command::new(probe::path())
            .args(["__probe", "with-ambient"])
            .arg(clonebox)
            .args(["--cap-drop", "CHOWN", "--", &probe::path(), "__probe"])
            .args(["cat", "/proc/self/status"])
            .output()
            .expect("this binary");
        let status = Status::printed(String::from_utf8(output.stdout).expect("UTF-8"));
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status.set(set) & CHOWN, 0, "{set}");
        }
    }

    fn cap_add_keeps_one_more() needs [Box] {
        has(&["--cap-add", "SYS_ADMIN"], CapabilitySet::DEFAULT.0 | SYS_ADMIN);
    }

    fn cap_drop_keeps_one_less() needs [Box] {
        has(&["--cap-drop", "CHOWN"], CapabilitySet::DEFAULT.0 & !CHOWN);
    }

    fn cap_drop_all_keeps_none() needs [Box] {
        has(&["--cap-drop", "ALL"], 0);
    }

    fn cap_drop_all_and_cap_add_keep_what_is_added() needs [Box] {
        let options = ["--cap-add", "KILL", "--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE"];
        has(&options, KILL | NET_BIND_SERVICE);
    }

    fn cap_add_all_keeps_everything_that_the_caller_has() needs [Box] {
        has(&["--cap-add", "ALL"], u64::MAX);
    }

    fn cap_add_all_and_cap_drop_keep_everything_else() needs [Box] {
        has(&["--cap-add", "ALL", "--cap-drop", "CHOWN"], !CHOWN);
    }

    fn none_changes_nothing() needs [Box] {
        has(&["--cap-add", "NONE", "--cap-drop", "NONE"], CapabilitySet::DEFAULT.0);
    }

    fn a_capability_is_named_with_or_without_cap_and_in_any_case() needs [Box] {
        for name in ["CAP_CHOWN", "cap_chown", "Chown"] {
            has(&["--cap-drop", name], CapabilitySet::DEFAULT.0 & !CHOWN);
        }
    }

    fn an_unknown_capability_is_refused_and_the_nearest_named() needs [] {
        run(["--cap-drop", "SYS_ADMN", "--", "/bin/true"])
            .exits_with(125)
            .complains("clonebox: --cap-drop SYS_ADMN: there is no capability \"SYS_ADMN\"; ")
            .complains("CAP_SYS_ADMIN is near\n");
    }

    fn no_execve_of_a_box_grants_privileges() needs [Box] {
        assert_eq!(Status::in_a_box(&[]).words("NoNewPrivs"), ["1"]);
    }

    fn allow_new_privs_leaves_that_as_it_is() needs [Box] {
        let own = Status::own();
        let status = Status::in_a_box(&["--allow-new-privs"]);
        assert_eq!(status.words("NoNewPrivs"), own.words("NoNewPrivs"));
    }

    fn root_of_a_box_gets_nothing_back_that_it_has_given_up() needs [Root, SetId] {
        let program = [&probe::path(), "__probe", "cat", "/proc/self/status"];
        let given_up = [&["without-capabilities"], &program[..]].concat();
        let again = |options: &[&str]| Status::printed(run_probe(options, &given_up).succeeds().stdout()).set("CapEff");
        assert_eq!(again(&["--allow-new-privs"]), CapabilitySet::DEFAULT.0 & limit(), "execve(2) gives it back");
        assert_eq!(again(&[]), 0);
        assert_eq!(again(&["--allow-new-privs", "--cap-drop", "ALL"]), 0);
    }

    fn a_program_of_a_box_may_set_securebits_for_those_that_it_executes() needs [Box] {
        // SECBIT_NOROOT and SECBIT_NOROOT_LOCKED.
        let program = [&probe::path(), "__probe", "cat", "/proc/self/status"];
        let status = run_probe(&[], &[&["with-securebits", "3"], &program[..]].concat()).succeeds().stdout();
        assert_eq!(Status::printed(status).set("CapEff"), 0);
        let bits = [&probe::path(), "__probe", "securebits"];
        run_probe(&[], &[&["with-securebits", "3"], &bits[..]].concat()).succeeds().prints("0x3\n");
    }

    fn the_callers_securebits_are_the_boxs_unless_it_has_a_user_namespace() needs [Root, Userns] {
        let has = |options: &[&str], bits: &str| {
            let mut caller = std::process::Command::new(probe::path());
            // SECBIT_NO_SETUID_FIXUP: who changes from root to a user keeps its capabilities.
            caller.args(["__probe", "with-securebits", "4"]).arg(binary()).args(options);
            Clonebox::of(caller).probe(["securebits"]).run().succeeds().prints(bits);
        };
        has(&[], "0x4\n");
        has(&alone(), "0x0\n");
    }

    fn the_command_keeps_no_capability_but_kill_while_the_box_runs() needs [Root] {
        let sets = ["CapInh", "CapPrm", "CapEff", "CapAmb"];
        command_becomes(|status| sets.into_iter().all(|set| status.set(set) & !KILL == 0));
    }

    fn the_command_cannot_get_a_capability_back_while_the_box_runs() needs [Root] {
        command_becomes(|status| status.words("NoNewPrivs") == ["1"]);
    }
}
