//! Mounts that were asked for: binds, filesystems in memory, files.

use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::support::clonebox::{Clonebox, run};
use crate::support::files::{self, HostMount};
use crate::support::rootfs::Root;
use crate::support::seccomp::refuse_to;
use crate::support::state::State;
use crate::support::{alone, binary, probe, run_probe, tests};

/// A directory with a file in it.
fn volume() -> tempfile::TempDir {
    let volume = files::directory();
    fs::write(volume.path().join("file"), "data").expect("a directory of ours");
    volume
}

fn text(directory: &tempfile::TempDir) -> &str {
    directory.path().to_str().expect("UTF-8")
}

/// Launches boxes with so many volumes and looks at what the launcher and its child do: calls that grow with the
/// volumes, and two looks at the table of mounts at most.
#[track_caller]
fn assert_linear(change: fn(&mut Command), options: &str, counts: [usize; 3]) {
    let (root, volume) = (Root::new(), volume());
    let calls = counts.map(|count| {
        let traces = files::directory();
        let mut strace = Command::new("strace");
        // A file for each process: no line is cut by another's.
        strace
            .args(["-ff", "-s", "256", "-o"])
            .arg(traces.path().join("trace"));
        strace
            .arg(binary())
            .args(["--rootfs", root.text(), "-v", &root.program()]);
        // An ordinary user's strace takes its privilege from newuidmap(1).
        if !nix::unistd::geteuid().is_root() {
            strace.args(alone());
        }
        for number in 0..count {
            strace.args(["-v", &format!("{}:/many/{number}{options}", text(&volume))]);
        }
        strace.args(["--", "/it", "__probe", "exit", "0"]);
        change(&mut strace);
        Clonebox::of(strace).run().succeeds();
        let files = fs::read_dir(traces.path()).expect("a directory of ours");
        let lines: Vec<String> = files
            .map(|file| fs::read_to_string(file.expect("an entry").path()).expect("a trace"))
            .flat_map(|trace| trace.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let tables = lines
            .iter()
            .filter(|line| line.starts_with("open") && line.contains("/mountinfo\""));
        let tables = tables.count();
        // For the volumes and, where ids are mapped, to see whether the caller's own root is there.
        assert!(
            tables <= 2,
            "{count} volumes: the table is read {tables} times"
        );
        // Memory is asked for as it is needed, and a path found again when somebody mounts something meanwhile.
        let memory = [
            "brk(",
            "madvise(",
            "mmap(",
            "mprotect(",
            "mremap(",
            "munmap(",
        ];
        let others = lines
            .iter()
            .filter(|line| !memory.iter().any(|call| line.starts_with(call)));
        others
            .filter(|line| !line.ends_with("EAGAIN (Resource temporarily unavailable)"))
            .count()
    });
    // In thousandths.
    let per_volume =
        |from: usize, to: usize| (calls[to] - calls[from]) * 1000 / (counts[to] - counts[from]);
    let (few, many) = (per_volume(0, 1), per_volume(1, 2));
    assert!(
        many.abs_diff(few) < few / 4,
        "{calls:?} calls for {counts:?} volumes"
    );
}

tests! {
    fn a_volume_is_the_callers_directory_at_a_path_that_is_made() needs [Box] {
        let (root, volume) = (Root::new(), volume());
        let bind = format!("{}:/deep/er/data", text(&volume));
        root.run(&["-v", &bind], &["cat", "/deep/er/data/file"]).succeeds().prints("data");
        root.run(&["-v", &bind], &["try", "/deep/er/data/new"]).succeeds().prints("made\n");
        assert!(volume.path().join("new").exists());
        assert!(root.path().join("deep/er/data").is_dir());
        assert!(!root.path().join("deep/er/data/file").exists());
    }

    fn a_volume_of_a_relative_path_is_relative_to_the_caller() needs [Box] {
        let (root, volume) = (Root::new(), volume());
        fs::create_dir(volume.path().join("sub")).expect("a directory of ours");
        fs::write(volume.path().join("sub/file"), "below").expect("a directory of ours");
        // The second is looked up when the child's own directory is another one.
        let options = ["--tmpfs", "/t", "-v", "sub:/a"];
        let ran = root.describe(&options, &["cat", "/a/file"]).current_dir(volume.path()).run();
        ran.succeeds().prints("below");
        let words = ["--tmpfs", "/sys", "-v", "sub:/sys/a", "--", &probe::path(), "__probe", "cat", "/sys/a/file"];
        Clonebox::new().args(words).current_dir(volume.path()).run().succeeds().prints("below");
    }

    fn a_box_on_the_callers_root_stays_in_the_callers_directory() needs [Box] {
        let volume = volume();
        let ran = Clonebox::new().args(["--tmpfs", "/sys"]).probe(["cwd"]).current_dir(volume.path()).run();
        ran.succeeds().prints(&format!("{}\n", fs::canonicalize(volume.path()).expect("a path").display()));
    }

    fn a_read_only_volume_cannot_be_written() needs [Box] {
        let (root, volume) = (Root::new(), volume());
        for options in [
            ["-v".to_owned(), format!("{}:/data:ro", text(&volume))],
            ["--ro-bind".to_owned(), format!("{}:/data", text(&volume))],
            ["--mount".to_owned(), format!("type=bind,src={},dst=/data,readonly", text(&volume))],
        ] {
            let options = options.each_ref().map(String::as_str);
            root.run(&options, &["try", "/data/new", "/data/file"]).succeeds().prints("EROFS\nEROFS\n");
        }
    }

    fn what_is_mounted_below_a_read_only_volume_is_read_only_too() needs [Box] {
        let (root, volume) = (Root::new(), volume());
        fs::create_dir(volume.path().join("below")).expect("a directory of ours");
        // An outer box has a mount below the source.
        let below = format!("{}/below", text(&volume));
        let bind = format!("{}:/data:ro", text(&volume));
        let clonebox = binary();
        let program = root.program();
        let words = [
            "--tmpfs", &below, "--cap-add", "ALL", "--", clonebox.to_str().expect("UTF-8"), "--rootfs", root.text(), "-v",
            &program, "-v", &bind, "--", "/it", "__probe", "try", "/data/new", "/data/below/new",
        ];
        run(words).succeeds().prints("EROFS\nEROFS\n");
    }

    fn a_volume_may_be_a_file() needs [Box] {
        let (root, volume) = (Root::new(), volume());
        let bind = format!("{}/file:/etc/secret:ro", text(&volume));
        root.run(&["-v", &bind], &["cat", "/etc/secret"]).succeeds().prints("data");
        root.run(&["-v", &bind], &["try", "/etc/secret"]).succeeds().prints("EROFS\n");
        assert_eq!(fs::read(root.path().join("etc/secret")).expect("it was made"), b"");
    }

    fn a_source_that_is_missing_is_an_error_unless_it_may_be() needs [Box] {
        let root = Root::new();
        let ran = root.run(&["-v", "/nonexistent:/data"], &["exit", "0"]).exits_with(125);
        assert!(ran.stderr().contains("/nonexistent: No such file or directory (ENOENT)"), "{}", ran.stderr());
        assert!(ran.stderr().contains("--volume /nonexistent:/data"), "{}", ran.stderr());
        root.run(&["--bind-try", "/nonexistent:/data"], &["stat", "/data"]).succeeds().prints("/data ENOENT\n");
        root.run(&["--bind-try", "/etc"], &["stat", "/etc"]).succeeds();
    }

    fn a_tmpfs_has_its_size_and_mode_and_goes_with_the_box() needs [Box] {
        let root = Root::new();
        let options = ["--tmpfs", "/t:size=64k,mode=1711"];
        let ran = root.run(&options, &["stat", "/t"]).succeeds().stdout();
        assert!(ran.starts_with("/t directory 1711"), "{ran}");
        let table = root.run(&options, &["cat", "/proc/self/mounts"]).succeeds().stdout();
        let line = table.lines().find(|line| line.contains(" /t ")).expect("it is mounted");
        assert!(line.contains("size=64k") && line.contains("nosuid") && line.contains("nodev"), "{line}");
        root.run(&options, &["try", "/t/x"]).succeeds().prints("made\n");
        assert!(!root.path().join("t/x").exists());
    }

    fn mounts_are_made_in_the_order_of_the_words() needs [Box] {
        let (root, volume) = (Root::new(), volume());
        let bind = format!("{}:/a/b", text(&volume));
        root.run(&["--tmpfs", "/a", "-v", &bind], &["cat", "/a/b/file"]).succeeds().prints("data");
        root.run(&["-v", &bind, "--tmpfs", "/a"], &["list", "/a"]).succeeds().prints("");
        // Of a target that is there twice the last one is seen.
        root.run(&["--tmpfs", "/a/b", "-v", &bind], &["cat", "/a/b/file"]).succeeds().prints("data");
        root.run(&["-v", &bind, "--tmpfs", "/a/b"], &["list", "/a/b"]).succeeds().prints("");
    }

    fn every_type_of_mount_works() needs [Root] {
        let (root, volume) = (Root::new(), volume());
        let mount = |words: &str, probe: &[&str]| root.run(&["--ipc", "private", "--mount", words], probe).succeeds();
        mount("type=proc,dst=/p", &["links", "/p/self"]).prints("1\n");
        mount("type=sysfs,dst=/s", &["stat", "/s/kernel"]);
        mount("type=devpts,dst=/d", &["list", "/d"]).prints("ptmx\n");
        mount("type=mqueue,dst=/q", &["list", "/q"]).prints("");
        mount("type=tmpfs,dst=/t,size=1m", &["list", "/t"]).prints("");
        // Both on one filesystem, and not below each other.
        let directory = files::directory();
        for name in ["u", "w"] {
            fs::create_dir(directory.path().join(name)).expect("a directory of ours");
        }
        let upper = text(&directory);
        let overlay = format!("type=overlay,lowerdir={},upperdir={upper}/u,workdir={upper}/w,dst=/o", text(&volume));
        mount(&overlay, &["cat", "/o/file"]).prints("data");
        mount(&overlay, &["try", "/o/new"]).prints("made\n");
        assert!(Path::new(upper).join("u/new").exists() && !volume.path().join("new").exists());
    }

    fn a_file_of_a_descriptor_is_in_memory_only() needs [Box] {
        let (root, volume) = (Root::new(), volume());
        let secret = File::open(volume.path().join("file")).expect("a file of ours");
        fcntl(&secret, FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).expect("it is open");
        let file = format!("{}:/run/secret", secret.as_raw_fd());
        let ran = root.run(&["--file", &file], &["stat", "/run/secret"]).succeeds().stdout();
        assert!(ran.starts_with("/run/secret file 600"), "{ran}");
        // The descriptor has been read to its end.
        drop(secret);
        let secret = File::open(volume.path().join("file")).expect("a file of ours");
        fcntl(&secret, FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).expect("it is open");
        let file = format!("{}:/run/secret", secret.as_raw_fd());
        root.run(&["--file", &file], &["cat", "/run/secret"]).succeeds().prints("data");
        assert_eq!(fs::read(root.path().join("run/secret")).expect("its place was made"), b"");
        let table = root.run(&["--file", &file], &["cat", "/proc/self/mounts"]).succeeds().stdout();
        assert_eq!(table.lines().filter(|line| line.split(' ').nth(1) == Some("/")).count(), 1, "{table}");
    }

    fn a_file_belongs_to_the_user() needs [Root] {
        let (root, volume) = (Root::new(), volume());
        let secret = File::open(volume.path().join("file")).expect("a file of ours");
        fcntl(&secret, FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).expect("it is open");
        let file = format!("{}:/secret", secret.as_raw_fd());
        root.run(&["--file", &file, "-u", "1234:567"], &["cat", "/secret"]).succeeds().prints("data");
    }

    fn without_a_root_filesystem_nothing_is_made() needs [Box] {
        let volume = volume();
        let target = volume.path().join("new/place");
        let bind = format!("{}:{}", text(&volume), target.display());
        let ran = run_probe(&["-v", &bind], &["exit", "0"]).exits_with(125);
        assert!(ran.stderr().contains("No such file or directory (ENOENT)"), "{}", ran.stderr());
        assert!(!volume.path().join("new").exists());
        fs::create_dir_all(&target).expect("a directory of ours");
        let file = format!("{}/file", target.display());
        run_probe(&["-v", &bind], &["cat", &file]).succeeds().prints("data");
    }

    fn mounts_work_in_a_user_namespace() needs [Userns] {
        let (root, volume) = (Root::new(), volume());
        fs::set_permissions(volume.path(), Permissions::from_mode(0o777)).expect("it is ours");
        let bind = format!("{}:/data:ro", text(&volume));
        let [uids, gids] = alone();
        let options = [uids, gids, "-v", &bind, "--tmpfs", "/t"];
        root.run(&options, &["try", "/data/x", "/t/x"]).succeeds().prints("EROFS\nmade\n");
        root.run(&[uids, gids, "--net", "none"], &["try", "/sys/x"]).succeeds().prints("EROFS\n");
    }

    fn two_thousand_volumes_are_as_good_as_one() needs [Box] {
        let (root, volume) = (Root::new(), volume());
        let mut options = Vec::new();
        for number in 0..2000 {
            options.extend(["-v".to_owned(), format!("{}:/many/{number}", text(&volume))]);
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        root.run(&options, &["cat", "/many/1999/file"]).succeeds().prints("data");
        // Each is a number of steps that does not depend on how many there are.
        // With more than a few the mount namespace begins otherwise, on kernels that can.
        let steps = |count: usize| {
            let words = [&["--explain", "--rootfs", root.text()][..], &options[..2 * count], &["--", "/it"]].concat();
            run(words).succeeds().stdout().lines().count()
        };
        for [few, more, many] in [[10, 20, 60], [500, 510, 2000]] {
            let steps = [few, more, many].map(steps);
            assert_eq!((steps[2] - steps[0]) * 10, (steps[1] - steps[0]) * (many - few));
        }
    }

    fn each_volume_costs_as_many_calls_as_any_other_and_none_reads_the_table_of_mounts() needs [Box, Strace] {
        assert_linear(|_| {}, "", [100, 200, 800]);
    }

    // Before Linux 5.12 each mount of a read-only volume is changed by itself: which there are, the table says.
    fn the_same_of_read_only_volumes_where_each_mount_is_changed_by_itself() needs [Box, Strace, Seccomp] {
        assert_linear(|command| refuse_to(command, libc::SYS_mount_setattr, Errno::ENOSYS), ":ro", [50, 100, 250]);
    }

    fn devices_can_be_used_in_every_bind_but_one_with_nodev() needs [Execveat, Box] {
        let root = Root::new();
        for (option, options, answer) in [
            ("--dev-bind", "", "made\n"),
            ("-v", "", "made\n"),
            ("-v", ":dev", "made\n"),
            ("-v", ":nodev", "EACCES\n"),
        ] {
            for (source, target, path) in [("/dev/null", "/d/null", "/d/null"), ("/dev", "/all", "/all/null")] {
                let bind = format!("{source}:{target}{options}");
                let ran = root.run(&[option, &bind], &["try", path]).succeeds();
                assert_eq!(ran.stdout(), answer, "{option} {bind}");
            }
        }
        // On the same path.
        root.run(&["--dev", "none", "--dev-bind", "/dev/full"], &["try", "/dev/full"]).succeeds().prints("ENOSPC\n");
    }

    fn a_mount_that_comes_later_is_seen_below_a_volume_with_rslave_and_below_no_other() needs [MountSetattr, Execveat, Root] {
        // In mounts of a thread's own, which go with it.
        thread::spawn(|| {
            unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).expect("root may");
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none).expect("root may");
            let data = files::directory();
            let shared = HostMount::new(data.path());
            shared.share();
            let below = data.path().join("below");
            fs::create_dir(&below).expect("a filesystem of ours");
            for (options, seen) in [("", false), (":rslave", true), (":ro,rslave", true), (":rprivate", false)] {
                let (root, state) = (Root::new(), State::new());
                let bind = format!("{}:/data{options}", text(&data));
                let of_box = ["-d", "--name", "web", "--rootfs", root.text(), "-v", &root.program(), "-v", &bind];
                state.run(&[&of_box[..], &["--", "/it", "__probe", "stay"]].concat()).succeeds();
                let word = format!("/proc/{}/root/data/below/word", state.pid("web"));
                let later = HostMount::new(&below);
                fs::write(below.join("word"), "later").expect("a filesystem of ours");
                assert_eq!(fs::read_to_string(&word).ok().as_deref(), seen.then_some("later"), "{options:?}");
                drop(later);
                // It goes again as well.
                assert!(fs::metadata(&word).is_err(), "{options:?}");
                state.run(&["rm", "-f", "web"]).succeeds();
            }
            drop(shared);
        }).join().expect("it does not panic");
    }

    fn a_few_descriptors_are_enough_for_many_volumes() needs [Box] {
        let (root, volume) = (Root::new(), volume());
        let mut options = vec!["--ulimit".to_owned(), "nofile=8".to_owned()];
        for number in 0..100 {
            options.extend(["-v".to_owned(), format!("{}:/many/{number}", text(&volume))]);
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        root.run(&options, &["cat", "/many/99/file"]).succeeds().prints("data");
    }

    fn a_box_with_a_user_namespace_has_many_volumes_too() needs [Root, Userns, Idmap] {
        let (root, volume) = (Root::new(), volume());
        let mut options = vec!["--userns".to_owned(), "auto".to_owned()];
        for number in 0..100 {
            options.extend(["-v".to_owned(), format!("{}:/many/{number}", text(&volume))]);
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        root.run(&options, &["cat", "/many/99/file"]).succeeds().prints("data");
    }

    fn nonsense_is_refused_in_one_line() needs [] {
        for words in [
            ["-v", "/a"], ["-v", ":/a"], ["-v", "/a:/b:zz"], ["-v", "/a:b"], ["-v", "/a:/"], ["-v", "/a:/../b"],
            ["-v", "/a:/b:shared"], ["-v", "/a:/b:rslave"], ["--tmpfs", ""], ["--tmpfs", "/t:size=x"], ["--tmpfs", "/t:mode=9"],
            ["--tmpfs", "t"], ["--mount", ""], ["--mount", "type=nfs,dst=/a"], ["--mount", "type=bind,dst=/a"],
            ["--mount", "type=overlay,dst=/a"], ["--mount", "type=overlay,dst=/a,lowerdir=b"], ["--file", "x:/a"],
            ["--file", "99:/a"], ["--file", "0"], ["--ro-bind", ""], ["--ro-bind", "a:b:c"], ["--bind-try", ":"],
        ] {
            let ran = run(words.iter().chain(&["--", "true"])).exits_with(125);
            let lines = ran.stderr().lines().count();
            assert!((1..=2).contains(&lines), "{words:?}: {}", ran.stderr());
            assert!(ran.stderr().starts_with("clonebox: "), "{words:?}: {}", ran.stderr());
        }
    }
}
