//! The memory of whoever launches a box, which is the child's own until execve(2). CVE-2016-9962 and its kin.

use super::assert_refused;
use crate::support::clonebox::{Clonebox, Ran};
use crate::support::pty::Terminal;
use crate::support::rootfs::Root;
use crate::support::seccomp::hold_at;
use crate::support::user::Place;
use crate::support::{files, probe, run_probe, tests};

const WAYS: [&str; 3] = ["process_vm_writev", "mem", "ptrace"];

/// What root launches, by the library: how the attack went, and what became of the memory.
fn launch(way: &str, kind: &[&str]) -> Ran {
    let program = files::Public::new();
    let mut command = std::process::Command::new(program.path());
    command.args(["__probe", "launcher", way]).args(kind);
    Clonebox::of(command).run().succeeds()
}

#[track_caller]
fn assert_unharmed(ran: &Ran, kind: &[&str]) {
    let said = ran.stdout();
    let (attack, memory) = said.trim_end().split_once('\n').expect("two lines");
    assert_refused(attack);
    assert_eq!(memory, "as it was", "{kind:?}");
}

tests! {
    fn with_the_capability_to_trace_root_writes_into_the_launchers_memory() needs [Root] {
        for way in WAYS {
            launch(way, &["host-pid", "may-trace"]).prints("fine\nchanged\n");
        }
    }

    fn roots_box_does_not_write_into_the_launchers_memory() needs [Root, Userns, Idmap] {
        for kind in [
            &[][..],
            &["host-pid"],
            &["host-pid", "other-user"],
            &["host-pid", "nested"],
            &["host-pid", "userns"],
            &["host-pid", "userns", "nested"],
            &["host-pid", "userns", "may-trace"],
        ] {
            WAYS.iter().for_each(|way| assert_unharmed(&launch(way, kind), kind));
        }
    }

    fn without_a_box_a_user_writes_into_the_memory_of_his_own_program() needs [Box] {
        let place = Place::new();
        for way in WAYS {
            place.of_user(&["launcher", way, "no-box"]).succeeds().prints("fine\nchanged\n");
        }
    }

    fn a_users_box_does_not_write_into_the_launchers_memory() needs [Userns] {
        let place = Place::new();
        for kind in [&[][..], &["host-pid"], &["host-pid", "nested"], &["host-pid", "may-trace"]] {
            for way in WAYS {
                let ran = place.of_user(&[&["launcher", way], kind].concat()).succeeds();
                assert_unharmed(&ran, kind);
            }
        }
    }

    fn with_the_capability_to_trace_root_is_out_by_way_of_the_command() needs [Root] {
        let (root, outside) = (Root::new(), files::directory());
        std::fs::write(outside.path().join("canary"), "").expect("a directory of ours");
        let canary = outside.path().join("canary").display().to_string();
        let options = ["--pid", "host", "--cap-add", "SYS_PTRACE"];
        root.run(&options, &["parent", &canary]).succeeds().prints("fine\nfine\n");
    }

    /// It has given up its capabilities: it must not be for the taking by those who have as many.
    fn the_command_is_not_traced_by_its_box() needs [Root, Userns, Idmap] {
        let (root, outside) = (Root::new(), files::directory());
        std::fs::write(outside.path().join("canary"), "").expect("a directory of ours");
        let canary = outside.path().join("canary").display().to_string();
        for options in [&["--pid", "host"][..], &["--pid", "host", "--userns", "auto"]] {
            root.run(options, &["parent", &canary]).succeeds().prints("EPERM\nEACCES\n");
            run_probe(options, &["parent", &canary]).succeeds().prints("EPERM\nEACCES\n");
        }
    }

    fn the_guard_of_a_terminal_is_not_traced_either() needs [Root, Ptmx] {
        let canary = probe::path();
        for (options, result) in [(&["--cap-add=SYS_PTRACE"][..], "fine\r\nfine\r\n"), (&[], "EPERM\r\nEACCES\r\n")] {
            let mut terminal = Terminal::new();
            terminal.run(Clonebox::new().args(["--pid=host"]).args(options).probe(["guard", &canary]));
            terminal.expect(result);
        }
    }

    /// It has the box's capabilities already, and the launcher's memory still: another box has as many.
    fn the_child_is_not_traced_by_another_box_before_its_program_runs() needs [Root, Userns, Idmap, Seccomp] {
        let (root, outside) = (Root::new(), files::directory());
        std::fs::write(outside.path().join("canary"), "").expect("a directory of ours");
        let canary = outside.path().join("canary").display().to_string();
        for options in [&[][..], &["--userns", "auto"], &["-u", "1234"], &["--cap-drop", "ALL"]] {
            let launcher = Clonebox::new().args(options).probe(["exit", "0"]).command();
            let mut held = hold_at(libc::PR_SET_NO_NEW_PRIVS, launcher);
            let caller = held.caller.to_string();
            let attack = |options: &[&str]| {
                let options = [&["--pid", "host"], options].concat();
                root.run(&options, &["trace", &caller, &canary])
            };
            let attacks = [&[][..], &["--userns", "auto"], &["--cap-add", "SYS_PTRACE"]].map(attack);
            // Before anything is said of them: it would be held for ever.
            held.child.kill().expect("it is ours");
            held.child.wait().expect("its end");
            let results = ["EPERM\nEACCES\n", "EPERM\nEACCES\n", "fine\nfine\n"];
            for (ran, result) in attacks.into_iter().zip(results) {
                ran.succeeds().prints(result);
            }
        }
    }

    fn the_command_of_a_user_is_not_traced_by_its_box() needs [Userns] {
        let place = Place::new();
        let canary = probe::path();
        place.box_of_user(&["--pid", "host"], &["parent", &canary]).succeeds().prints("EPERM\nEACCES\n");
    }
}
