//! `clonebox template`, `--template`: mounts that are made once and kept by a file.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use crate::support::clonebox::Ran;
use crate::support::exchange::{self, while_exchanged};
use crate::support::rootfs::Root;
use crate::support::state::State;
use crate::support::{files, tests};

/// Templates in a directory of a test's own; what is mounted there goes when this is dropped.
struct Templates {
    state: State,
    root: Root,
}

impl Templates {
    fn new() -> Self {
        Self {
            state: State::new(),
            root: Root::new(),
        }
    }

    /// Creates one whose boxes have this binary as their program.
    fn create(&self, name: &str, options: &[&str]) -> Ran {
        let program = self.root.program();
        let own = [
            "template",
            "create",
            name,
            "--rootfs",
            self.root.text(),
            "-v",
            &program,
        ];
        self.state.clonebox().args(own).args(options).run()
    }

    /// Runs a probe in a box of a template.
    fn run(&self, name: &str, options: &[&str], words: &[&str]) -> Ran {
        let box_of = self
            .state
            .clonebox()
            .args(["--template", name])
            .args(options);
        box_of.args(["--", "/it", "__probe"]).args(words).run()
    }

    fn template(&self, words: &[&str]) -> Ran {
        self.state.clonebox().args(["template"]).args(words).run()
    }

    /// Where they are mounted, as the kernel has it.
    fn mounts(&self) -> Vec<String> {
        let table = fs::read_to_string("/proc/self/mountinfo").expect("/proc");
        let places = table.lines().filter_map(|line| line.split(' ').nth(4));
        let path = self.state.path().to_str().expect("UTF-8");
        places
            .filter(|place| place.starts_with(path))
            .map(str::to_owned)
            .collect()
    }

    /// Nothing is mounted, and no file is left.
    #[track_caller]
    fn assert_nothing(&self) {
        assert_eq!(self.mounts(), Vec::<String>::new());
        assert_eq!(self.state.files(), Vec::<String>::new());
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.state.path().join("templates").join(name)
    }
}

impl Drop for Templates {
    fn drop(&mut self) {
        for place in self.mounts().iter().rev() {
            let _ = umount2(place.as_str(), MntFlags::MNT_DETACH);
        }
    }
}

/// A directory with a file `word` that has this text.
fn data(text: &str) -> TempDir {
    let directory = files::directory();
    fs::write(directory.path().join("word"), text).expect("a directory of ours");
    directory
}

/// The volume of it at /data.
fn volume(data: &TempDir) -> String {
    format!("{}:/data:ro", data.path().display())
}

tests! {
    fn a_box_of_a_template_has_its_options_and_its_mounts() needs [Root, MountSetattr] {
        let (templates, data) = (Templates::new(), data("a word"));
        let options = ["-v", &volume(&data), "--hostname", "theirs", "-e", "A=1", "-e", "B=1"];
        templates.create("t", &options).succeeds().says_nothing_else().prints("");
        let text = |options: &[&str], path| templates.run("t", options, &["cat", path]).succeeds().stdout();
        assert_eq!(text(&[], "/data/word"), "a word");
        assert_eq!(text(&[], "/proc/sys/kernel/hostname"), "theirs\n");
        assert_eq!(text(&["--hostname", "ours"], "/proc/sys/kernel/hostname"), "ours\n");
        let environment = text(&["--env-clear", "-e", "B=2"], "/proc/self/environ");
        assert_eq!(environment, "A=1\0B=2\0");
        let plan = templates.run("t", &["--explain"], &["pid"]).succeeds().stdout();
        assert!(plan.contains("setns(<namespace>, CLONE_NEWNS)") && !plan.contains("pivot_root("), "{plan}");
        let listed = templates.template(&["ls"]).succeeds().stdout();
        assert!(listed.lines().count() == 2 && listed.contains("--hostname=theirs"), "{listed}");
        templates.template(&["rm", "t"]).succeeds();
        templates.assert_nothing();
    }

    fn each_box_of_a_kept_template_has_what_it_writes_to_itself() needs [Root, MountSetattr] {
        let templates = Templates::new();
        templates.create("t", &["--tmpfs", "/tmp"]).succeeds();
        for _ in 0..3 {
            templates.run("t", &[], &["append", "/tmp/x"]).succeeds().prints("0\n");
            templates.run("t", &[], &["append", "/dev/shm/x"]).succeeds().prints("0\n");
            templates.run("t", &[], &["pid"]).succeeds().prints("1\n");
        }
        let (before, mounts) = (templates.root.contents(), templates.mounts());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| templates.run("t", &[], &["append", "/tmp/x"]).succeeds().prints("0\n"));
            }
        });
        assert_eq!((templates.root.contents(), templates.mounts()), (before, mounts));
        templates.template(&["rm", "t"]).succeeds();
        templates.assert_nothing();
    }

    fn a_box_keeps_its_mounts_when_its_template_is_removed() needs [Root, MountSetattr] {
        let (templates, data) = (Templates::new(), data("a word"));
        templates.create("t", &["-v", &volume(&data)]).succeeds();
        let box_of = ["-d", "--name", "web", "--template", "t", "--", "/it", "__probe", "stay"];
        templates.state.run(&box_of).succeeds();
        templates.template(&["rm", "t"]).succeeds();
        assert_eq!(templates.mounts(), Vec::<String>::new());
        let inside = format!("/proc/{}/root/data/word", templates.state.pid("web"));
        assert_eq!(fs::read_to_string(inside).expect("the volume is there"), "a word");
        templates.run("t", &[], &["pid"]).exits_with(125).complains("there is no template t");
        templates.state.run(&["rm", "-f", "web"]).succeeds();
        templates.assert_nothing();
    }

    fn a_name_is_one_template_whoever_is_first() needs [Root, MountSetattr] {
        let templates = Templates::new();
        let codes = thread::scope(|scope| {
            let all: Vec<_> = (0..6).map(|_| scope.spawn(|| templates.create("t", &[]).code())).collect();
            all.into_iter().map(|one| one.join().expect("a run")).collect::<Vec<_>>()
        });
        assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
        templates.create("t", &[]).exits_with(125).complains("there is a template t already");
        templates.run("t", &[], &["pid"]).succeeds().prints("1\n");
        templates.create("other", &[]).succeeds();
        templates.template(&["rm", "t"]).succeeds();
        templates.run("other", &[], &["pid"]).succeeds();
        templates.template(&["rm", "other", "t"]).exits_with(125).complains("there is no template t");
        templates.assert_nothing();
    }

    fn templates_whose_mounts_are_gone_are_swept() needs [Root, MountSetattr] {
        let templates = Templates::new();
        for name in ["one", "two", "three"] {
            templates.create(name, &[]).succeeds();
        }
        umount2(&templates.file("one.ns"), MntFlags::MNT_DETACH).expect("it is a mount");
        templates.run("one", &[], &["pid"]).exits_with(125).complains("the mounts of the template one are gone");
        // Whoever made it was killed before it was whole.
        fs::remove_file(templates.file("two.json")).expect("it is there");
        fs::write(templates.file("four.json.new"), "{").expect("a directory of ours");
        let listed = templates.template(&["ls"]).succeeds().stdout();
        let names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names, ["NAME", "three"]);
        assert_eq!(templates.mounts().len(), 2, "the directory, and what is kept");
        templates.template(&["rm", "three"]).succeeds();
        templates.assert_nothing();
    }

    fn no_option_of_a_launch_changes_the_mounts() needs [Root, MountSetattr] {
        let (templates, data) = (Templates::new(), data("a word"));
        templates.create("t", &[]).succeeds();
        for options in [&["-v", &volume(&data)][..], &["--read-only"], &["--rootfs", "/"]] {
            let ran = templates.run("t", options, &["pid"]).exits_with(125);
            ran.complains("the mounts of this box are not those of the template t");
        }
        templates.run("t", &["-u", "5:5", "--ulimit", "nofile=64"], &["pid"]).succeeds();
        templates.template(&["rm", "t"]).succeeds();
        templates.assert_nothing();
    }

    fn a_launch_from_a_template_has_limits() needs [Root, MountSetattr, Limits] {
        let templates = Templates::new();
        templates.create("t", &[]).succeeds();
        let limits = ["-m", "24m", "--pids-limit", "12"];
        let count = templates.run("t", &limits, &["forks"]).succeeds().stdout();
        let count: usize = count.trim().parse().expect("a number");
        assert!((5..12).contains(&count), "{count} processes");
        templates.run("t", &limits, &["eat", "200"]).exits_with(137).complains("out of memory");
        templates.template(&["rm", "t"]).succeeds();
        templates.assert_nothing();
    }

    fn what_no_template_can_have_is_said_and_nothing_is_made() needs [Root, MountSetattr] {
        let templates = Templates::new();
        let refused = |words: &[&str], why: &str| {
            let words = [&["create"], words].concat();
            templates.template(&words).exits_with(125).complains(why);
            templates.assert_nothing();
        };
        let root = ["--rootfs", templates.root.text()];
        refused(&["t"], "expected --rootfs or --rootfs-overlay");
        refused(&["t", "--rootfs", "here"], "expected a path that begins with /");
        refused(&["t", root[0], root[1], "-v", "./x:/x"], "expected a path that begins with /");
        refused(&["t", root[0], root[1], "--seccomp", "f.json"], "f.json");
        refused(&["t", root[0], root[1], "--file", "0:/x"], "--file is for a launch");
        refused(&["t", root[0], root[1], "-d"], "--detach is for a launch");
        refused(&["t", root[0], root[1], "--template", "u"], "--template is for a launch");
        refused(&["t", root[0], root[1], "/bin/sh"], "takes no COMMAND");
        refused(&["t", "--rootfs", "/dev/null/none"], "cannot open the root filesystem");
        refused(&[], "needs a NAME");
        refused(&root, "needs a NAME");
        templates.template(&["make"]).exits_with(125).complains("expected template create");
        templates.run("t", &[], &["pid"]).exits_with(125).complains("there is no template t");
        templates.run("../t", &[], &["pid"]).exits_with(125).complains("there is no template ../t");
        let ran = templates.create("a/b", &[]);
        ran.exits_with(125).complains("a template cannot be called a/b");
        assert_eq!(templates.mounts(), Vec::<String>::new());
    }

    fn to_explain_a_template_makes_nothing() needs [Root, MountSetattr] {
        let templates = Templates::new();
        let before = templates.root.contents();
        let plan = templates.create("t", &["--explain"]).succeeds().stdout();
        assert!(plan.contains("pivot_root(") && plan.contains("exit_group(0)"), "{plan}");
        assert_eq!(templates.root.contents(), before);
        templates.assert_nothing();
    }

    fn a_directory_that_others_can_write_to_keeps_no_template() needs [Root, MountSetattr] {
        let templates = Templates::new();
        templates.create("t", &[]).succeeds();
        let directory = templates.file("");
        for mode in [0o777, 0o750] {
            fs::set_permissions(&directory, Permissions::from_mode(mode)).expect("it is ours");
            templates.run("t", &[], &["pid"]).exits_with(125).complains("is open to others");
            templates.create("u", &[]).exits_with(125).complains("is open to others");
        }
        fs::set_permissions(&directory, Permissions::from_mode(0o700)).expect("it is ours");
        templates.run("t", &[], &["pid"]).succeeds();
        // A link in the place of the record.
        fs::remove_file(templates.file("t.json")).expect("it is there");
        std::os::unix::fs::symlink("/etc/passwd", templates.file("t.json")).expect("a directory of ours");
        templates.run("t", &[], &["pid"]).exits_with(125).complains("there is no template t");
        fs::remove_file(templates.file("t.json")).expect("it is there");
        templates.template(&["ls"]).succeeds();
        templates.assert_nothing();
    }

    fn a_file_that_keeps_no_mounts_is_no_template() needs [Root, MountSetattr] {
        let (templates, data) = (Templates::new(), data("a word"));
        let foreign = data.path().join("word");
        let gone = "the mounts of the template t are gone";
        for (source, complaint) in [(None, gone), (Some(foreign.as_path()), gone), (Some(Path::new("/proc/self/ns/net")), "Invalid argument (EINVAL)")] {
            templates.create("t", &[]).succeeds();
            let file = templates.file("t.ns");
            umount2(&file, MntFlags::MNT_DETACH).expect("it is a mount");
            if let Some(source) = source {
                mount(Some(source), &file, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("root may");
            }
            templates.run("t", &[], &["pid"]).exits_with(125).complains(complaint);
            templates.template(&["rm", "t"]).succeeds();
            templates.assert_nothing();
        }
        assert_eq!(fs::read_to_string(&foreign).expect("a file of ours"), "a word");
    }

    fn a_directory_that_is_exchanged_for_one_of_others_keeps_no_template() needs [Root, MountSetattr] {
        let (ours, theirs) = (Templates::new(), Templates::new());
        let words = ["ours", "theirs"].map(data);
        for (templates, word) in [&ours, &theirs].into_iter().zip(&words) {
            templates.create("t", &["-v", &volume(word)]).succeeds();
        }
        fs::set_permissions(theirs.file(""), Permissions::from_mode(0o777)).expect("it is ours");
        let (here, there) = (ours.state.path(), theirs.state.path());
        let launch = |_: &usize| {
            let ran = ours.run("t", &[], &["cat", "/data/word"]);
            if ran.code() == Some(0) {
                ran.prints("ours");
                return true;
            }
            ran.exits_with(125).complains("is open to others");
            false
        };
        let count = exchange::launches();
        let started = while_exchanged(here, there, || (0..count).filter(launch).count());
        let mode = |templates: &Templates| templates.file("").metadata().expect("a directory").permissions().mode();
        if mode(&ours) & 0o777 == 0o777 {
            exchange::swap(here, there);
        }
        assert!(started > 0, "no launch has met our directory");
        assert!(started < count, "no launch has met theirs");
        fs::set_permissions(theirs.file(""), Permissions::from_mode(0o700)).expect("it is ours");
        for templates in [&ours, &theirs] {
            templates.template(&["rm", "t"]).succeeds();
        }
    }

    fn templates_are_kept_where_mounts_spread() needs [Root, MountSetattr] {
        // In mounts of a thread's own, all of which are shared with themselves, as systemd has it.
        thread::spawn(|| {
            // SAFETY: the call takes a number.
            let result = unsafe { libc::unshare(libc::CLONE_FS | libc::CLONE_NEWNS) };
            assert_eq!(result, 0);
            let none = None::<&str>;
            let flags = MsFlags::MS_SHARED | MsFlags::MS_REC;
            mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none).expect("root may");
            mount(none, "/", none, flags, none).expect("root may");
            let templates = Templates::new();
            templates.create("t", &[]).succeeds();
            templates.run("t", &[], &["pid"]).succeeds().prints("1\n");
            templates.template(&["rm", "t"]).succeeds();
            assert_eq!(templates.state.files(), Vec::<String>::new());
        }).join().expect("it does");
    }

    fn an_ordinary_user_is_told_why_there_is_no_template() needs [NotRoot, Userns] {
        let templates = Templates::new();
        let ran = templates.create("t", &[]);
        ran.exits_with(125).complains("there is nothing that a template could keep");
        templates.assert_nothing();
    }
}
