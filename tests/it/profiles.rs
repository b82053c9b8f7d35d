//! Profiles: what each says holds, and does not where the line is taken back.

use std::fs;
use std::io::Write as _;

use tempfile::NamedTempFile;

use crate::security::Outside;
use crate::support::clonebox::{Clonebox, Ran};
use crate::support::files::Public;
use crate::support::segment::Segment;
use crate::support::user::Place;
use crate::support::{files, tests};

const UNTRUSTED: &[&str] = &["--profile", "untrusted"];
/// Whoever may make no cgroup goes without.
pub(crate) const LIMITS: [&str; 2] = ["memory", "pids-limit"];

/// A file that takes lines back.
fn without(keys: &[&str]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file of ours");
    for key in keys {
        writeln!(file, "{key} = false").expect("a file of ours");
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(file.path(), mode).expect("a file of ours");
    file
}

/// A probe in a box for untrusted programs, but for these lines.
pub(crate) fn untrusted(keys: &[&str], options: &[&str], words: &[&str]) -> Ran {
    let (file, program) = (without(keys), Public::new());
    let volume = format!("{}:/it:ro", program.path());
    let file = file.path().to_str().expect("UTF-8");
    Clonebox::new()
        .env("CLONEBOX_TEST_SECRET", "secret")
        .args(UNTRUSTED)
        .args(["--config", file, "-v", &volume])
        .args(options)
        .args(["--", "/it", "__probe"])
        .args(words)
        .run()
}

/// The same with nothing taken back but limits.
fn closed(words: &[&str]) -> Ran {
    untrusted(&LIMITS, &[], words)
}

/// What a survey finds about one thing, where these lines are taken back.
fn found(outside: &Outside, user: bool, keys: &[&str], options: &[&str], what: &str) -> String {
    let file = without(&[&LIMITS, keys].concat());
    let file = ["--config", file.path().to_str().expect("UTF-8")];
    let survey = outside.survey(
        &Place::new(),
        user,
        true,
        &[UNTRUSTED, &file, options].concat(),
    );
    let line = survey.into_iter().find(|(found, _)| found == what);
    line.unwrap_or_else(|| panic!("nothing about {what}")).1
}

/// What is shut, and open where these lines are taken back.
#[track_caller]
fn shuts(keys: &[&str], what: &str, open: &str) {
    let outside = Outside::new();
    let shut = found(&outside, false, &[], &[], what);
    assert!(["no", "0"].contains(&shut.as_str()), "{what}: {shut}");
    assert_eq!(found(&outside, false, keys, &[], what), open, "{what}");
}

/// Whether the profile has this line.
fn says(line: &str) -> bool {
    let config = Clonebox::new().args(["config"]).args(UNTRUSTED).run();
    let config = config.succeeds().stdout();
    config.lines().any(|one| one == line)
}

tests! {
    fn untrusted_has_no_network() needs [Root, Pids, Userns, Idmap, Keys, Execveat] {
        shuts(&["net"], "connects to the host's loopback", "yes");
    }

    fn untrusted_shares_no_memory() needs [Root, Pids, Userns, Idmap, Keys, Execveat] {
        shuts(&["ipc", "ll-exec", "ll-rw"], "finds the host's System V memory", "yes");
    }

    fn untrusted_has_no_capabilities() needs [Root, Pids, Userns, Idmap, Keys, Execveat] {
        shuts(&["cap-drop"], "has capabilities", "11");
    }

    fn untrusted_makes_no_user_namespaces() needs [Root, Pids, Userns, Idmap, Keys, Execveat] {
        // The filter refuses them too.
        let (outside, what) = (Outside::new(), "makes user namespaces");
        let without = |keys: &[&str], options: &[&str]| found(&outside, false, keys, options, what);
        assert_eq!(without(&[], &["--seccomp", "off"]), "no");
        assert_eq!(without(&["disable-userns"], &[]), "no");
        assert_eq!(without(&["disable-userns"], &["--seccomp", "off"]), "yes");
    }

    fn untrusted_has_a_root_that_is_read_only() needs [Root, Pids, Userns, Idmap, Keys, Execveat] {
        shuts(&["read-only", "ll-exec", "ll-rw"], "writes to its own root directory", "yes");
    }

    fn untrusted_is_nobody_outside() needs [Root, Pids, Userns, Idmap, Keys, Execveat] {
        let (outside, what) = (Outside::new(), "has, as root, the user id outside");
        assert_ne!(found(&outside, false, &[], &[], what), "0");
        assert_eq!(found(&outside, false, &["userns", "disable-userns"], &[], what), "0");
    }

    fn untrusted_has_a_filter_of_system_calls() needs [Root, Pids, Userns, Idmap, Keys, Execveat] {
        let (outside, what) = (Outside::new(), "has a seccomp filter");
        assert_eq!(found(&outside, false, &[], &[], what), "yes");
        assert_eq!(found(&outside, false, &[], &["--seccomp", "off"], what), "no");
    }

    // A root filesystem would have one anyway; a file may take it back.
    fn untrusted_has_a_cgroup_namespace_whatever_its_root() needs [Root, Userns] {
        let program = Public::new();
        let namespace = |keys: &[&str]| {
            let root = ["rootfs", "read-only", "tmpfs", "ll-exec", "ll-rw", "workdir"];
            let file = without(&[&LIMITS, &root[..], keys].concat());
            let file = file.path().to_str().expect("UTF-8");
            let words = ["--", program.path(), "__probe", "links", "/proc/self/ns/cgroup"];
            Clonebox::new().args(UNTRUSTED).args(["--config", file]).args(words).run().succeeds().stdout()
        };
        let own = fs::read_link("/proc/self/ns/cgroup").expect("/proc");
        let own = own.to_str().expect("UTF-8");
        assert!(!namespace(&[]).contains(own));
        assert!(namespace(&["cgroupns"]).contains(own));
    }

    // What a box of this kind has anyway, and what is never to be missing because something else changes.
    fn untrusted_says_what_it_does_not_leave_to_the_defaults() needs [] {
        for line in ["cgroupns = \"private\"", "keyring = \"private\"", "seccomp = \"default\"", "net = \"none\""] {
            assert!(says(line), "{line}");
        }
    }

    fn untrusted_is_as_closed_where_an_ordinary_user_starts_it() needs [Root, Pids, Userns, Keys, Execveat] {
        let (outside, place) = (Outside::new(), Place::new());
        let file = without(&LIMITS);
        let options = ["--config", file.path().to_str().expect("UTF-8")];
        let survey = outside.survey(&place, true, true, &[UNTRUSTED, &options].concat());
        for (what, found) in survey {
            match what.as_str() {
                "has a seccomp filter" => assert_eq!(found, "yes"),
                "has, as root, the user id outside" => assert_ne!(found, "0"),
                "has descriptors" => assert_eq!(found, "3"),
                _ => assert!(["no", "0"].contains(&found.as_str()), "{what}: {found}"),
            }
        }
    }

    fn untrusted_has_a_home_in_memory() needs [Userns, Execveat] {
        let before = fs::read_dir("/home").map_or(0, Iterator::count);
        let box_has = |words: &[&str]| untrusted(&LIMITS, &[], words).succeeds();
        box_has(&["list", "/home"]).prints("");
        box_has(&["cwd"]).prints("/home\n");
        box_has(&["write", "/home/file", "644"]);
        assert_eq!(fs::read_dir("/home").map_or(0, Iterator::count), before);
        // Without the line there is no such place.
        untrusted(&[&LIMITS[..], &["tmpfs"]].concat(), &[], &["cwd"]).exits_with(125);
    }

    fn untrusted_sees_the_programs_of_the_host_and_nothing_else() needs [Userns, Execveat] {
        let directory = files::directory();
        let file = files::write(directory.path(), "file", "644", "words");
        let file = file.to_str().expect("UTF-8");
        for hidden in [file, "/etc/shadow", "/etc/hostname", "/root", "/var", "/srv", "/run"] {
            let ran = closed(&["open", hidden]).succeeds();
            assert_eq!(ran.stdout(), "ENOENT\n", "{hidden}");
        }
        let there = |path: &str| fs::symlink_metadata(path).is_ok();
        for shown in ["/usr", "/etc/passwd"].into_iter().filter(|path| there(path)) {
            closed(&["open", shown]).succeeds().prints("fine\n");
            let written = closed(&["open-to-write", &format!("{shown}/x")]).succeeds().stdout();
            assert_ne!(written, "fine\n", "{shown}");
        }
        let volume = format!("{}:{}:ro", directory.path().display(), directory.path().display());
        untrusted(&LIMITS, &["-v", &volume], &["open", file]).succeeds().prints("fine\n");
    }

    fn untrusted_writes_nowhere_but_to_memory_by_landlock_too() needs [Userns, Execveat, Landlock] {
        let directory = files::directory();
        let volume = format!("{}:/out", directory.path().display());
        // A volume that can be written to: then it is Landlock that stands there.
        let userns = [&LIMITS[..], &["userns", "disable-userns"]].concat();
        let write = ["try", "/out/file"];
        let written = untrusted(&userns, &["-v", &volume], &write).stdout();
        assert!(written.contains("EACCES"), "{written}");
        assert_eq!(fs::read_dir(directory.path()).expect("ours").count(), 0);
        let options = ["-v", &volume, "--ll-rw", "/out"];
        untrusted(&userns, &options, &write).succeeds();
        assert_eq!(fs::read_dir(directory.path()).expect("ours").count(), 1);
    }

    fn untrusted_has_nothing_of_the_callers_environment() needs [Userns, Execveat] {
        let secret = "CLONEBOX_TEST_SECRET=secret";
        let environment = closed(&["env"]).succeeds().stdout();
        assert!(!environment.contains(secret) && environment.contains("HOME=/home"), "{environment}");
        let open = untrusted(&[&LIMITS[..], &["env-clear"]].concat(), &[], &["env"]).succeeds().stdout();
        assert!(open.contains(secret), "{open}");
    }

    fn untrusted_has_limits_and_says_so_where_there_can_be_none() needs [Root, Userns, Idmap, Execveat, Limits] {
        let forks = |keys: &[&str], options: &[&str]| -> u32 {
            let said = untrusted(keys, options, &["forks"]).succeeds().stdout();
            said.trim_end().parse().expect("a number")
        };
        assert!(forks(&[], &[]) < 128, "the profile's own");
        assert!(forks(&[], &["--pids-limit", "12"]) < 12, "a later word wins");
        assert!(forks(&["pids-limit"], &[]) >= 128, "without the line");
        let limited = |keys: &[&str]| {
            let files = ["memory.max", "memory/memory.limit_in_bytes"];
            let read = |file: &&str| {
                let ran = untrusted(keys, &[], &["cat", &format!("/sys/fs/cgroup/{file}")]);
                ran.stdout() == "536870912\n"
            };
            files.iter().any(read)
        };
        assert!(limited(&[]) && !limited(&["memory"]), "by the kernel's own word");
        untrusted(&[], &["-m", "64m"], &["eat", "200"]).exits_with(137).complains("out of memory (limit 64 MiB");
    }

    fn untrusted_ends_in_time() needs [Userns, Execveat] {
        assert!(says("timeout = \"10m\""));
        untrusted(&LIMITS, &["--timeout", "200ms"], &["stay"]).exits_with(124);
    }

    fn untrusted_leaves_no_core_file() needs [Userns, Execveat] {
        assert!(says("ulimit = \"core=0\""));
        let limits = closed(&["cat", "/proc/self/limits"]).succeeds().stdout();
        let core = limits.lines().find(|line| line.starts_with("Max core file size"));
        assert_eq!(core.and_then(|line| line.split_whitespace().nth(4)), Some("0"), "{limits}");
    }

    fn build_has_the_working_directory_and_no_network() needs [Box, Execveat] {
        let (directory, program) = (files::directory(), Public::new());
        files::write(directory.path(), "source", "644", "words");
        let volume = format!("{}:/it:ro", program.path());
        let build = |words: &[&str]| {
            let options = ["--profile", "build", "-v", &volume, "--", "/it", "__probe"];
            Clonebox::new().args(options).args(words).current_dir(directory.path()).run().succeeds()
        };
        build(&["cwd"]).prints("/work\n");
        build(&["list", "/work"]).prints("source\n");
        build(&["write", "/work/result", "644"]);
        assert!(directory.path().join("result").is_file(), "it was built");
        build(&["list", "/home"]).prints("");
        build(&["open", directory.path().to_str().expect("UTF-8")]).prints("ENOENT\n");
    }

    fn shell_shares_no_memory_segments_and_has_an_init() needs [Box] {
        let (segment, program) = (Segment::new(), Public::new());
        let ask = |options: &[&str], words: &[&str]| {
            let program = ["--", program.path(), "__probe"];
            Clonebox::new().args(options).args(program).args(words).run().succeeds().stdout()
        };
        let key = segment.key().to_string();
        assert_eq!(ask(&["--profile", "shell"], &["segment", &key]), "ENOENT\n");
        assert_eq!(ask(&["--ipc", "host"], &["segment", &key]), "fine\n");
        assert_ne!(ask(&["--profile", "shell"], &["pid"]), "1\n");
        assert_eq!(ask(&["--profile", "shell", "--init=false"], &["pid"]), "1\n");
    }

    fn a_profile_that_does_not_exist_is_an_error() needs [] {
        Clonebox::new().args(["--profile", "untrustd", "--", "true"]).run().exits_with(125)
            .complains("--profile untrustd: there is no profile untrustd; did you mean untrusted?");
        Clonebox::new().args(["--profile", "x", "--", "true"]).run().exits_with(125)
            .complains("--profile x: there is no profile x; there are shell, build, untrusted");
    }
}
