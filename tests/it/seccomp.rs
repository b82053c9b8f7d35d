//! The filter of system calls, as the kernel has it. `tests/filters.rs` looks at what profiles compile to.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use clonebox::SeccompFilter;
use clonebox_seccomp::{Arch, Data, Instruction, calls, run as answer};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::clonebox::{Ran, run};
use crate::support::kernel_log::KernelLog;
use crate::support::rootfs::Root;
use crate::support::status::Status;
use crate::support::{binary, files, probe, run_probe, tests};

/// A file of a test's own.
fn file(name: &str, bytes: impl AsRef<[u8]>) -> (TempDir, String) {
    let directory = files::directory();
    let path: PathBuf = files::write(directory.path(), name, "644", bytes);
    (directory, path.to_str().expect("UTF-8").to_owned())
}

fn number(name: &str) -> u32 {
    let machine = Arch::named(std::env::consts::ARCH).expect("a machine of ours");
    clonebox_seccomp::number(machine, name).expect(name)
}

/// Calls in the words of the probe.
fn called(name: &str, args: &[u64]) -> String {
    let args: String = args.iter().map(|arg| format!(",{arg}")).collect();
    format!("{}{args}", number(name))
}

/// What a box with these options is answered to calls.
fn answers(options: &[&str], calls: &[String]) -> Vec<String> {
    let mut words = vec!["calls"];
    words.extend(calls.iter().map(String::as_str));
    let ran = run_probe(options, &words).succeeds();
    ran.stdout().lines().map(str::to_owned).collect()
}

#[track_caller]
fn refused(option: &str, told: &str) {
    let ran: Ran = run(["--seccomp", option, "--", "/bin/true"])
        .exits_with(125)
        .prints("");
    assert_eq!(
        ran.stderr(),
        format!("clonebox: --seccomp {option}: {told}\n")
    );
}

/// `Seccomp:` of /proc/PID/status: 2 with a filter. The tests themselves may run under one.
fn filters(options: &[&str]) -> usize {
    let count = |status: &Status| {
        status.words("Seccomp_filters")[0]
            .parse::<usize>()
            .expect("a number")
    };
    count(&Status::in_a_box(options)) - count(&Status::own())
}

/// The program of a filter.
fn program(filter: SeccompFilter) -> Vec<Instruction> {
    let template = clonebox::Command::new("/bin/true")
        .seccomp(filter)
        .prepare()
        .expect("a good filter");
    let bytes = template.plan().seccomp_program().expect("a filter");
    bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|one| Instruction::from_bytes(*one))
        .collect()
}

const UNSHARE_USER: u64 = 0x1000_0000;
/// A profile that allows everything but one call.
fn but(rule: &Value) -> String {
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }).to_string()
}

/// One that ends who calls getpriority(2).
fn deadly() -> String {
    with_action("SCMP_ACT_KILL_PROCESS")
}

/// One with an answer of its own to getpriority(2).
fn with_action(action: &str) -> String {
    but(&json!({ "names": ["getpriority"], "action": action }))
}

/// What is told of a program that such a filter has ended.
#[derive(Debug)]
struct Told {
    stderr: String,
    report: Value,
}

fn killed(options: &[&str]) -> Told {
    killed_by(deadly(), options)
}

fn killed_by(profile: String, options: &[&str]) -> Told {
    let (keep, path) = file("deadly.json", profile);
    let report = keep.path().join("report");
    let report_option = format!("--report={}", report.display());
    let options = [&["--seccomp", &path, &report_option], options].concat();
    let ran =
        run_probe(&options, &["calls", &called("getpriority", &[])]).exits_with(128 + libc::SIGSYS);
    let text = std::fs::read_to_string(&report).expect("a report");
    Told {
        stderr: ran.stderr(),
        report: serde_json::from_str(&text).expect("JSON"),
    }
}

tests! {
    fn a_box_of_root_on_the_callers_files_has_no_filter_unless_it_is_asked_for() needs [Root, Seccomp] {
        assert_eq!(filters(&[]), 0);
        assert_eq!(filters(&["--seccomp", "default"]), 1);
        assert_eq!(filters(&["--security-opt", "seccomp=builtin"]), 1);
    }

    fn a_box_with_a_user_namespace_has_one_unless_it_is_turned_off() needs [Userns, Seccomp] {
        assert_eq!(filters(&["--userns", "auto"]), 1);
        assert_eq!(filters(&["--userns", "auto", "--seccomp", "off"]), 0);
        assert_eq!(filters(&["--userns", "auto", "--security-opt", "seccomp=unconfined"]), 0);
    }

    fn a_box_with_a_root_filesystem_has_one() needs [Root, Seccomp] {
        let root = Root::new();
        let status = root.run(&[], &["cat", "/proc/self/status"]).succeeds().stdout();
        assert!(status.contains("\nSeccomp:\t2\n"), "{status}");
        root.run(&["--seccomp", "off", "--init"], &["calls", &called("keyctl", &[0, 0, 0])]).succeeds();
    }

    fn calls_that_a_box_needs_none_of_are_refused() needs [Userns, Seccomp] {
        let calls = [
            called("unshare", &[UNSHARE_USER]), called("setns", &[0, 0]), called("keyctl", &[0]),
            called("bpf", &[0]), called("io_uring_setup", &[0]), called("userfaultfd", &[0]),
            called("perf_event_open", &[0]), called("mount", &[0]), called("clone3", &[0, 0]),
            called("socket", &[40, 1, 0]), called("ioctl", &[0, 0x5412]), called("ioctl", &[0, 0x5412 | 1 << 32]),
            "999".to_owned(), called("getpid", &[]), called("unshare", &[0]),
        ];
        let answers = answers(&["--userns", "auto"], &calls);
        let refused = ["EPERM"; 8];
        let more = ["ENOSYS", "EAFNOSUPPORT", "EPERM", "EPERM", "ENOSYS", "fine", "fine"];
        assert_eq!(answers, [&refused[..], &more].concat());
    }

    fn a_capability_opens_what_it_is_for() needs [Userns, Seccomp] {
        let calls = [called("unshare", &[UNSHARE_USER]), called("clone3", &[0, 0]), called("keyctl", &[0])];
        let answers = answers(&["--userns", "auto", "--cap-add", "SYS_ADMIN"], &calls);
        assert_eq!(answers, ["fine", "EINVAL", "EPERM"]);
    }

    fn programs_of_another_architecture_are_refused_unless_they_are_allowed() needs [Userns, Seccomp] {
        let own = Command::new(probe::path()).args(["__probe", "i386"]).output().expect("this binary");
        if !own.status.success() || own.stdout.starts_with(b"-") {
            return;
        }
        run_probe(&["--userns", "auto"], &["i386"]).succeeds().prints("-38\n");
        run_probe(&["--userns", "auto", "--seccomp-allow-arch", "x86"], &["i386"]).succeeds().prints("1\n");
        run_probe(&["--userns", "auto", "--seccomp", "off"], &["i386"]).succeeds().prints("1\n");
    }

    fn a_box_with_a_filter_may_gain_privileges_if_that_is_allowed() needs [Root, Seccomp] {
        let options = ["--seccomp", "default", "--allow-new-privs"];
        assert_eq!(filters(&options), 1);
        assert_eq!(filters(&["--seccomp", "default", "--allow-new-privs", "-u", "1234"]), 1);
        assert_eq!(answers(&options, &[called("keyctl", &[0])]), ["EPERM"]);
    }

    fn an_ordinary_program_runs_under_the_filter_with_and_without_an_init() needs [Userns, Seccomp] {
        for options in [&["--userns", "auto"][..], &["--userns", "auto", "--init"]] {
            let script = "echo a | cat; (exit 3); echo $?; sleep 0.01 & wait; echo done";
            let options: Vec<&str> = options.iter().copied().chain(["--", "/bin/sh", "-c", script]).collect();
            run(options).succeeds().prints("a\n3\ndone\n").says_nothing_else();
        }
    }

    fn a_profile_in_json_says_what_is_refused() needs [Box, Seccomp] {
        let (_keep, path) = file("profile.json", but(&json!({
            "names": ["getppid"],
            "action": "SCMP_ACT_ERRNO", "errnoRet": 99,
        })));
        let answers = answers(&["--seccomp", &path], &[called("getppid", &[]), called("getpid", &[])]);
        assert_eq!(answers, ["EADDRNOTAVAIL", "fine"]);
        assert_eq!(filters(&["--security-opt", &format!("seccomp={path}")]), 1);
    }

    fn a_profile_as_docker_writes_them_follows_capabilities() needs [Box, Seccomp] {
        let names: Vec<&str> = calls(Arch::named(std::env::consts::ARCH).expect("ours"))
            .map(|(name, _)| name)
            .filter(|name| !["getppid", "getpgid", "personality", "cachestat"].contains(name))
            .collect();
        let profile = json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
            "archMap": [{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] }],
            "syscalls": [
                { "names": names, "action": "SCMP_ACT_ALLOW", "comment": "and s390's own, which is not here" },
                { "names": ["s390_pci_mmio_read"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["s390x"] } },
                { "names": ["getppid"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_CHOWN"], "minKernel": "4.8" } },
                { "names": ["getpgid"], "action": "SCMP_ACT_ALLOW", "excludes": { "caps": ["CAP_CHOWN"] } },
                { "names": ["personality"], "action": "SCMP_ACT_ALLOW",
                  "args": [{ "index": 0, "value": 4294967295u64, "op": "SCMP_CMP_EQ" }] },
            ],
        });
        let (_keep, path) = file("docker.json", profile.to_string());
        let asked = [
            called("getppid", &[]), called("getpgid", &[0]), called("personality", &[0xffff_ffff]),
            called("personality", &[7]), "4000".to_owned(),
        ];
        assert_eq!(answers(&["--seccomp", &path], &asked), ["fine", "EPERM", "fine", "EPERM", "ENOSYS"]);
        let answers = answers(&["--seccomp", &path, "--cap-drop", "CHOWN"], &asked[..2]);
        assert_eq!(answers, ["EPERM", "fine"]);
    }

    fn a_program_of_bpf_is_installed_as_it_is() needs [Box, Seccomp] {
        let op = |code, jt, jf, k| Instruction { code, jt, jf, k }.to_bytes();
        let program = [
            op(0x20, 0, 0, 0), op(0x15, 0, 1, number("getppid")), op(0x06, 0, 0, 0x0005_0063),
            op(0x06, 0, 0, 0x7fff_0000),
        ];
        let (_keep, path) = file("filter.bpf", program.as_flattened());
        let answers = answers(&["--seccomp", &path], &[called("getppid", &[]), called("getpid", &[])]);
        assert_eq!(answers, ["EADDRNOTAVAIL", "fine"]);
    }

    fn what_is_no_filter_is_refused_in_one_line() needs [] {
        refused("/dev/none", "No such file or directory (os error 2) (expected default, off or a file)");
        for (name, bytes, told) in [
            ("empty.bpf", &b""[..], "a filter has 1 to 4096 instructions, not 0"),
            ("seven.bpf", b"1234567", "an instruction has 8 bytes, and the program 7"),
            ("wrong.bpf", b"\xff\0\0\0\0\0\0\0", "instruction 0 is none of a seccomp filter"),
            ("open.bpf", b"\x20\0\0\0\0\0\0\0", "the last instruction is no return"),
            ("empty.json", b"", "EOF while parsing a value at line 1 column 0"),
            ("array.json", b"[]", "a profile is an object"),
            ("none.json", b"{}", "there is no defaultAction"),
        ] {
            let (_keep, path) = file(name, bytes);
            refused(&path, told);
        }
        let long = vec![0u8; 4097 * 8];
        let (_keep, path) = file("long.bpf", long);
        refused(&path, "a filter has 1 to 4096 instructions, not 4097");
        run(["--seccomp-allow-arch", "mips", "--", "/bin/true"])
            .exits_with(125)
            .complains("clonebox: --seccomp-allow-arch mips: expected x86 or arm\n");
        refused("/dev/zero", "the file has more than 4194304 bytes");
    }

    fn a_filter_under_which_nothing_starts_is_refused_before_anything_is_done() needs [Box] {
        for (action, options, program) in [
            ("SCMP_ACT_ERRNO", &[][..], "the program"),
            ("SCMP_ACT_KILL", &[], "the program"),
            ("SCMP_ACT_ERRNO", &["--init"], "the init"),
        ] {
            let (_keep, path) = file("no-exec.json", but(&json!({ "names": ["execve"], "action": action })));
            let options = [&["--seccomp", path.as_str()], options, &["--", "/bin/true"]].concat();
            run(options).exits_with(125).prints("").complains(&format!(
                "clonebox: --seccomp {path}: the filter forbids execve(2), without which {program} does not start\n"
            ));
        }
        let (_keep, path) = file("no-wait.json", but(&json!({ "names": ["wait4"], "action": "SCMP_ACT_ERRNO" })));
        run(["--seccomp", &path, "--init", "--", "/bin/true"])
            .exits_with(125)
            .complains("the filter forbids wait4(2), without which the init does not start");
        run(["--seccomp", &path, "--", "/bin/true"]).succeeds();
    }

    fn a_step_that_the_filter_of_a_box_with_new_privileges_refuses_names_the_filter() needs [Root, Seccomp] {
        let (_keep, path) = file("no-capset.json", but(&json!({ "names": ["capset"], "action": "SCMP_ACT_ERRNO" })));
        run(["--seccomp", &path, "--allow-new-privs", "--", "/bin/true"])
            .exits_with(125)
            .complains("cannot set the capabilities: ")
            .complains(&format!("hint         the seccomp filter (--seccomp {path}) answers so"));
        run(["--seccomp", &path, "--", "/bin/true"]).succeeds();
    }

    fn a_program_that_a_filter_ends_is_reported_so() needs [Box, Seccomp] {
        // Nobody knows the process id of an init's child.
        let told = killed(&["--init"]);
        assert_eq!(
            told.stderr,
            "clonebox: killed by SIGSYS: a system call that the seccomp filter forbids (--seccomp-trace tells which)\n"
        );
        assert_eq!((&told.report["signal"], &told.report["seccomp_killed"]), (&json!(libc::SIGSYS), &json!(true)), "{told:?}");
        assert!(told.report["seccomp_call"].is_null() && told.report.get("seccomp_call").is_some(), "{told:?}");
        // One that is asked first, and has no handler.
        let trapped = killed_by(with_action("SCMP_ACT_TRAP"), &[]);
        assert_eq!((&trapped.stderr, &trapped.report["seccomp_killed"]), (&told.stderr, &json!(true)), "{trapped:?}");
        // A signal of that number without such a filter is something else.
        let options = ["--seccomp", "default", "--pid", "host"];
        run_probe(&options, &["raise", &libc::SIGSYS.to_string()])
            .exits_with(128 + libc::SIGSYS)
            .says_nothing_of("seccomp");
    }

    fn the_call_for_which_a_filter_has_ended_a_program_is_named() needs [Box, Seccomp, KernelLog] {
        let mut told;
        let mut tries = 0;
        loop {
            let mut log = KernelLog::end().expect("the log");
            told = killed(&[]);
            // Of what is logged too often the kernel leaves out some, for seconds: `printk_ratelimit`.
            tries += 1;
            if log.tells_of_a_kill() || tries == 5 {
                break;
            }
            std::thread::sleep(Duration::from_secs(5));
        }
        let (number, arch) = (number("getpriority"), std::env::consts::ARCH);
        assert_eq!(
            told.stderr,
            format!("clonebox: killed by SIGSYS: the seccomp filter forbids getpriority, system call {number} of {arch}\n")
        );
        assert_eq!(told.report["seccomp_call"], json!({ "name": "getpriority", "arch": arch, "number": number }), "{told:?}");
    }

    fn an_exit_code_that_looks_like_sigsys_is_no_killed_program() needs [Box, Seccomp] {
        let (_keep, path) = file("deadly.json", deadly());
        let script = format!("{} __probe calls {}; exit $?", probe::path(), called("getpriority", &[]));
        for init in [&[][..], &["--init"]] {
            let options = [&["--seccomp", &path, "--report", "-"], init, &["--", "/bin/sh", "-c", &script]].concat();
            run(options).exits_with(128 + libc::SIGSYS).says_nothing_of("seccomp").complains("\"signal\":null");
        }
    }

    fn a_filter_that_kills_nothing_opens_no_log() needs [Root, Seccomp, Strace, KernelLog] {
        let opens = |profile: String| {
            let (_keep, path) = file("profile.json", profile);
            let traced = Command::new("strace")
                .args(["-f", "-e", "trace=open,openat"])
                .arg(binary())
                .args(["--seccomp", &path, "--", "/bin/true"])
                .output();
            let traced = traced.expect("strace");
            assert!(traced.status.success(), "{traced:?}");
            String::from_utf8_lossy(&traced.stderr).contains("/dev/kmsg")
        };
        assert!(!opens(with_action("SCMP_ACT_ERRNO")) && !opens(with_action("SCMP_ACT_TRAP")));
        assert!(opens(deadly()));
    }

    fn refused_calls_are_logged_if_that_is_asked_for() needs [Box, Seccomp] {
        let plan = run(["--seccomp", "default", "--seccomp-log", "--explain", "--", "/bin/true"]).succeeds().stdout();
        assert!(plan.contains("seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, {len="), "{plan}");
        run(["--seccomp", "default", "--seccomp-log", "--", "/bin/true"]).succeeds();
    }

    fn the_kernels_log_has_what_is_refused_if_that_is_asked_for() needs [Box, Seccomp, KernelLog] {
        let record = |call| format!(" syscall={} ", number(call));
        let is_told = || {
            let mut log = KernelLog::end().expect("the log");
            assert_eq!(answers(&["--seccomp", "default"], &[called("request_key", &[])]), ["EPERM"]);
            assert_eq!(answers(&["--seccomp", "default", "--seccomp-log"], &[called("add_key", &[])]), ["EPERM"]);
            while let Some(told) = log.next() {
                assert!(!told.contains(&record("request_key")), "{told}");
                if told.contains(&record("add_key")) {
                    return true;
                }
            }
            false
        };
        // Of what is logged too often the kernel leaves out some, for seconds: `printk_ratelimit`.
        let again = || std::thread::sleep(Duration::from_secs(5));
        assert!((0..5).any(|_| is_told() || { again(); false }));
    }

    fn the_filter_is_the_last_step_but_one() needs [] {
        let plan = run(["--seccomp", "default", "--explain", "--", "/bin/true"]).succeeds().stdout();
        let lines: Vec<&str> = plan.lines().rev().collect();
        assert!(lines[0].contains("execve(") && lines[1].contains(" seccomp("), "{plan}");
    }

    fn with_new_privileges_the_filter_comes_before_capabilities_go() needs [] {
        let options = ["--userns", "auto", "--allow-new-privs", "--explain", "--", "/bin/true"];
        let plan = run(options).succeeds().stdout();
        let at = |call: &str| plan.find(call).expect("a step");
        assert!(at(" seccomp(") < at("PR_CAPBSET_DROP") && at(" mount(") < at(" seccomp("), "{plan}");
    }

    fn the_kernel_answers_every_call_as_the_interpreter_of_the_tests_does() needs [Seccomp, Unfiltered] {
        let output = Command::new(probe::path()).args(["__probe", "against-the-kernel"]).output().expect("this binary");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "equal\n", "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn libseccomp_answers_every_call_as_ours_does() needs [Libseccomp] {
        let script = "import json, seccomp, sys\n\
            ops = {'SCMP_CMP_EQ': seccomp.EQ, 'SCMP_CMP_NE': seccomp.NE, 'SCMP_CMP_LT': seccomp.LT, \
                   'SCMP_CMP_LE': seccomp.LE, 'SCMP_CMP_GT': seccomp.GT, 'SCMP_CMP_GE': seccomp.GE, \
                   'SCMP_CMP_MASKED_EQ': seccomp.MASKED_EQ}\n\
            f = seccomp.SyscallFilter(seccomp.ERRNO(1))\n\
            f.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.ERRNO(38))\n\
            for rule in json.load(sys.stdin)['syscalls']:\n\
            \x20   for name in rule['names']:\n\
            \x20       f.add_rule(seccomp.ALLOW, name, *[seccomp.Arg(a['index'], ops[a['op']], a['value'], a.get('valueTwo', 0)) for a in rule.get('args', [])])\n\
            f.export_bpf(sys.stdout)\n";
        let mut rules = vec![json!({ "names": ["execve", "read", "write", "openat", "exit_group", "futex", "mmap"], "action": "SCMP_ACT_ALLOW" })];
        let ops = ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"];
        let names = ["socket", "ioctl", "personality", "unshare", "fcntl", "prctl", "clone"];
        let mut borders = vec![0, u64::MAX];
        // One rule for each: of two with GT for one call libseccomp 2.5.4 does not come to an end.
        let others = ["bind", "connect", "listen", "accept", "getsockname", "getpeername", "shutdown"];
        for (at, (op, names)) in ops.into_iter().zip(names.into_iter().zip(others)).enumerate() {
            for (name, value) in [(names.0, 0x7e02_0000u64 + at as u64), (names.1, (at as u64) << 33 | 5)] {
                borders.extend([value, value - 1, value + 1, value | 1 << 40, value & 0xffff_ffff, value << 32]);
                let args = [json!({ "index": at % 6, "value": value, "valueTwo": value & 0x5555_5555, "op": format!("SCMP_CMP_{op}") }),
                            json!({ "index": (at + 1) % 6, "value": 7, "op": "SCMP_CMP_GE" })];
                rules.push(json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": args }));
            }
        }
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules }).to_string();
        let (_keep, path) = file("rules.json", &profile);
        let input = std::fs::File::open(path).expect("a file");
        let theirs = Command::new("/usr/bin/python3").args(["-c", script]).stdin(input).output().expect("python3");
        assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));
        let theirs: Vec<Instruction> = theirs.stdout.as_chunks::<8>().0.iter().map(|one| Instruction::from_bytes(*one)).collect();
        let filter = SeccompFilter::from_json(profile.as_bytes()).expect("a profile");
        let ours = program(filter);
        let machine = Arch::named(std::env::consts::ARCH).expect("ours");
        let highest = names.iter().chain(&others).map(|name| number(name)).max().expect("some");
        let numbers = (0..=highest).chain([0x4000_0000, 0x4000_0001]);
        let mut compared = 0;
        for nr in numbers {
            for arch in [machine.audit(), 0x4000_0003, 0x4000_0028] {
                for &border in &borders {
                    for rest in [0, 7, 6, u64::MAX] {
                        for index in 0..6 {
                            let mut args = [rest; 6];
                            args[index] = border;
                            let data = Data { nr, arch, instruction_pointer: 0, args };
                            let (one, other) = (answer(&ours, &data), answer(&theirs, &data));
                            let unnamed = one == Some(0x0005_0026) && arch == machine.audit() && nr < 0x4000_0000;
                            // Numbers without a name: ENOSYS with us.
                            assert!(one == other || unnamed && other == Some(0x0005_0001), "{data:x?}: {one:x?} {other:x?}");
                            compared += usize::from(one == other);
                        }
                    }
                }
            }
        }
        assert!(compared > 100_000);
    }
}
