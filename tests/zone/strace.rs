//! What the child does is what `--explain` says, call by call: strace(1) is the witness.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clonebox::{HostFacts, Namespace, Origin, Setting, Spec, Tty, compile};
use tempfile::TempDir;

use crate::support::filter;
use crate::support::harness::LAUNCH;
use crate::support::program::Program;
use crate::support::recipe::{A_POOL, RECIPES};
use crate::support::{binary, running, tests};

/// What the options have in common: a name, which is random otherwise.
const NAME: [&str; 2] = ["--name", "traced"];
const PROGRAM: &str = "/bin/true";

tests! {
    fn a_plain_box_does_what_explain_says() needs [Box, Strace, Clone3] {
        compare(&[]);
    }

    // With a thread for its own convenience it would start later, and would have more to be careful about.
    fn the_command_makes_nothing_but_the_box() needs [Box, Strace, Clone3] {
        let traces = TempDir::new().expect("a directory can be made");
        trace(&traces, &[], PROGRAM, &[]);
        let files = fs::read_dir(&traces).expect("it can be listed").count();
        assert_eq!((files, children(traces.path()).len()), (2, 1));
    }

    fn a_box_with_a_user_namespace_does_what_explain_says() needs [Userns, Strace, Clone3] {
        let options = caller_alone();
        compare(&[&options[0], &options[1]]);
    }

    // Of an ordinary user newuidmap(1) has no privilege under strace.
    fn a_box_with_other_ids_than_the_callers_does_what_explain_says() needs [Root, Userns, Strace, Clone3] {
        compare(&["--userns", "auto", "-u", "33:44"]);
    }

    fn a_box_with_mapped_mounts_does_what_explain_says() needs [Idmap, Strace, Clone3] {
        let root = Root::new();
        compare_in(&root, &["--rootfs", &root.path(), "--userns", "auto", "-v", "/tmp:/t:idmap,ro"]);
        compare_in(&root, &["--rootfs-overlay", &root.path(), "--userns", "keep-id", "-v", "/tmp:/t"]);
    }

    fn a_box_with_many_options_does_what_explain_says() needs [Box, Strace, Clone3] {
        compare(&[
            "--hostname", "many", "--ipc", "private", "--net", "none", "--cgroupns", "private", "-w", "/",
            "--umask", "027", "--nice", "19", "--ulimit", "core=0", "--ulimit", "nofile=100:200", "--cap-drop", "ALL",
            "--cap-add", "KILL",
        ]);
    }

    fn a_box_with_an_oom_score_does_what_explain_says() needs [Box, Strace, Clone3] {
        compare(&["--oom-score-adj", "1000"]);
    }

    fn a_box_that_survives_and_shares_does_what_explain_says() needs [Box, Strace, Clone3] {
        compare(&["--survive", "--pid", "host", "--uts", "host", "--allow-new-privs"]);
    }

    fn a_box_of_another_user_does_what_explain_says() needs [Root, Strace, Clone3] {
        compare(&["-u", "1234:1234"]);
    }

    fn a_box_with_its_own_clocks_does_what_explain_says() needs [TimeNamespace, Strace, Clone3] {
        compare(&["--time-offset", "1"]);
    }

    fn a_box_with_a_filter_does_what_explain_says() needs [Box, Seccomp, Strace, Clone3] {
        compare(&["--seccomp", "default", "--seccomp-log"]);
    }

    fn a_box_with_a_filter_and_new_privileges_does_what_explain_says() needs [Box, Seccomp, Strace, Clone3] {
        compare(&["--seccomp", "default", "--allow-new-privs", "--init"]);
    }

    fn a_box_whose_filter_is_traced_does_what_explain_says() needs [Box, Seccomp, Strace, Clone3] {
        compare(&["--seccomp-trace"]);
    }

    fn a_traced_box_with_a_root_filesystem_does_what_explain_says() needs [Root, Ptmx, Seccomp, Strace, Clone3] {
        let root = Root::new();
        compare_in(&root, &["--rootfs", &root.path(), "--tty", "new", "--init", "--seccomp-trace"]);
    }

    fn a_box_on_a_new_terminal_does_what_explain_says() needs [Box, Ptmx, Strace, Clone3] {
        compare(&["--tty", "new"]);
    }

    fn a_box_with_an_init_does_what_explain_says() needs [Box, Strace, Clone3] {
        compare(&["--init"]);
    }

    fn a_box_with_a_root_filesystem_does_what_explain_says() needs [Root, Strace, Clone3] {
        let root = Root::new();
        compare_in(&root, &["--rootfs", &root.path(), "--read-only", "--ipc", "private"]);
    }

    fn a_box_with_an_overlay_and_mounts_does_what_explain_says() needs [Root, Strace, Clone3] {
        let root = Root::new();
        compare_in(&root, &[
            "--rootfs-overlay", &root.path(), "-v", "/proc/self:/a/b:ro", "--tmpfs", "/a/c:size=1m,mode=700",
            "--mount", "type=mqueue,dst=/q", "--tty", "none",
        ]);
    }

    fn a_box_with_a_root_filesystem_and_a_terminal_does_what_explain_says() needs [Root, Ptmx, Strace, Clone3] {
        let root = Root::new();
        compare_in(&root, &["--rootfs", &root.path(), "--tty", "new"]);
    }

    fn a_box_with_a_root_filesystem_and_a_user_namespace_does_what_explain_says() needs [Userns, Strace, Clone3] {
        let root = Root::new();
        let options = caller_alone();
        compare_in(&root, &["--rootfs", &root.path(), &options[0], &options[1], "--tmpfs", "/t"]);
    }

    fn a_box_with_mounts_on_the_callers_root_does_what_explain_says() needs [Box, Strace, Clone3] {
        compare(&["--tmpfs", "/sys", "-v", "/:/sys/root:ro"]);
    }

    fn a_box_whose_paths_are_walked_does_what_explain_says() needs [Root, Seccomp, Strace, Clone3] {
        let root = Root::new();
        let path = root.path();
        // Of this process, and so of all that it starts.
        filter::refuse(&[libc::SYS_openat2], libc::ENOSYS);
        compare_in(&root, &["--rootfs", &path, "-v", "/tmp:/a/b/c/d", "-v", "/usr:/a/b/e:ro", "--tmpfs", "/a/f"]);
        compare_in(&root, &["--rootfs-overlay", &path, "--mount", "type=mqueue,dst=/q/r", "--ipc", "private"]);
        let plan = explained(&["--rootfs", &path], "/nothing");
        assert!(!plan.iter().any(|call| call.starts_with("openat2(")), "{plan:#?}");
        // The one before Linux 5.6 has no mount_setattr(2) either.
        filter::refuse(&[libc::SYS_mount_setattr], libc::ENOSYS);
        compare_in(&root, &["--rootfs", &path, "--read-only", "-v", "/usr:/a/b/e:ro", "-v", "/proc/version:/a/g:ro"]);
    }

    fn a_box_with_a_root_in_memory_does_what_explain_says() needs [Root, Strace, Clone3] {
        compare(&["--rootfs", "system"]);
        compare(&["--rootfs", "system", "--read-only", "--tmpfs", "/var/tmp"]);
    }

    fn a_box_that_joins_a_network_does_what_explain_says() needs [Root, Strace, Clone3] {
        compare(&["--net", "/proc/self/ns/net"]);
    }

    fn a_box_of_a_user_with_groups_does_what_explain_says() needs [Root, Strace, Clone3] {
        let root = Root::new();
        let etc = Path::new(&root.path()).join("etc");
        fs::create_dir(&etc).expect("a directory of ours");
        fs::write(etc.join("passwd"), "web:x:33:44::/srv:").expect("a directory of ours");
        fs::write(etc.join("group"), "adm:x:7:web\nstaff:x:9:web").expect("a directory of ours");
        compare_in(&root, &["--rootfs", &root.path(), "-u", "web"]);
    }

    fn a_box_with_limits_does_what_explain_says() needs [Limits, Strace, Clone3] {
        compare(&["--pids-limit", "50", "-m", "64m", "--cgroupns", "private"]);
    }

    fn a_box_with_landlock_does_what_explain_says() needs [Box, Strace, Clone3, Landlock] {
        compare(&["--ll-exec", "/", "--ll-rw", "/tmp", "--ll-ro", "/dev/null"]);
    }

    fn a_box_that_sees_its_limits_does_what_explain_says() needs [Root, Limits, Strace, Clone3] {
        let root = Root::new();
        let words = ["mask=/proc/tty:/proc/version", "unmask=/proc/sys"];
        compare_in(&root, &["--rootfs", &root.path(), "-m", "64m", "--security-opt", words[0], "--security-opt", words[1]]);
    }

    fn a_box_without_user_namespaces_inside_does_what_explain_says() needs [Userns, Strace, Clone3] {
        let [uids, gids] = caller_alone();
        compare(&[&uids, &gids, "--disable-userns"]);
    }

    fn a_template_and_its_boxes_do_what_their_plans_say() needs [Root, Strace, Clone3, MountSetattr] {
        for recipe in RECIPES.iter().filter(|recipe| recipe.is_template() && !recipe.needs_terminal()) {
            compare_launched(recipe.name);
        }
    }

    fn a_box_of_a_pool_does_what_its_plan_says_until_it_stands() needs [Box, Execveat, Strace, Clone3] {
        compare_launched(A_POOL);
    }

    // An ordinary user's strace cannot read the memory of a launcher that joins a box.
    fn a_program_that_joins_a_box_does_what_explain_says() needs [Root, Box, Execveat, Strace, Clone3] {
        for options in [&[][..], &["-w", "/dev", "--cap-drop", "ALL", "--nice", "19"]] {
            compare_joining(options);
        }
    }

    fn a_search_through_path_is_what_explain_says() needs [Box, Strace, Clone3] {
        let path = "PATH=/nonexistent/1::/nonexistent/2:/bin";
        assert_fits(&traced(&["-e", path], "true", &[]), &explained(&["-e", path], "true"));
    }

    fn a_plain_box_without_clone3_does_what_its_plan_says() needs [Box, Strace] {
        compare_without_clone3(&[], |_| {});
    }

    fn a_box_with_options_without_clone3_does_what_its_plan_says() needs [Userns, Strace] {
        let [uids, gids] = caller_alone();
        compare_without_clone3(&[&uids, &gids, "--net", "none", "--init"], |spec| {
            for word in caller_alone() {
                let (option, mapping) = word.split_once('=').expect("two words");
                let mapping = Setting::default_of(mapping.parse().expect("a good range"));
                match option {
                    "--uidmap" => spec.namespaces.uid_mappings.push(mapping),
                    _ => spec.namespaces.gid_mappings.push(mapping),
                }
            }
            spec.namespaces.net.value = Namespace::Private.into();
            spec.init = Some(Origin::Default);
        });
    }
}

/// A root filesystem with a program in it.
struct Root(Program);

impl Root {
    fn new() -> Self {
        Self(Program::new())
    }

    fn path(&self) -> String {
        let path = self.0.path();
        let root = path.parent().expect("a path");
        root.to_str().expect("UTF-8").to_owned()
    }
}

/// The same as [`compare`], with the program of a root filesystem.
#[track_caller]
fn compare_in(root: &Root, options: &[&str]) {
    let program = root.0.path();
    let name = program.file_name().expect("a path").to_str();
    let program = format!("/{}", name.expect("UTF-8"));
    let announced = explained(options, &program);
    assert_fits(&traced(options, &program, &[]), &announced);
}

/// Compares two runs of the command, one that explains and one that is watched.
#[track_caller]
fn compare(options: &[&str]) {
    assert_fits(&traced(options, PROGRAM, &[]), &explained(options, PROGRAM));
}

/// The same where clone3(2) is missing, which `--explain` does not try out: the plan is the library's.
#[track_caller]
fn compare_without_clone3(options: &[&str], describe: fn(&mut Spec)) {
    let mut spec = Spec::new(PROGRAM);
    spec.name = Some(Setting::default_of("traced".to_owned()));
    spec.tty = Setting::default_of(Tty::Auto);
    // As many variables as the traced run has.
    let variable = ("CLONEBOX_STATE_DIR".into(), Some("".into()));
    spec.env.changes.push(Setting::default_of(variable));
    describe(&mut spec);
    let facts = HostFacts {
        clone3: false,
        ..HostFacts::gather(&spec)
    };
    let plan = compile(&spec, &facts).expect("a good description");
    let missing = ["-e", "inject=clone3:error=ENOSYS"];
    assert_fits(&traced(options, PROGRAM, &missing), &calls(&plan.to_json()));
}

/// Watches this binary while it makes a template or a pool and launches a box of it.
#[track_caller]
fn compare_launched(name: &str) {
    let directory = TempDir::new().expect("a directory can be made");
    let mut command = Command::new("strace");
    command
        .args(["-ff", "-s", "4096", "-o"])
        .arg(directory.path().join("trace"))
        .arg(std::env::current_exe().expect("this binary has a path"))
        .args([LAUNCH, name]);
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("strace can be started");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let plans: Vec<serde_json::Value> =
        serde_json::from_slice(&output.stdout).expect("an array of plans");
    let children = children(directory.path());
    // What is not a template's was started before, to see whether clone3(2) works.
    let own = &children[children.len() - plans.len()..];
    for (child, plan) in own.iter().zip(&plans) {
        assert_fits(&made(child), &calls(plan));
    }
}

/// Compares two runs of `clonebox exec`, one that explains and one that is watched.
#[track_caller]
fn compare_joining(options: &[&str]) {
    let (program, directory) = (
        Program::new(),
        TempDir::new().expect("a directory can be made"),
    );
    let state = running::start(&program.path());
    let words = [&["exec"], options, &[running::NAME, "--", PROGRAM]].concat();
    let run = |command: &mut Command| {
        let command = command.env("CLONEBOX_STATE_DIR", &state);
        let output = command
            .stdin(Stdio::null())
            .output()
            .expect("it can be started");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        output.stdout
    };
    let explained = run(Command::new(binary())
        .args(["exec", "--explain=json"])
        .args(&words[1..]));
    let mut strace = Command::new("strace");
    strace
        .args(["-ff", "-s", "4096", "-o"])
        .arg(directory.path().join("trace"));
    run(strace.arg(binary()).args(&words));
    let made = made(children(directory.path()).first().expect("a clone"));
    let plan = serde_json::from_slice(&explained).expect("JSON");
    assert_fits(&made, &calls(&plan));
}

/// The calls that the command announces.
fn explained(options: &[&str], program: &str) -> Vec<String> {
    let mut command = Command::new(binary());
    // As many variables as the traced run has.
    command.env("CLONEBOX_STATE_DIR", "");
    command
        .args(NAME)
        .arg("--explain=json")
        .args(options)
        .args(["--", program]);
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the command can be started");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    calls(&serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn calls(plan: &serde_json::Value) -> Vec<String> {
    let steps = plan["steps"].as_array().expect("there are steps");
    steps
        .iter()
        .map(|step| step["call"].as_str().expect("a call").to_owned())
        .collect()
}

/// The calls that the child makes, from the clone to the execve that succeeds.
fn traced(options: &[&str], program: &str, more: &[&str]) -> Vec<String> {
    let traces = TempDir::new().expect("a directory can be made");
    trace(&traces, options, program, more);
    made(children(traces.path()).first().expect("a clone"))
}

/// Watches the command, and leaves the trace of each of its processes and threads in a directory.
fn trace(traces: &TempDir, options: &[&str], program: &str, more: &[&str]) {
    // A file for each process: no line is cut by another's.
    let prefix = traces.path().join("trace");
    let mut command = Command::new("strace");
    command
        .args(["-ff", "-s", "4096", "-o"])
        .arg(&prefix)
        .args(more);
    // Other tests have boxes of this name at the same time.
    let state = tempfile::tempdir().expect("a directory");
    command.env("CLONEBOX_STATE_DIR", state.path().join("boxes"));
    command
        .arg(binary())
        .args(NAME)
        .args(options)
        .args(["--", program]);
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("strace can be started");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The calls in a child's trace until it leaves: by the execve that succeeds, or by its end.
fn made(file: &Path) -> Vec<String> {
    let trace = fs::read_to_string(file).expect("the child's trace");
    let mut made = Vec::new();
    for line in trace.lines() {
        let (call, result) = line.rsplit_once(" = ").unwrap_or((line, "?"));
        made.push(in_our_words(call.trim_end()));
        if call.starts_with("execve") && result == "0" || call.starts_with("exit_group") {
            return made;
        }
    }
    panic!("it has not left:\n{trace}");
}

/// A call without what differs between versions of strace.
fn in_our_words(call: &str) -> String {
    // A number that two ioctls share.
    let call = call.replace("SNDCTL_TMR_START or TCSETS", "TCSETS");
    // Of Landlock strace learns what is new later than the kernel.
    let new = "LANDLOCK_ACCESS_FS_TRUNCATE|LANDLOCK_ACCESS_FS_IOCTL_DEV";
    let call = call.replace("0xc000", new);
    // As it does of open_tree(2).
    let call = match call.strip_suffix("|0x2)") {
        Some(known) if call.starts_with("open_tree(") => {
            let known = known.replace("OPEN_TREE_CLOEXEC", "OPEN_TREE_NAMESPACE|OPEN_TREE_CLOEXEC");
            format!("{known})")
        }
        _ => call,
    };
    match call.split_once(", ...}") {
        Some((known, rest)) if call.starts_with("landlock_create_ruleset") => {
            let later = ", handled_access_net=0, scoped=LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET|LANDLOCK_SCOPE_SIGNAL";
            format!("{known}{later}}}{rest}")
        }
        _ => call,
    }
}

/// The traces of the processes that were cloned into shared memory, in that order.
fn children(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).expect("it can be listed");
    for file in files {
        let text = fs::read_to_string(file.expect("it can be listed").path()).expect("text");
        let clones = text
            .lines()
            .filter(|line| line.starts_with("clone") && line.contains("CLONE_VM|"));
        // One that tells nobody of its end only has a user namespace made, for mounts.
        let children = clones.filter_map(|line| {
            let pid = line.rsplit_once(" = ")?.1;
            let is_box = line.contains("CLONE_PIDFD") && line.contains("SIGCHLD");
            pid.parse::<u32>().ok().filter(|_| is_box)
        });
        let children: Vec<_> = children
            .map(|pid| directory.join(format!("trace.{pid}")))
            .collect();
        if !children.is_empty() {
            return children;
        }
    }
    let traces = fs::read_dir(directory)
        .expect("it can be listed")
        .map(|file| {
            let path = file.expect("it can be listed").path();
            let text = fs::read_to_string(&path).unwrap_or_default();
            format!("{}:\n{text}", path.display())
        });
    panic!("nothing was cloned:\n{}", traces.collect::<String>());
}

/// Fails unless the calls are those announced, no more, no fewer, in this order.
#[track_caller]
fn assert_fits(made: &[String], announced: &[String]) {
    let missing = String::new();
    let mut wrong = Vec::new();
    for at in 0..made.len().max(announced.len()) {
        let [made, announced] = [made, announced].map(|calls| calls.get(at).unwrap_or(&missing));
        if !fits(made, announced) {
            wrong.push(format!(
                "{:>4} announced {announced}\n     made      {made}",
                at + 1
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Whether a call is the one announced. What cannot be known before stands in angle brackets:
/// descriptors, a process id, the answer of getcwd(2). The environment is shown by its address and size.
fn fits(made: &str, announced: &str) -> bool {
    let announced = announced.replace(", /* ", ", <address> /* ");
    let Some((literal, word, rest)) = unknown(&announced) else {
        return made == announced;
    };
    let Some(made) = made.strip_prefix(literal) else {
        return false;
    };
    let end = match word {
        "buffer" => made
            .strip_prefix('"')
            .and_then(|text| Some(text.find('"')? + 2)),
        "address" => made.find(' '),
        "gate" => made.find(','),
        "struct" => closing_brace(made),
        "filter" => made.find('}'),
        _ => made.find(|c: char| !c.is_ascii_digit()),
    };
    match end {
        None | Some(0) => false,
        Some(end) => fits(&made[end..], rest),
    }
}

/// The end of a structure that begins the text.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at + 1),
            b'}' => depth -= 1,
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The options for a user namespace in which the caller is root, and alone.
fn caller_alone() -> [String; 2] {
    [
        format!("--uidmap=0:{}:1", nix::unistd::geteuid()),
        format!("--gidmap=0:{}:1", nix::unistd::getegid()),
    ]
}

/// The first unknown word: what stands before it, the word, and what comes after.
fn unknown(announced: &str) -> Option<(&str, &str, &str)> {
    announced.match_indices('<').find_map(|(at, _)| {
        let (word, rest) = announced[at + 1..].split_once('>')?;
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        is_word.then_some((&announced[..at], word, rest))
    })
}
