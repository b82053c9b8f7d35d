//! Out of a root filesystem, by what a program may still do in it.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::assert_refused;
use crate::support::files::Public;
use crate::support::rootfs::Root;
use crate::support::{Clonebox, binary, files, probe, tests};

/// A file outside of every root filesystem.
struct Outside {
    _directory: tempfile::TempDir,
    canary: String,
    path: PathBuf,
}

impl Outside {
    fn new() -> Self {
        let directory = files::directory();
        let path = directory.path().join("canary");
        fs::write(&path, "").expect("a directory of ours");
        Self {
            canary: path.display().to_string(),
            path: directory.path().to_owned(),
            _directory: directory,
        }
    }
}

/// An attack within a root that was made in a weak way.
#[track_caller]
fn weak(way: &str, attack: &[&str]) {
    let weak = files::directory();
    fs::create_dir(weak.path().join("proc")).expect("a directory of ours");
    let mut command = std::process::Command::new(probe::path());
    command
        .args(["__probe", "become-root", way])
        .arg(weak.path())
        .args(attack);
    Clonebox::of(command).run().succeeds().prints("fine\n");
}

tests! {
    fn chroot_leads_out_of_a_root_that_chroot_has_made() needs [Root] {
        weak("chroot", &["chroot-out", &Outside::new().canary]);
    }

    fn chroot_does_not_lead_out_of_a_box() needs [Box, Idmap] {
        let (root, outside) = (Root::new(), Outside::new());
        for options in [&[][..], &["--userns", "auto"], &["--cap-add", "SYS_ADMIN"]] {
            root.run(options, &["chroot-out", &outside.canary]).succeeds().prints("ENOENT\n");
        }
    }

    fn a_second_pivot_leads_out_of_a_root_that_keeps_the_old_one() needs [Root] {
        weak("pivot", &["pivot-out", &Outside::new().canary]);
    }

    fn a_second_pivot_does_not_lead_out_of_a_box() needs [Root, Userns, Idmap] {
        let (root, outside) = (Root::new(), Outside::new());
        for (options, nested) in [
            (&[][..], &[][..]),
            (&["--cap-add", "SYS_ADMIN"], &[]),
            (&["--userns", "auto"], &["nested"]),
            (&["--userns", "auto", "--cap-add", "ALL"], &[]),
        ] {
            let attack = [nested, &["pivot-out", &outside.canary]].concat();
            for filter in ["default", "off"] {
                let options = [&["--seccomp", filter], options].concat();
                assert_refused(root.run(&options, &attack).succeeds().stdout().trim_end());
            }
        }
    }

    // The weak box of the next one: its maker says so of a directory.
    fn where_ids_are_mapped_root_of_a_box_writes_what_is_roots() needs [Idmap, Execveat] {
        let (root, outside) = (Root::new(), Outside::new());
        fs::set_permissions(&outside.canary, Permissions::from_mode(0o600)).expect("a file of ours");
        for (more, result) in [("", "EACCES\n"), (":idmap", "fine\n")] {
            let volume = format!("{}:/host{more}", outside.path.display());
            let options = ["--userns", "auto", "-v", &volume];
            root.run(&options, &["open-to-write", "/host/canary"]).succeeds().prints(result);
        }
    }

    fn no_box_is_given_the_hosts_own_root_in_that_way() needs [Root, Idmap] {
        let (outside, outer) = (Outside::new(), binary());
        for name in ["root", "etc", "other"] {
            fs::create_dir(outside.path.join(name)).expect("a directory of ours");
        }
        let place = outside.path.to_str().expect("UTF-8");
        let inside = |name: &str| format!("{place}/{name}");
        // In a box with all capabilities, which has the host's root at other places as well.
        let refused = |volume: &str, options: [&str; 2], named: &str| {
            let inner = [outer.to_str().expect("UTF-8"), "--userns", "auto"];
            let program = ["--", "/bin/true"];
            let ran = Clonebox::new()
                .args(["--cap-add", "ALL", "-v", volume, "--"])
                .args(inner)
                .args(options)
                .args(program)
                .run();
            let reason = format!("the caller's own root is in {named}, whose files would be those of root of the box");
            ran.exits_with(125).complains(&reason);
        };
        let nothing = format!("/proc/version:{}", outside.canary);
        refused(&nothing, ["--rootfs", "/"], "/");
        refused(&nothing, ["--rootfs-overlay", "/"], "/");
        refused(&nothing, ["--rootfs", "/etc/.."], "/etc/..");
        refused(&format!("/:{}", inside("root")), ["--rootfs", &inside("root")], &inside("root"));
        refused(&format!("/:{}", inside("root")), ["--rootfs", place], place);
        refused(&format!("/etc:{}", inside("etc")), ["--rootfs", place], place);
    }

    fn a_file_of_the_hosts_in_a_root_filesystem_is_no_reason_to_refuse_it() needs [Root, Idmap, Execveat] {
        let (outside, outer, program) = (Outside::new(), binary(), Public::new());
        let place = outside.path.to_str().expect("UTF-8");
        let file = format!("/etc/passwd:{}:ro", outside.canary);
        let program = format!("{}:/it:ro", program.path());
        let inner = [outer.to_str().expect("UTF-8"), "--userns", "auto", "--rootfs", place, "-v", &program];
        Clonebox::new()
            .args(["--cap-add", "ALL", "-v", &file, "--"])
            .args(inner)
            .args(["--", "/it", "__probe", "open", "/canary"])
            .run()
            .succeeds()
            .prints("fine\n");
    }

    fn a_descriptor_of_the_hosts_root_that_is_passed_leads_out() needs [Box] {
        let (root, outside) = (Root::new(), Outside::new());
        let path = "/proc/self/fd/3/canary";
        let script = "exec 3<\"$DIR\"; exec \"$BOX\" \"$@\"";
        for (fd, result) in [(&["--fd", "3"][..], "fine\n"), (&[], "ENOENT\n")] {
            let described = root.describe(fd, &["open", path]).command();
            let mut command = std::process::Command::new("/bin/sh");
            command.args(["-c", script, "sh"]).args(described.get_args());
            command.env("DIR", &outside.path).env("BOX", described.get_program());
            Clonebox::of(command).run().succeeds().prints(result);
        }
    }

    fn the_first_process_and_its_directory_are_the_boxes_own() needs [Box] {
        let (root, outside) = (Root::new(), Outside::new());
        let of = |pid: u32, link: &str| format!("/proc/{pid}/{link}{}", outside.canary);
        let own = std::process::id();
        for path in [of(1, "root"), of(1, "cwd/../../.."), of(own, "root"), of(own, "cwd/../../../../../..")] {
            root.run(&[], &["open", &path]).succeeds().prints("ENOENT\n");
        }
    }

    fn the_root_of_a_process_outside_is_for_those_who_may_trace() needs [Root, Userns, Idmap] {
        let (root, outside) = (Root::new(), Outside::new());
        let path = format!("/proc/{}/root{}", std::process::id(), outside.canary);
        let host = |options: &[&str]| root.run(&[&["--pid", "host"], options].concat(), &["open", &path]).succeeds();
        host(&["--cap-add", "SYS_PTRACE"]).prints("fine\n");
        host(&[]).prints("EACCES\n");
        host(&["--userns", "auto", "--cap-add", "ALL"]).prints("EACCES\n");
    }

    fn the_mounts_of_a_process_outside_are_for_those_who_may_trace_and_mount() needs [Root, Userns, Idmap] {
        let (root, outside) = (Root::new(), Outside::new());
        let own = std::process::id().to_string();
        for way in ["pidfd", "path"] {
            let attack = ["setns", way, &own, &outside.canary];
            let run = |options: &[&str]| root.run(options, &attack).succeeds();
            run(&["--pid", "host", "--cap-add", "SYS_PTRACE", "--cap-add", "SYS_ADMIN"]).prints("fine\n");
            for options in [
                &[][..],
                &["--pid", "host"],
                &["--pid", "host", "--cap-add", "SYS_ADMIN"],
                &["--pid", "host", "--cap-add", "SYS_PTRACE"],
                &["--pid", "host", "--userns", "auto", "--cap-add", "ALL"],
            ] {
                assert_refused(run(options).stdout().trim_end());
            }
        }
    }
}
