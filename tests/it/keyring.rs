//! The session keyring: a box sees nothing of the caller's.

use crate::support::clonebox::{Clonebox, Ran, run};
use crate::support::processes::eventually;
use crate::support::{binary, probe, tests};

/// A probe of the key in a box with these options, whose caller has it in his session keyring.
fn key(options: &[&str], program: &str) -> Ran {
    let mut command = std::process::Command::new(probe::path());
    command.args(["__probe", "with-key", "clonebox-test", "secret"]);
    // The filter of boxes with a user namespace refuses what the probe asks.
    command
        .arg(binary())
        .args(["--seccomp", "off"])
        .args(options);
    let words = ["--", program, "__probe", "key", "clonebox-test"];
    Clonebox::of(command).args(words).run()
}

fn without_keyctl(errno: i32, options: &[&str]) -> Ran {
    let mut command = std::process::Command::new(probe::path());
    command.args(["__probe", "without-keyctl", &errno.to_string()]);
    command.arg(binary()).args(options);
    Clonebox::of(command).args(["--", "/bin/true"]).run()
}

tests! {
    fn with_the_callers_keyring_a_box_reads_the_callers_keys() needs [Box, Keys] {
        key(&["--keyring", "host"], &probe::path()).succeeds().prints("secret\n");
    }

    fn a_box_does_not_see_the_callers_keys() needs [Box, Keys] {
        // An ordinary user may have as many keys as the kernel allows, because of other tests.
        let read = || key(&[], &probe::path()).succeeds().stdout();
        assert!(eventually(|| read() == "ENOKEY\n"), "{}", read());
    }

    fn a_box_of_another_user_does_not_see_them_either() needs [Root, Keys] {
        let program = crate::support::files::Public::new();
        key(&["-u", "1234:1234"], program.path()).succeeds().prints("ENOKEY\n");
    }

    fn where_keyctl_is_refused_a_box_starts_without_it() needs [Box, Seccomp] {
        for errno in [libc::ENOSYS, libc::EPERM] {
            without_keyctl(errno, &[]).succeeds().says_nothing_else();
        }
    }

    fn a_user_with_all_keys_that_the_kernel_allows_gets_a_box_and_no_keyring_if_asked_for() needs [Root, Userns, Keys] {
        let program = crate::support::files::Public::new();
        let clonebox = crate::support::files::directory();
        std::fs::set_permissions(clonebox.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
        let bytes = std::fs::read(binary()).expect("the command");
        let clonebox = crate::support::files::executable(clonebox.path(), "clonebox", bytes).display().to_string();
        // Root of a box is counted as the user that it is outside.
        let in_box = [clonebox.as_str(), "--seccomp", "off", "--"];
        // Users whom nobody else uses, so that nobody else's keys are counted.
        let own = 20_000 + std::process::id() % 20_000;
        for (user, words) in [(own, &[][..]), (own + 20_000, &in_box)] {
            let mut command = std::process::Command::new(program.path());
            command.args(["__probe", "of-user", &user.to_string()]).args(words);
            command.args([program.path(), "__probe", "keys", &clonebox]);
            Clonebox::of(command).run()
                .succeeds()
                .prints("Some(125)\nSome(0)\n")
                .complains("cannot make a session keyring: Quota exceeded (EDQUOT)\n")
                .complains("sysctl kernel.keys.maxkeys, or --keyring host\n");
        }
    }

    fn an_unknown_keyring_is_refused() needs [] {
        run(["--keyring", "mine", "--", "/bin/true"])
            .exits_with(125)
            .complains("--keyring mine: expected private or host\n");
    }
}
