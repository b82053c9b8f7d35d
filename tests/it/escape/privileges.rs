//! More privileges than a box was given, by executing a file that has some.

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use clonebox::CapabilitySet;

use crate::support::clonebox::Ran;
use crate::support::status::Status;
use crate::support::{Clonebox, files, probe, run_probe, tests};

const OTHER: u32 = 4321;
const BIND_SERVICE: u64 = 1 << 10;

/// This binary as a file with privileges, for everybody to execute.
struct Copy {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Copy {
    fn new() -> Self {
        let directory = files::directory();
        let bytes = fs::read(probe::path()).expect("this binary");
        let path = files::executable(directory.path(), "it", bytes);
        Self {
            _directory: directory,
            path,
        }
    }

    /// Set-user-id of somebody else.
    fn set_id(to: u32) -> Self {
        let copy = Self::new();
        chown(&copy.path, Some(to), Some(to)).expect("root may");
        fs::set_permissions(&copy.path, Permissions::from_mode(0o6755)).expect("root may");
        copy
    }

    /// With CAP_NET_BIND_SERVICE, permitted and effective: struct vfs_cap_data of linux/capability.h.
    fn with_a_capability() -> Self {
        let copy = Self::new();
        let bytes = [0x0200_0001u32, 1 << 10, 0, 0, 0]
            .map(u32::to_le_bytes)
            .concat();
        let path = CString::new(copy.path.as_os_str().as_bytes()).expect("no NUL");
        // SAFETY: the strings and the bytes live during the call.
        let set = unsafe {
            let name = c"security.capability".as_ptr();
            libc::setxattr(path.as_ptr(), name, bytes.as_ptr().cast(), bytes.len(), 0)
        };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
        copy
    }

    /// What it is in a box of an ordinary user's.
    fn status(&self, options: &[&str]) -> Status {
        Status::printed(self.run(options).succeeds().stdout())
    }

    fn run(&self, options: &[&str]) -> Ran {
        let program = self.path.to_str().expect("UTF-8");
        let words = ["--", program, "__probe", "cat", "/proc/self/status"];
        Clonebox::new()
            .args(["-u", "1234:1234"])
            .args(options)
            .args(words)
            .run()
    }
}

tests! {
    fn with_new_privileges_a_set_user_id_program_has_its_effect() needs [Root, SetId] {
        let status = Copy::set_id(OTHER).status(&["--allow-new-privs"]);
        assert_eq!(status.words("Uid")[1], OTHER.to_string());
    }

    fn a_set_user_id_program_gains_nothing() needs [Root, SetId] {
        let copy = Copy::set_id(OTHER);
        for options in [&[][..], &["--cap-add", "ALL"], &["--init"]] {
            let status = copy.status(options);
            assert_eq!((status.words("Uid")[1], status.words("Gid")[1]), ("1234", "1234"), "{options:?}");
            assert_eq!(status.set("CapEff"), 0, "{options:?}");
        }
    }

    fn a_set_user_id_program_of_roots_has_the_capabilities_of_the_box_and_no_others() needs [Root, SetId] {
        let copy = Copy::set_id(0);
        let gains = |options: &[&str]| {
            let status = copy.status(options);
            (status.words("Uid")[1].to_owned(), status.set("CapEff"))
        };
        let (root, all) = ("0".to_owned(), CapabilitySet::DEFAULT.0 & Status::own().set("CapBnd"));
        assert_eq!(gains(&["--allow-new-privs"]), (root.clone(), all));
        assert_eq!(gains(&["--allow-new-privs", "--cap-drop", "ALL"]), (root, 0));
        assert_eq!(gains(&[]), ("1234".to_owned(), 0));
    }

    fn with_new_privileges_file_capabilities_have_their_effect() needs [Root, SetId] {
        let status = Copy::with_a_capability().status(&["--allow-new-privs"]);
        assert_eq!(status.set("CapEff"), BIND_SERVICE);
    }

    fn file_capabilities_give_nothing() needs [Root, SetId] {
        let status = Copy::with_a_capability().status(&[]);
        assert_eq!((status.set("CapEff"), status.set("CapPrm")), (0, 0));
    }

    fn what_a_box_may_not_have_no_file_gives_even_with_new_privileges() needs [Root, SetId] {
        let copy = Copy::with_a_capability();
        // The file insists on its capability: execve(2) is EPERM where the bounding set has it not.
        let said = copy.run(&["--allow-new-privs", "--cap-drop", "NET_BIND_SERVICE"]).stdout();
        assert!(!said.contains("CapEff:\t0000000000000400"), "{said}");
    }

    fn a_user_namespace_inside_gives_nothing_where_there_can_be_none() needs [Userns] {
        run_probe(&["--userns", "auto", "--seccomp", "off"], &["nested", "open-to-write", "/dev/null"]).succeeds().prints("fine\n");
        run_probe(&["--userns", "auto"], &["nested", "open-to-write", "/dev/null"]).succeeds().prints("EPERM\n");
        run_probe(&["--userns", "auto", "--seccomp", "off", "--disable-userns"], &["nested", "open-to-write", "/dev/null"]).succeeds().prints("ENOSPC\n");
    }
}
