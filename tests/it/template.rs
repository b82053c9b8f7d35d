//! Templates with mounts of their own: what boxes have in common, and what they do not.

use std::fs;
use std::thread;

use clonebox::{
    Command, Mount, Namespace, Propagation, Stdio, Template, TemplateMounts, UserNamespace,
};

use crate::support::files::{self, HostMount};
use crate::support::processes::eventually;
use crate::support::rootfs::{Root, contents};
use crate::support::tests;

/// A box whose root filesystem has this binary only.
fn answer(root: &Root, words: &[&str]) -> Command {
    let mut command = Command::new("/it");
    command.arg("__probe").args(words).rootfs(root.path());
    command.mount(Mount::parse_volume(&root.program()).expect("a good description"));
    command
}

/// What a box of the template prints.
#[track_caller]
fn printed(template: &Template) -> String {
    let output = template.spawn().expect("a box").wait_with_output();
    let output = output.expect("its end");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A template with mounts of its own whose boxes print.
#[track_caller]
fn prepare(command: &mut Command) -> Template {
    let template = command
        .stdout(Stdio::piped())
        .prepare()
        .expect("a template");
    assert!(template.shares_mounts());
    template
}

/// The mounts that a box sees: where, what of it, how, of what kind. Which they are, by number, differs.
fn table(template: &Template) -> Vec<String> {
    let text = printed(template);
    let lines = text.lines().map(|line| {
        let (own, filesystem) = line.split_once(" - ").expect("a line of mountinfo");
        let own: Vec<&str> = own.split(' ').skip(3).collect();
        let (kind, rest) = filesystem.split_once(' ').expect("a kind");
        // The layers of an overlay have other names in a store; where they are kept is nobody's business.
        let rest = if kind == "overlay" { "" } else { rest };
        format!("{} - {kind} {rest}", own.join(" "))
    });
    lines.collect()
}

/// Whether boxes of a template see the same mounts as others.
#[track_caller]
fn assert_same_mounts(command: &mut Command) {
    let own = prepare(command);
    let each = command
        .template_mounts(TemplateMounts::EachLaunch)
        .prepare()
        .expect("a template");
    assert!(!each.shares_mounts());
    let (mut own, mut each) = (table(&own), table(&each));
    own.sort();
    each.sort();
    assert_eq!(own, each);
}

const TABLE: [&str; 2] = ["cat", "/proc/self/mountinfo"];

tests! {
    fn a_box_of_a_template_sees_the_mounts_of_any_other() needs [Root, MountSetattr] {
        let (root, data) = (Root::new(), files::directory());
        let tmpfs = || Mount::tmpfs("/run");
        let below = Mount::bind(data.path(), "/run/a/data").read_only();
        let file = Mount::file("text", "/etc/file").read_only();
        assert_same_mounts(&mut answer(&root, &TABLE));
        assert_same_mounts(answer(&root, &TABLE).net(Namespace::Private).ipc(Namespace::Private).read_only(true));
        assert_same_mounts(answer(&root, &TABLE).mount(file.clone()).mount(tmpfs()));
        assert_same_mounts(answer(&root, &TABLE).mount(tmpfs()).mount(below.clone()).mount(file.clone()));
        let mut overlay = answer(&root, &TABLE);
        overlay.rootfs_overlay(root.path()).mount(tmpfs()).mount(below).mount(file).read_only(true);
        assert_same_mounts(&mut overlay);
    }

    fn a_mount_below_a_link_is_where_any_other_has_it() needs [Root, MountSetattr] {
        let (root, data) = (Root::new(), files::directory());
        fs::write(data.path().join("word"), "found").expect("a directory of ours");
        fs::create_dir(root.path().join("run")).expect("a directory of ours");
        std::os::unix::fs::symlink("run", root.path().join("link")).expect("a directory of ours");
        let mut command = answer(&root, &["cat", "/run/data/word"]);
        command.mount(Mount::tmpfs("/run")).mount(Mount::bind(data.path(), "/link/data"));
        assert_eq!(printed(&prepare(&mut command)), "found");
    }

    fn what_a_box_writes_the_next_one_does_not_see() needs [Root, MountSetattr] {
        for overlay in [false, true] {
            let root = Root::new();
            for place in ["/tmp/x", "/dev/shm/x", "/dev/x", "/file"] {
                let mut command = answer(&root, &["append", place]);
                if overlay {
                    command.rootfs_overlay(root.path());
                }
                command.mount(Mount::tmpfs("/tmp")).mount(Mount::file("", "/file"));
                let template = prepare(&mut command);
                for _ in 0..3 {
                    assert_eq!(printed(&template), "0\n", "{place}");
                }
            }
        }
    }

    fn an_overlay_forgets_with_each_box() needs [Root, MountSetattr] {
        let root = Root::new();
        let before = contents(root.path());
        let template = prepare(answer(&root, &["append", "/x"]).rootfs_overlay(root.path()));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(printed(&template), "0\n"));
            }
        });
        assert_eq!(contents(root.path()), before);
    }

    fn what_goes_to_the_root_filesystem_or_a_volume_stays() needs [Root, MountSetattr] {
        let (root, data) = (Root::new(), files::directory());
        for place in ["/x", "/data/x"] {
            let mut command = answer(&root, &["append", place]);
            let template = prepare(command.mount(Mount::bind(data.path(), "/data")));
            let sizes: Vec<String> = (0..3).map(|_| printed(&template)).collect();
            assert_eq!(sizes, ["0\n", "1\n", "2\n"], "{place}");
        }
    }

    fn each_box_of_a_template_has_its_own_processes() needs [Root, MountSetattr] {
        let root = Root::new();
        let template = prepare(&mut answer(&root, &["pid"]));
        for _ in 0..3 {
            assert_eq!(printed(&template), "1\n");
        }
        let template = prepare(&mut answer(&root, &["cat", "/proc/1/comm"]));
        assert_eq!(printed(&template), "it\n");
    }

    fn the_masks_of_proc_hold_in_a_box_of_a_template() needs [Root, MountSetattr] {
        let root = Root::new();
        let template = prepare(&mut answer(&root, &["cat", "/proc/timer_list"]));
        assert_eq!(printed(&template), "");
        let mut command = answer(&root, &["append", "/proc/sys/kernel/domainname"]);
        let output = prepare(command.stderr(Stdio::null())).spawn().expect("a box").wait_with_output();
        assert!(!output.expect("its end").status.success());
    }

    fn what_is_mounted_on_the_host_later_is_seen_after_a_refresh() needs [Root, MountSetattr] {
        let (root, data) = (Root::new(), files::directory());
        fs::write(data.path().join("word"), "old").expect("a directory of ours");
        let mut command = answer(&root, &["cat", "/data/word"]);
        let mut template = prepare(command.mount(Mount::bind(data.path(), "/data")));
        let mount = HostMount::new(data.path());
        fs::write(data.path().join("word"), "new").expect("a filesystem of ours");
        assert_eq!(printed(&template), "old");
        let clone = template.clone();
        template.refresh().expect("a template");
        assert_eq!((printed(&template), printed(&clone)), ("new".into(), "old".into()));
        drop(mount);
        assert_eq!(printed(&template), "new");
    }

    fn a_volume_that_follows_the_host_does_so_in_a_template() needs [Root, MountSetattr] {
        let (root, data) = (Root::new(), files::directory());
        let shared = HostMount::new(data.path());
        shared.share();
        let below = data.path().join("below");
        fs::create_dir(&below).expect("a filesystem of ours");
        let mut volume = Mount::bind(data.path(), "/data");
        volume.attributes.propagation = Propagation::Slave;
        let template = prepare(answer(&root, &["cat", "/data/below/word"]).mount(volume));
        let later = HostMount::new(&below);
        fs::write(below.join("word"), "later").expect("a filesystem of ours");
        assert_eq!(printed(&template), "later");
        drop(later);
        drop(shared);
    }

    fn the_thread_that_unmounts_later_ends_when_there_is_nothing_to_do() needs [Root, MountSetattr] {
        let (root, data) = (Root::new(), files::directory());
        let mount = HostMount::new(data.path());
        let mut command = answer(&root, &["pid"]);
        let volume = Mount::bind(data.path(), "/data");
        let template = prepare(command.mount(volume).unmount_later(true));
        for _ in 0..100 {
            assert_eq!(printed(&template), "1\n");
        }
        drop(template);
        drop(mount);
        let threads = || fs::read_dir("/proc/self/task").expect("/proc").filter_map(|task| {
            fs::read_to_string(task.ok()?.path().join("comm")).ok()
        }).any(|name| name == "clonebox-end\n");
        assert!(eventually(|| !threads()), "the thread ends when there is nothing to do");
    }

    fn a_box_in_a_user_namespace_makes_its_mounts_itself() needs [Userns, Idmap, MountSetattr] {
        let root = Root::new();
        let mut command = answer(&root, &["pid"]);
        let template = command.userns(UserNamespace::Auto).stdout(Stdio::piped()).prepare().expect("a template");
        assert!(!template.shares_mounts() && template.mounts_plan().is_none());
        assert_eq!(printed(&template), "1\n");
    }

    fn a_root_filesystem_that_is_not_there_is_told_when_the_template_is_made() needs [Root, MountSetattr] {
        let error = Command::new("/it").rootfs("/dev/none").prepare().expect_err("nothing is there");
        let message = "cannot open the root filesystem /dev/none: No such file or directory (ENOENT)";
        assert_eq!(error.to_string(), message);
        let step = error.step().expect("it names the step");
        assert_eq!(step.origin.to_string(), "Command::rootfs");
    }

    fn a_template_explains_what_it_has_done_and_what_a_launch_does() needs [Root, MountSetattr] {
        let root = Root::new();
        let template = prepare(&mut answer(&root, &["pid"]));
        let once = template.mounts_plan().expect("it has mounts").to_string();
        let each = template.plan().to_string();
        assert!(once.contains("pivot_root(") && once.contains("exit_group(0)"), "{once}");
        assert!(each.contains("setns(<namespace>, CLONE_NEWNS)") && !each.contains("pivot_root("), "{each}");
    }
}
