//! A root filesystem as people have them: one that debootstrap(8) has made.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::clonebox::{Clonebox, Ran, run};
use crate::support::files;
use crate::support::pty::{Change, Terminal};
use crate::support::tests;

/// Where it is.
fn debian() -> PathBuf {
    PathBuf::from(env::var_os("CLONEBOX_TEST_DEBIAN").expect("the need has been probed"))
}

/// Runs a script of its shell in a box whose changes are lost.
fn overlay(options: &[&str], script: &str) -> Ran {
    Clonebox::new()
        .args(["--rootfs-overlay".as_ref(), debian().as_os_str()])
        .args(options)
        .args(["--", "/bin/bash", "-euc", script])
        .run()
}

/// The time at which something in it was last changed or made.
fn changed(path: &str) -> std::time::SystemTime {
    let path = debian().join(path);
    fs::metadata(path)
        .and_then(|found| found.modified())
        .expect("Debian has it")
}

tests! {
    fn a_shell_in_a_throw_away_overlay_forgets_everything() needs [Root, Debian] {
        let before = ["etc", "usr/bin", "var/lib/dpkg/status"].map(changed);
        let script = "dpkg --audit; touch /etc/new; dpkg --purge --force-all hostname >/dev/null 2>&1; \
            ! command -v hostname; ls /etc/new";
        overlay(&["--name", "throwaway"], script).succeeds().prints("/etc/new\n");
        overlay(&["--name", "throwaway"], "hostname; ! ls /etc/new 2>/dev/null").succeeds().prints("throwaway\n");
        assert_eq!(before, ["etc", "usr/bin", "var/lib/dpkg/status"].map(changed));
    }

    fn what_an_upper_directory_keeps_is_there_the_next_time() needs [Root, Debian] {
        let upper = files::directory();
        let options = ["--upper", upper.path().to_str().expect("UTF-8")];
        overlay(&options, "useradd --create-home ada; echo kept >/home/ada/note").succeeds();
        overlay(&options, "id -un ada; cat /home/ada/note").succeeds().prints("ada\nkept\n");
        let script = "whoami; echo $HOME; cd; ls note";
        overlay(&[&options[..], &["-u", "ada"]].concat(), script).succeeds().prints("ada\n/home/ada\nnote\n");
        assert!(!debian().join("home/ada").exists());
    }

    fn a_read_only_root_has_its_one_writable_volume() needs [Root, Debian] {
        let data = files::directory();
        let volume = format!("{}:/srv/data", data.path().display());
        let debian = debian();
        let had = debian.join("srv/data").exists();
        let script = "! touch /etc/new 2>/dev/null; ! touch /root/new 2>/dev/null; echo yes >/srv/data/written; touch /dev/shm/x";
        let words = ["--read-only", "-v", &volume, "--", "/bin/sh", "-euc", script];
        run(["--rootfs", debian.to_str().expect("UTF-8")].iter().chain(&words)).succeeds();
        assert_eq!(fs::read_to_string(data.path().join("written")).expect("the box wrote it"), "yes\n");
        if !had {
            fs::remove_dir(debian.join("srv/data")).expect("a mount point that the launch has made");
        }
    }

    fn users_are_those_of_the_root_filesystem() needs [Root, Debian] {
        overlay(&["-u", "www-data"], "id -un; id -gn; echo $HOME; cat /proc/self/status | grep CapEff")
            .succeeds()
            .prints("www-data\nwww-data\n/var/www\nCapEff:\t0000000000000000\n");
        overlay(&["-u", "games:mail"], "id -un; id -gn; id -Gn").succeeds().prints("games\nmail\nmail\n");
        overlay(&["-u", "nobody.here"], "true").exits_with(125).complains("nobody.here");
    }

    fn root_inside_may_become_another_user() needs [Root, Debian] {
        overlay(&[], "su -s /bin/sh -c 'id -un' mail; setpriv --reuid=games --clear-groups id -un")
            .succeeds()
            .prints("mail\ngames\n");
    }

    fn a_terminal_is_one_of_its_own() needs [Root, Debian, Ptmx] {
        let mut terminal = Terminal::new();
        let script = "tty; test -e /dev/console; read line; echo got $line; exit 3";
        let words = ["--rootfs-overlay".into(), debian().into_os_string()];
        terminal.run(Clonebox::new().args(words).args(["--", "/bin/bash", "-c", script]));
        terminal.expect("/dev/pts/0");
        terminal.send("typed\n");
        terminal.expect("got typed");
        assert_eq!(terminal.end(), Change::Exited(3));
    }

    fn the_limits_of_the_box_are_seen_inside() needs [Root, Debian, Limits] {
        let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let file = if unified { "memory.max" } else { "memory/memory.limit_in_bytes" };
        overlay(&["-m", "128m"], &format!("cat /sys/fs/cgroup/{file}")).succeeds().prints("134217728\n");
    }
}
