//! What `clonebox doctor` advises: it is done, word for word where it is a command, and then doctor finds nothing.
//!
//! What is broken is broken in a box, whose settings, mounts and limits are its own. What is advised and not tried:
//! another kernel or another command line of it, modules of the kernel, packages, and sysctls of the whole machine.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::support::rootfs::Root;
use crate::support::{alone, binary, files, tests};

/// A shell that asks doctor and does what it says.
struct Patient {
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Patient {
    /// One that this program, with these words, executes.
    fn of(mut command: Command) -> Self {
        command.env("BOX", binary());
        let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = streams.spawn().expect("it starts");
        let input = shell.stdin.take().expect("a pipe");
        let output = BufReader::new(shell.stdout.take().expect("a pipe"));
        let mut patient = Self {
            shell,
            input,
            output,
        };
        // As sysctl(8), which not every machine has.
        patient.does(r#"sysctl() { echo "${1#*=}" >"/proc/sys/$(echo "${1%%=*}" | tr . /)"; }"#);
        patient
    }

    /// One in a box with these options.
    fn in_box(options: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(options).args(["--", "/bin/sh"]);
        Self::of(command)
    }

    fn outside() -> Self {
        Self::of(Command::new("/bin/sh"))
    }

    fn does(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("a shell that reads");
    }

    /// What a line prints, whatever becomes of it.
    #[track_caller]
    fn prints(&mut self, line: &str) -> String {
        const END: &str = "-- end --\n";
        self.does(&format!("{line}; echo; echo '{}'", END.trim()));
        let mut text = String::new();
        while !text.ends_with(END) {
            let length = self.output.read_line(&mut text).expect("a pipe");
            assert!(length > 0, "the shell has ended: {text}");
        }
        text.truncate(text.len() - END.len());
        text
    }

    /// What doctor finds of this name, asked by these words.
    #[track_caller]
    fn finds_by(&mut self, clonebox: &str, name: &str) -> Value {
        let text = self.prints(&format!("{clonebox} doctor --json"));
        let diagnosis: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let mut findings = diagnosis["findings"].as_array().expect("a list").iter();
        let found = findings.find(|finding| finding["name"] == name);
        found
            .unwrap_or_else(|| panic!("nothing is called {name}: {diagnosis:#}"))
            .clone()
    }

    #[track_caller]
    fn finds(&mut self, name: &str) -> Value {
        self.finds_by("\"$BOX\"", name)
    }

    /// The advice about what is not as it should be.
    #[track_caller]
    fn advice(&mut self, name: &str) -> String {
        let finding = self.finds(name);
        assert_ne!(finding["health"], "ok", "{finding:#}");
        finding["fix"].as_str().expect("a way out").to_owned()
    }

    #[track_caller]
    fn is_well(&mut self, name: &str) {
        let finding = self.finds(name);
        assert_eq!(finding["health"], "ok", "{finding:#}");
    }

    /// Follows the advice, which is a command.
    #[track_caller]
    fn is_cured(&mut self, name: &str, advice: &str) {
        assert_eq!(self.advice(name), advice);
        self.does(advice);
        self.is_well(name);
    }
}

impl Drop for Patient {
    fn drop(&mut self) {
        let _ = writeln!(self.input, "exit");
        let _ = self.shell.wait();
    }
}

const ALL: &str = "--cap-add=ALL";

tests! {
    fn user_namespaces_can_be_made_again() needs [Userns] {
        let mut patient = Patient::in_box(&[&alone()[..], &[ALL]].concat());
        patient.does("echo 0 >/proc/sys/user/max_user_namespaces");
        assert!(patient.advice("user namespace").contains("sysctl user.max_user_namespaces=10000"));
        patient.is_cured("user.max_user_namespaces", "sysctl user.max_user_namespaces=10000");
        patient.is_well("user namespace");
    }

    fn what_keeps_user_namespaces_from_others_is_turned_off() needs [Root] {
        let directory = files::directory();
        let settings = directory.path().display();
        let mut patient = Patient::in_box(&[ALL]);
        // Of a kernel of Debian's and of Ubuntu's, as that of this machine may not be.
        patient.does(&format!("cd /proc/sys/kernel; for name in *; do cat $name >{settings}/$name 2>/dev/null; done; cd /"));
        patient.does(&format!("echo 0 >{settings}/unprivileged_userns_clone"));
        patient.does(&format!("echo 1 >{settings}/apparmor_restrict_unprivileged_userns"));
        patient.does(&format!("mount --bind {settings} /proc/sys/kernel"));
        for (name, advice) in [
            ("kernel.unprivileged_userns_clone", "sysctl kernel.unprivileged_userns_clone=1"),
            ("kernel.apparmor_restrict_unprivileged_userns", "sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
        ] {
            patient.is_cured(name, advice);
        }
    }

    fn programs_can_be_executed_from_memory_again() needs [Root, MemfdNoexec] {
        let mut patient = Patient::in_box(&[ALL]);
        patient.is_well("init");
        patient.does("echo 2 >/proc/sys/vm/memfd_noexec");
        let advice = "nothing may be executed from memory here: sysctl vm.memfd_noexec=1";
        assert_eq!(patient.advice("init"), advice);
        patient.does("sysctl vm.memfd_noexec=1");
        patient.is_well("init");
    }

    fn enough_files_can_be_open_again() needs [Box] {
        let mut patient = Patient::outside();
        patient.does("ulimit -S -n 7");
        for name in ["init", "overlay"] {
            assert_eq!(patient.advice(name), "this process may have 7 files open (RLIMIT_NOFILE): raise ulimit -n");
        }
        patient.does("ulimit -S -n 64");
        patient.is_well("init");
    }

    fn proc_is_mounted_again() needs [Root] {
        let mut patient = Patient::in_box(&[ALL]);
        patient.does("while umount -l /proc 2>/dev/null; do :; done");
        patient.is_cured("/proc", "mount -t proc proc /proc");
    }

    fn a_hierarchy_of_cgroups_is_mounted_again() needs [Root] {
        let mut patient = Patient::in_box(&[ALL]);
        patient.does("while umount -l /sys/fs/cgroup 2>/dev/null; do :; done");
        patient.is_cured("layout", "mount -t cgroup2 cgroup2 /sys/fs/cgroup");
    }

    fn a_chroot_becomes_a_root() needs [Root, Execveat] {
        let directory = files::directory();
        let root = directory.path().join("root");
        for name in ["proc", "sys", "dev", "tmp"] {
            fs::create_dir_all(root.join(name)).expect("it is ours");
        }
        fs::copy(binary(), root.join("clonebox")).expect("it is ours");
        let root = root.display();
        let mut patient = Patient::in_box(&[ALL]);
        patient.does(&format!("mount -t proc proc {root}/proc"));
        let finding = patient.finds_by(&format!("chroot {root} /clonebox"), "root");
        assert_eq!(finding["health"], "limited", "{finding:#}");
        let advice = finding["fix"].as_str().expect("a way out");
        assert!(advice.ends_with("as clonebox --rootfs DIRECTORY does"), "{advice}");
        let instead = format!("\"$BOX\" --rootfs {root} -- /clonebox");
        assert_eq!(patient.finds_by(&instead, "root")["health"], "ok");
    }

    fn set_user_id_has_its_effect_with_new_privileges() needs [Box] {
        Patient::outside().is_well("set-user-id");
        let advice = Patient::in_box(&[]).advice("set-user-id");
        assert!(advice.contains("a box with --allow-new-privs"), "{advice}");
        Patient::in_box(&["--allow-new-privs"]).is_well("set-user-id");
    }

    fn without_a_filter_there_is_none() needs [Box, Seccomp, Unfiltered] {
        let advice = Patient::in_box(&["--seccomp=default"]).advice("seccomp filter");
        assert!(advice.contains("that box with --seccomp off"), "{advice}");
        Patient::in_box(&["--seccomp=off"]).is_well("seccomp filter");
    }

    fn capabilities_are_had_that_were_left() needs [Userns] {
        let of = |options: &[&str]| Patient::in_box(&[&alone()[..], options].concat());
        let advice = of(&[]).advice("capabilities");
        assert!(advice.starts_with("start clonebox as root, or give its container --privileged"), "{advice}");
        let advice = of(&[ALL, "--cap-drop=KILL"]).advice("capabilities");
        assert!(advice.contains("leave it CAP_KILL: of a container, --cap-add"), "{advice}");
        of(&[ALL]).is_well("capabilities");
    }

    fn a_proc_of_which_parts_are_covered_is_uncovered() needs [Root, Execveat] {
        let root = Root::new();
        let (program, volume) = ("/clonebox", format!("{}:/clonebox:ro", binary().display()));
        let finds = |options: &[&str]| {
            let words = ["--rootfs", root.text(), "--tmpfs", "/tmp", "-v", &volume];
            let doctor = ["--", program, "doctor", "--json"];
            let ran = crate::support::clonebox::run([&words[..], options, &doctor].concat());
            let diagnosis: Value = serde_json::from_str(&ran.stdout()).expect("JSON");
            let mut findings = diagnosis["findings"].as_array().expect("a list").iter();
            findings.find(|one| one["name"] == "/proc").expect("a finding").clone()
        };
        let covered = finds(&[]);
        assert!(covered["fix"].as_str().is_some_and(|fix| fix.contains("start outside of that container, or with its privileges")), "{covered:#}");
        assert_eq!(finds(&["--security-opt", "systempaths=unconfined"])["health"], "ok");
    }

    fn a_directory_for_temporary_files_is_set() needs [Box] {
        let directory = files::directory();
        let mut patient = Patient::in_box(&[]);
        patient.does(&format!("export TMPDIR={}/none", directory.path().display()));
        let advice = patient.advice("overlay");
        assert_eq!(advice, "set TMPDIR to a directory that this user may write to");
        patient.does(&format!("TMPDIR={}", directory.path().display()));
        let finding = patient.finds("overlay");
        assert!(finding["fix"].as_str() != Some(&advice), "{finding:#}");
    }

    fn pasta_is_found_where_it_has_been_installed() needs [Box] {
        let directory = files::directory();
        let mut patient = Patient::in_box(&[]);
        patient.does(&format!("PATH=/none:{}", directory.path().display()));
        assert_eq!(patient.advice("pasta network"), "apt install passt");
        let script = "#!/bin/sh\necho $$ >/proc/self/fd/2\nread line <\"${0%/*}/pipe\"\n";
        nix::unistd::mkfifo(&directory.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        files::executable(directory.path(), "pasta", script);
        let finding = patient.finds("pasta network");
        assert_ne!(finding["fix"], "apt install passt", "{finding:#}");
    }

    fn ranges_of_ids_are_given_and_mapped() needs [Root, Debian] {
        let debian = std::env::var("CLONEBOX_TEST_DEBIAN").expect("it is there");
        let volume = format!("{}:/usr/local/bin/clonebox:ro", binary().display());
        let mut patient = Patient::in_box(&["--allow-new-privs", "--rootfs-overlay", &debian, "-v", &volume]);
        patient.does("useradd --create-home ada; sed -i /ada/d /etc/subuid /etc/subgid; rm -f /usr/bin/newuidmap");
        let ada = "setpriv --reuid=ada --regid=ada --clear-groups clonebox";
        let finding = patient.finds_by(ada, "/etc/subuid");
        let advice = finding["fix"].as_str().expect("a way out").to_owned();
        assert_eq!(advice, "usermod --add-subuids 100000-165535 ada, with a range that is free");
        let (command, _) = advice.split_once(',').expect("a command");
        patient.does(command);
        let finding = patient.finds_by(ada, "/etc/subuid");
        assert_eq!(finding["detail"], "gives 65536 ids to ada, and nobody maps them", "{finding:#}");
        assert_eq!(finding["fix"], "apt install uidmap");
        // What that installs.
        patient.does("cp /bin/true /usr/bin/newuidmap; chmod 4755 /usr/bin/newuidmap");
        let finding = patient.finds_by(ada, "/etc/subuid");
        assert_eq!((&finding["health"], &finding["detail"]), (&"ok".into(), &"gives 65536 ids to ada".into()));
    }

    fn limits_in_a_box_are_for_whoever_is_outside() needs [NotRoot, Userns] {
        let outside = Patient::outside().finds("memory limit");
        let inside = Patient::in_box(&["--seccomp=off"]).finds("memory limit");
        let expected = match outside["health"].as_str() {
            // A cgroup that was delegated is the user's inside as well.
            Some("ok") => Value::Null,
            _ => "cgroups belong to a user namespace above this one: set the limits outside of it, or delegate one".into(),
        };
        assert_eq!(inside["fix"], expected, "{inside:#}");
    }

    fn sudo_sets_the_limits_that_a_user_cannot() needs [NotRoot, Sudo] {
        let finding = Patient::outside().finds("memory limit");
        let advice = finding["fix"].as_str().unwrap_or_default();
        // A cgroup was delegated.
        if finding["health"] == "ok" {
            return;
        }
        assert!(advice.contains("run with sudo"), "{finding:#}");
        let finding = Patient::outside().finds_by("sudo -n \"$BOX\"", "memory limit");
        assert!(!finding["fix"].to_string().contains("sudo"), "{finding:#}");
    }

    fn more_processes_are_had_where_they_may_be() needs [NotRoot, Userns] {
        let limited = "sh -c 'ulimit -S -u 1 2>/dev/null || ulimit -S -p 1; exec \"$BOX\" \"$@\"' sh";
        let mut patient = Patient::outside();
        let finding = patient.finds_by(limited, "plain box");
        assert_eq!(finding["fix"], "this user may have 1 processes: ulimit -u", "{finding:#}");
        patient.is_well("plain box");
    }
}
