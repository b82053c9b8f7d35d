//! User namespaces: which ids they have, who writes them down, and what belongs to whom.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::thread;

use clonebox::{Command, User, UserNamespace};
use nix::unistd::{getegid, geteuid};
use tempfile::TempDir;

use crate::support::clonebox::{Clonebox, Ran, run};
use crate::support::files::{self, Public};
use crate::support::rootfs::{self, Root};
use crate::support::status::Status;
use crate::support::{binary, run_probe, tests};

/// The ids of root's boxes where /etc/subuid names none.
const FIXED: u32 = 1_879_048_192;

/// The words of a file in a box with these options.
#[track_caller]
fn words(options: &[&str], file: &str) -> Vec<String> {
    let public = Public::new();
    let program = ["--", public.path(), "__probe", "cat", file];
    let text = run(options.iter().chain(&program)).succeeds().stdout();
    text.split_whitespace().map(str::to_owned).collect()
}

/// What one line of a map says.
fn line(container: u32, host: u32, size: u32) -> Vec<String> {
    [container, host, size].map(|id| id.to_string()).to_vec()
}

#[track_caller]
fn ids(options: &[&str]) -> (String, String, Vec<String>) {
    let public = Public::new();
    let program = ["--", public.path(), "__probe", "cat", "/proc/self/status"];
    let status = Status::printed(run(options.iter().chain(&program)).succeeds().stdout());
    let groups = status.words("Groups").into_iter().map(str::to_owned);
    (
        status.words("Uid")[0].to_owned(),
        status.words("Gid")[0].to_owned(),
        groups.collect(),
    )
}

/// A directory that only its owner, the caller, may look into, with a file in it.
fn private() -> TempDir {
    let directory = TempDir::new().expect("a directory for temporary files");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).expect("it is ours");
    fs::write(directory.path().join("file"), "data").expect("a directory of ours");
    directory
}

fn text(directory: &TempDir) -> &str {
    directory.path().to_str().expect("UTF-8")
}

/// One line, and nothing is made.
#[track_caller]
fn refused(options: &[&str], complaint: &str) {
    let ran = run(options.iter().chain(&["--", "/bin/true"])).exits_with(125);
    assert_eq!(ran.stderr(), format!("clonebox: {complaint}\n"));
}

/// A box of an ordinary user whom /etc/subuid gives ids, with helpers of the test's own, which look as if they
/// were set-user-id. In mounts of its own the files are the test's.
fn with_helpers(script: &str, options: &[&str]) -> Ran {
    with_helpers_of(&files::directory(), 0o4755, "rw", script, options)
}

/// The same with helpers of another mode in this directory, which is a mount with these options as well.
fn with_helpers_of(
    directory: &TempDir,
    mode: u32,
    flags: &str,
    script: &str,
    options: &[&str],
) -> Ran {
    for name in ["newuidmap", "newgidmap"] {
        let path = files::executable(directory.path(), name, script);
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    }
    let list = directory.path().join("subids");
    fs::write(&list, "12345:100000:65536\n").expect("a directory of ours");
    let public = Public::new();
    let mut command = std::process::Command::new("unshare");
    let shell = "mount --bind $0/subids /etc/subuid && mount --bind $0/subids /etc/subgid && \
                 mount --bind $0 $0 && mount -o remount,bind,$FLAGS $0 && \
                 exec setpriv --reuid=12345 --regid=12345 --clear-groups --inh-caps=-all env PATH=$0 \"$@\"";
    command
        .env("FLAGS", flags)
        .args(["--mount", "sh", "-c", shell, text(directory)])
        .arg(binary());
    Clonebox::of(command)
        .args(options)
        .args(["--", public.path(), "__probe", "pid"])
        .run()
}

/// The user ids that a box of root has where both files say this. It is in a box with all capabilities, whose
/// root filesystem has those files.
#[track_caller]
fn of_root_with(file: &str) -> Vec<String> {
    let root = Root::new();
    fs::create_dir(root.path().join("etc")).expect("a directory of ours");
    for name in ["etc/subuid", "etc/subgid"] {
        fs::write(root.path().join(name), file).expect("a directory of ours");
    }
    let clonebox = format!("{}:/clonebox:ro", binary().display());
    let ran = Clonebox::new()
        .args(["--rootfs", root.text(), "--cap-add=ALL"])
        .args(["-v", &clonebox, "-v", &root.program()])
        .args(["--", "/clonebox", "--pid=host", "--userns=auto"])
        .args(["--", "/it", "__probe", "cat", "/proc/self/uid_map"])
        .run()
        .succeeds();
    ran.stdout().split_whitespace().map(str::to_owned).collect()
}

tests! {
    fn root_inside_is_not_root_outside() needs [Root, Userns] {
        for file in ["/proc/self/uid_map", "/proc/self/gid_map"] {
            let map = words(&["--userns", "auto"], file);
            assert_eq!(map.len() % 3, 0, "{map:?}");
            for range in map.chunks(3) {
                assert_ne!(range[1], "0", "{file}: {map:?}");
            }
            let listed = fs::read_to_string("/etc/subuid").unwrap_or_default();
            if !["clonebox:", "root:", "containers:"].iter().any(|user| listed.contains(user)) {
                assert_eq!(map, line(0, FIXED, 65_536), "{file}");
            }
        }
        assert_eq!(ids(&["--userns", "auto"]), ("0".into(), "0".into(), vec![]));
    }

    fn root_of_a_box_cannot_read_what_is_roots() needs [Root, Userns] {
        let directory = private();
        let file = format!("{}/file", text(&directory));
        let public = Public::new();
        let cat = ["--", public.path(), "__probe", "cat", &file];
        run(["--userns", "auto"].iter().chain(&cat)).exits_with(101).complains("Permission denied");
        run(["--userns", "host"].iter().chain(&cat)).succeeds().prints("data");
    }

    fn a_program_changes_to_another_user_of_the_box() needs [Root, Userns] {
        assert_eq!(ids(&["--userns", "auto", "-u", "1234:567"]), ("1234".into(), "567".into(), vec![]));
        assert_eq!(ids(&["--uidmap", "7:70000:1", "-u", "7:7"]), ("7".into(), "7".into(), vec![]));
    }

    fn the_ids_of_root_are_those_that_are_asked_for() needs [Root, Userns] {
        let options = ["--uidmap", "0:70000:10", "--uidmap", "20:80000:5", "--gidmap", "0:90000:1"];
        assert_eq!(words(&options, "/proc/self/uid_map"), [line(0, 70_000, 10), line(20, 80_000, 5)].concat());
        assert_eq!(words(&options, "/proc/self/gid_map"), line(0, 90_000, 1));
        // What is said of one kind goes for both.
        assert_eq!(words(&["--gidmap", "0:70000:10"], "/proc/self/uid_map"), line(0, 70_000, 10));
        assert_eq!(words(&["--uidmap", "0:70000:10"], "/proc/self/gid_map"), line(0, 70_000, 10));
    }

    fn the_ids_of_root_stay_as_they_are() needs [Root, Userns] {
        let host = fs::read_to_string("/proc/self/uid_map").expect("a map");
        let host: Vec<&str> = host.split_whitespace().collect();
        assert_eq!(words(&["--userns", "keep-id"], "/proc/self/uid_map"), host);
        refused(&["--userns", "nomap"], "--userns nomap: root is never mapped: --userns auto does that");
    }

    fn maps_work_with_everything_else() needs [Root, Userns, TimeNamespace] {
        let public = Public::new();
        let program = ["--", public.path(), "__probe", "cat", "/proc/self/oom_score_adj"];
        let options = [
            "--userns", "auto", "--net", "none", "--ipc", "private", "--cgroupns", "private", "--init",
            "--time-offset", "5", "--oom-score-adj", "300", "--nice", "19", "--start-timeout", "20s",
        ];
        run(options.iter().chain(&program)).succeeds().prints("300\n");
        run(["--userns=auto", "--oom-score-adj=200"].iter().chain(&program)).succeeds().prints("200\n");
        run(["--userns=auto", "--survive"].iter().chain(&program)).succeeds().prints("0\n");
    }

    fn a_terminal_works_whatever_the_ids() needs [Root, Userns, Ptmx] {
        run_probe(&["--userns", "auto", "--tty", "new"], &["pid"]).succeeds().prints("1\r\n");
    }

    fn a_root_filesystem_belongs_to_root_of_the_box() needs [Idmap] {
        let root = Root::new();
        fs::write(root.path().join("own"), "").expect("a directory of ours");
        fs::write(root.path().join("others"), "").expect("a directory of ours");
        chown(root.path().join("others"), Some(5), Some(6)).expect("root may");
        let options = ["--userns", "auto"];
        let seen = "/own file 644 0:0 0\n/others file 644 0:0 5\n";
        root.run(&options, &["stat", "/own", "/others"]).succeeds().prints(seen);
        root.run(&options, &["write", "/new", "600"]).succeeds();
        let made = root.path().join("new").metadata().expect("it was made");
        assert_eq!((made.uid(), made.gid()), (0, 0), "outside it is as if no map were there");
        root.run(&["--userns", "auto", "-u", "33:44"], &["try", "/x"]).succeeds().prints("EACCES\n");
    }

    fn an_overlay_belongs_to_root_of_the_box_and_stays_as_it_is() needs [Idmap] {
        let (root, upper) = (Root::new(), files::directory());
        fs::write(root.path().join("own"), "old").expect("a directory of ours");
        root.run_over(&["--userns", "auto"], &["stat", "/own"]).succeeds().prints("/own file 644 0:0 0\n");
        root.run_over(&["--userns", "auto"], &["write", "/own", "600"]).succeeds();
        assert_eq!(fs::read(root.path().join("own")).expect("a file of ours"), b"old");
        let keep = ["--upper", text(&upper), "--userns", "auto"];
        root.run_over(&keep, &["write", "/kept", "600"]).succeeds();
        root.run_over(&keep, &["stat", "/kept"]).succeeds().prints("/kept file 600 0:0 0\n");
        let kept = upper.path().join("upper/kept").metadata().expect("it was kept");
        assert_eq!((kept.uid(), kept.gid()), (0, 0));
    }

    // The layers lie on the old root, and it below them: both must go.
    fn nothing_of_the_host_is_left_below_a_mapped_root() needs [Idmap] {
        let root = Root::new();
        fs::write(root.path().join("mark"), "").expect("a directory of ours");
        for over in ["--rootfs", "--rootfs-overlay"] {
            let program = root.program();
            let options = [over, root.text(), "-v", &program, "--userns", "auto", "--", "/it", "__probe"];
            let table = run(options.iter().chain(&["cat", "/proc/self/mountinfo"])).succeeds().stdout();
            let roots = table.lines().filter(|line| line.split(' ').nth(4) == Some("/"));
            assert_eq!(roots.count(), 1, "{over}: {table}");
            let up = run(options.iter().chain(&["list", "/../.."])).succeeds().stdout();
            assert!(up.lines().any(|name| name == "mark"), "{over}: {up}");
        }
    }

    fn a_root_filesystem_that_belongs_to_the_box_is_not_mapped() needs [Root, Userns] {
        let root = Root::new();
        chown(root.path(), Some(70_000), Some(70_000)).expect("root may");
        root.run(&["--uidmap", "0:70000:10"], &["write", "/new", "600"]).succeeds();
        assert_eq!(root.path().join("new").metadata().expect("it was made").uid(), 70_000);
    }

    fn a_root_filesystem_may_be_where_only_the_caller_may_look() needs [Idmap] {
        let (root, private) = (Root::new(), private());
        let inner = private.path().join("root");
        fs::create_dir(&inner).expect("a directory of ours");
        let (inner, volume) = (inner.to_str().expect("UTF-8"), format!("{}/file:/data:ro", text(&private)));
        // Root in the box has no privilege over the files of another.
        chown(private.path(), Some(4321), Some(4321)).expect("root may");
        let program = root.program();
        let options = ["--rootfs", inner, "-v", &program, "-v", &volume, "--userns", "auto"];
        run(options.iter().chain(&["--", "/it", "__probe", "cat", "/data"])).succeeds().prints("data");
    }

    fn the_files_of_a_mapped_volume_have_the_ids_of_the_disk() needs [Idmap] {
        let (root, volume) = (Root::new(), private());
        chown(volume.path().join("file"), Some(7), Some(8)).expect("root may");
        let plain = format!("{}:/plain", text(&volume));
        let mapped = format!("{}:/mapped:idmap", text(&volume));
        let frozen = format!("type=bind,src={},dst=/frozen,idmap,ro", text(&volume));
        let options = ["--userns", "auto", "-v", &plain, "-v", &mapped, "--mount", &frozen];
        let seen = "/plain/file file 644 0:0 65534\n";
        let stat = root.run(&options, &["stat", "/mapped/file", "/frozen/file"]).succeeds();
        stat.prints("/mapped/file file 644 0:0 7\n/frozen/file file 644 0:0 7\n");
        // Without a map root of the box may not even look.
        root.run(&options, &["stat", "/plain/file"]).prints("/plain/file EACCES\n");
        fs::set_permissions(volume.path(), Permissions::from_mode(0o755)).expect("it is ours");
        root.run(&options, &["stat", "/plain/file"]).succeeds().prints(seen);
        let tries = ["try", "/plain/a", "/mapped/b", "/frozen/c"];
        root.run(&options, &tries).succeeds().prints("EACCES\nmade\nEROFS\n");
        assert_eq!(volume.path().join("b").metadata().expect("it was made").uid(), 0);
    }

    fn devices_of_a_mapped_volume_cannot_be_opened() needs [Idmap] {
        let (root, volume) = (Root::new(), private());
        let node = volume.path().join("null");
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o666);
        let device = nix::sys::stat::makedev(1, 3);
        nix::sys::stat::mknod(&node, nix::sys::stat::SFlag::S_IFCHR, mode, device).expect("root may");
        let mapped = format!("{}:/mapped:idmap", text(&volume));
        root.run(&["--userns", "auto", "-v", &mapped], &["cat", "/mapped/null"])
            .exits_with(101).complains("Permission denied");
    }

    fn what_cannot_be_mapped_is_an_error_that_names_the_filesystem() needs [Idmap] {
        run(["--userns=auto", "-v", "/proc:/tmp:idmap", "--", "/bin/true"])
            .exits_with(125)
            .complains("clonebox: cannot map the ids of /proc: Invalid argument (EINVAL)\n")
            .complains("asked by     --volume /proc:/tmp:idmap\n")
            .complains("hint         this kernel maps no ids of the filesystem proc: ");
    }

    fn a_volume_is_mapped_to_ids_of_the_boxs_own_or_not_at_all() needs [Root] {
        refused(
            &["-v", "/tmp:/tmp:idmap"],
            "--volume /tmp:/tmp:idmap: the box has no ids of its own to be mapped: --userns auto gives it some",
        );
    }

    fn an_ordinary_user_maps_no_volumes() needs [NotRoot, Userns] {
        let ran = run(["-v", "/tmp:/tmp:idmap", "--", "/bin/true"]).exits_with(125);
        assert!(ran.stderr().contains("--volume /tmp:/tmp:idmap: "), "{}", ran.stderr());
    }

    fn ranges_that_make_no_sense_are_refused() needs [] {
        refused(&["--uidmap", "0:5:0"], "--uidmap 0:5:0: a range has one id at least");
        refused(
            &["--gidmap", "0:4294967290:10"],
            "--gidmap 0:4294967290:10: the range goes beyond 4294967294, the last id that there is",
        );
        refused(
            &["--uidmap", "0:5:2", "--uidmap", "1:9:1"],
            "--uidmap 1:9:1: the range overlaps that of --uidmap 0:5:2",
        );
        refused(
            &["--uidmap", "0:5:2", "--uidmap", "9:6:1"],
            "--uidmap 9:6:1: the range overlaps that of --uidmap 0:5:2",
        );
        refused(
            &["--userns", "host", "--uidmap", "0:5:1"],
            "--uidmap 0:5:1: which ids there are is said by --userns host already",
        );
        refused(
            &["--uidmap", "0:5"],
            "--uidmap 0:5: expected CONTAINER:HOST:SIZE: numbers from 0 to 4294967295, as in 0:100000:65536",
        );
        let many: Vec<String> = (0..341).map(|id| format!("--uidmap={id}:{id}:1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        refused(&many, "--uidmap 340:340:1: these are 341 ranges; the kernel takes at most 340");
        let long: Vec<String> = (0..300).map(|id| format!("--uidmap={id}:{}:1", 1_000_000_000 + 2 * id)).collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        let reason = "--uidmap 299:1000000598:1: the ranges are 4990 bytes long; the kernel takes at most 4095";
        refused(&long, reason);
    }

    fn as_many_ranges_as_the_kernel_takes_are_fine() needs [Root, Userns] {
        let many: Vec<String> = (0..340).map(|id| format!("--uidmap={id}:{}:1", 70_000 + 2 * id)).collect();
        let options: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(words(&options, "/proc/self/uid_map").len(), 340 * 3);
    }

    fn a_user_who_is_not_of_the_box_is_refused() needs [Root, Userns] {
        refused(
            &["--uidmap", "0:70000:10", "-u", "10:0"],
            "--user 10:0: there is no user 10 in the box: its user ids are 0-9",
        );
        refused(
            &["--uidmap", "0:70000:10", "-u", "9:99"],
            "--user 9:99: there is no group 99 in the box: its group ids are 0-9",
        );
        refused(
            &["--uidmap", "5:70000:10"],
            "--uidmap 5:70000:10: neither root nor the caller is mapped: --user says who the program runs as",
        );
    }

    fn root_of_an_ordinary_user_is_the_user_and_the_others_are_subordinate() needs [Subids] {
        let map = words(&["--userns", "auto"], "/proc/self/uid_map");
        assert_eq!(map[..3], line(0, geteuid().as_raw(), 1));
        assert!(map.len() > 3 && map[3] == "1", "{map:?}");
        assert_eq!(words(&["--userns", "auto"], "/proc/self/setgroups"), ["allow"]);
        assert_eq!(ids(&["--userns", "auto"]), ("0".into(), "0".into(), vec![]));
        assert_eq!(ids(&["--userns", "auto", "-u", "33:44"]), ("33".into(), "44".into(), vec![]));
    }

    fn keep_id_keeps_the_ids_of_an_ordinary_user() needs [Subids] {
        let (uid, gid) = (geteuid().to_string(), getegid().to_string());
        assert_eq!(ids(&["--userns", "keep-id"]), (uid.clone(), gid, vec![]));
        let map = words(&["--userns", "keep-id"], "/proc/self/uid_map");
        assert!(map.chunks(3).any(|range| range == [uid.as_str(), &uid, "1"]), "{map:?}");
        let status = Status::in_a_box(&["--userns", "keep-id"]);
        assert_eq!((status.set("CapPrm"), status.set("CapEff")), (0, 0));
        assert_eq!(ids(&["--userns", "keep-id", "-u", "0"]).0, "0");
    }

    fn nomap_has_no_id_of_the_callers() needs [Subids] {
        let map = words(&["--userns", "nomap"], "/proc/self/uid_map");
        assert!(map.chunks(3).all(|range| range[1] != geteuid().to_string()), "{map:?}");
        assert_eq!(ids(&["--userns", "nomap"]), ("0".into(), "0".into(), vec![]));
    }

    fn a_root_filesystem_has_users_of_its_own() needs [Subids] {
        let root = Root::new();
        let options = ["--userns", "auto", "--oom-score-adj", "500", "--tmpfs", "/t:mode=777"];
        root.run_over(&options, &["stat", "/dev", "/t"]).succeeds()
            .prints("/dev directory 755 0:0 0\n/t directory 777 0:0 0\n");
        root.run(&["--userns", "auto", "-u", "33:44", "--tmpfs", "/t:mode=777"], &["try", "/t/x", "/x"])
            .succeeds().prints("made\nEACCES\n");
        assert!(!rootfs::contents(root.path()).iter().any(|entry| entry.starts_with("x ")));
    }

    // A child that changes its ids makes the memory of all of them undumpable, and the files of /proc root's.
    fn boxes_that_change_ids_and_boxes_that_map_them_start_at_once_on_many_threads() needs [Subids] {
        let public = Public::new();
        thread::scope(|scope| {
            for changes in [true, false, true, false] {
                let program = public.path();
                scope.spawn(move || {
                    for _ in 0..40 {
                        let mut command = Command::new(program);
                        command.args(["__probe", "exit", "0"]);
                        if changes {
                            command.userns(UserNamespace::Auto).user(User { uid: 33, gid: 33 });
                        }
                        let status = command.status().unwrap_or_else(|error| panic!("{error}"));
                        assert!(status.success());
                    }
                });
            }
        });
    }

    fn ranges_of_others_are_refused_with_what_there_is() needs [Subids] {
        let ran = run(["--uidmap=0:5:10", "--", "/bin/true"]).exits_with(125);
        assert!(ran.stderr().contains("--uidmap 0:5:10: the user "), "{}", ran.stderr());
        assert!(ran.stderr().contains(" may not map the ids 5-14: /etc/subuid gives "), "{}", ran.stderr());
    }

    fn a_helper_that_is_missing_or_useless_is_named() needs [Subids] {
        let map = words(&["--userns", "nomap"], "/proc/self/uid_map");
        let option = format!("--uidmap=0:{}:10", map[1]);
        let typed = option.replace('=', " ");
        let first: u32 = map[1].parse().expect("an id");
        let ids = format!("{first}-{}", first + 9);
        let begin = format!("clonebox: {typed}: the ids {ids} are mapped by newuidmap and newgidmap: ");
        let ran = Clonebox::new().env("PATH", "/nonexistent").args([&option, "--", "/bin/true"]).run();
        ran.exits_with(125).complains(&format!("{begin}there is no newuidmap in PATH"));
        let directory = files::directory();
        let fake = files::executable(directory.path(), "newuidmap", "#!/bin/sh\n");
        let ran = Clonebox::new().env("PATH", text(&directory)).args([&option, "--", "/bin/true"]).run();
        ran.exits_with(125).complains(&format!("{begin}{} is neither set-user-id root", fake.display()));
        // Without being asked for that many, an ordinary user is alone then.
        let public = Public::new();
        let program = ["--userns=auto", "--", public.path(), "__probe", "cat", "/proc/self/setgroups"];
        Clonebox::new().env("PATH", "/nonexistent").args(program).run().succeeds().prints("deny\n");
    }

    fn a_helper_that_gains_no_privilege_is_named_with_the_range_and_what_is_there() needs [Root, Sources] {
        for (mode, flags, what) in [
            (0o755, "suid", "is neither set-user-id root nor has it file capabilities: chmod u+s "),
            (0o4755, "nosuid", "is on a filesystem that is mounted nosuid, and gains no privilege there\n"),
        ] {
            let directory = files::directory();
            let helper = format!("{}/newuidmap", text(&directory));
            with_helpers_of(&directory, mode, flags, "#!/bin/sh\n", &["--uidmap", "0:100000:10"])
                .exits_with(125)
                .complains(&format!(
                    "clonebox: --uidmap 0:100000:10: the ids 100000-100009 are mapped by newuidmap and newgidmap: {helper} {what}"
                ));
        }
    }

    fn a_helper_that_refuses_is_told_in_its_own_words() needs [Root, SetId, Sources] {
        with_helpers("#!/bin/sh\necho \"newgidmap: not today\" >&2\nexit 1\n", &["--userns", "auto"])
            .exits_with(125)
            .complains("clonebox: cannot map the groups: newgidmap: not today (exit status: 1)\n")
            .complains("call         newgidmap <pid> 0 12345 1 1 100000 65536\n")
            .complains("asked by     --userns auto\n")
            .complains("hint         newgidmap goes by /etc/subgid, which gives the user 12345 100000-165535\n");
    }

    fn a_helper_that_does_nothing_is_told() needs [Root, SetId, Sources] {
        with_helpers("#!/bin/sh\n", &["--userns", "auto"])
            .exits_with(125)
            .complains("clonebox: cannot map the groups: newgidmap has written nothing\n");
    }

    fn a_helper_that_hangs_is_ended_by_the_start_timeout() needs [Root, SetId, Sources] {
        for more in [&[][..], &["--oom-score-adj", "500"]] {
            let options = [&["--userns", "auto", "--start-timeout", "1"], more].concat();
            with_helpers("#!/bin/sh\nexec /bin/sleep 100\n", &options)
                .exits_with(125)
                .complains("clonebox: the box did not start within 1 s and was killed\n")
                .complains("futex(<gate>, FUTEX_WAIT, 0, NULL)\n");
        }
    }

    fn a_proc_of_which_a_part_is_covered_is_told_where_the_kernel_mounts_no_other() needs [Root, Userns, Unfiltered] {
        let outer = ["--cap-add", "ALL", "-v", "/dev/null:/proc/version", "--"];
        let clonebox = binary();
        let inner = [clonebox.to_str().expect("UTF-8"), "--userns", "auto", "--", "/bin/true"];
        run(outer.iter().chain(&inner))
            .exits_with(125)
            .complains("clonebox: cannot mount proc on /proc: Operation not permitted (EPERM)\n")
            .complains("hint         the host's /proc is partly covered here (")
            .complains("/proc/version");
    }

    fn root_without_the_right_to_map_says_so() needs [Root, Userns] {
        let public = Public::new();
        let clonebox = binary();
        let inner = clonebox.to_str().expect("UTF-8");
        run(["--cap-drop", "SETUID", "--", inner, "--userns", "auto", "--", public.path(), "__probe", "pid"])
            .exits_with(125)
            .complains("--userns auto: this process has no CAP_SETUID and CAP_SETGID, and can map no ids but its own\n");
    }

    fn root_has_the_ranges_of_the_first_name_that_the_files_give_any() needs [Root, Userns, Execveat] {
        let of = |name: &str, first: u32| format!("{name}:{first}:1000\n{name}:{}:70000\n", first + 5000);
        let all = [of("other", 1), of("containers", 3_000_000), of("root", 2_000_000), of("clonebox", 1_000_000)];
        for (file, first) in [(&all[..], 1_000_000), (&all[..3], 2_000_000), (&all[..2], 3_000_000)] {
            let map = [line(0, first, 1000), line(1000, first + 5000, 64_536)].concat();
            assert_eq!(of_root_with(&file.concat()), map);
        }
        assert_eq!(of_root_with(&all[0]), line(0, FIXED, 65_536));
    }

    fn a_box_in_a_box_has_ids_as_well() needs [Root, Userns] {
        let public = Public::new();
        let options = ["--userns=auto", "--cap-add=ALL", "--", public.path(), "__probe", "nest"];
        run(options).succeeds().prints("fine\n");
    }
}
