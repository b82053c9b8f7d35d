//! A box that runs, to be joined. It is no child of this process, and ends with it.

use std::fs;
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clonebox::{BoxState, Join, Registry};
use nix::unistd::pipe;
use serde_json::json;

use super::binary;

pub(crate) const NAME: &str = "joined";
/// How long a box may take to start on an emulated processor.
const PATIENCE: Duration = Duration::from_secs(120);

fn state(program: &Path) -> PathBuf {
    program.with_file_name("boxes")
}

fn running(program: &Path) -> Option<Join> {
    let entry = Registry::at(state(program)).find(NAME).ok()?;
    (entry.state() == BoxState::Running).then(|| entry.join().expect("it runs"))
}

/// Starts it, in a directory beside the program: a shell that reads from this process until that ends.
pub(crate) fn start(program: &Path) -> PathBuf {
    let (read, write) = pipe().expect("a pipe");
    nix::fcntl::fcntl(
        &write,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC),
    )
    .expect("it is ours");
    // Its launcher is nobody's child when the shell has gone.
    let script = "exec 3<&0; \"$1\" --name \"$2\" -- /bin/sh -c 'read word' <&3 3<&- &";
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", script, "sh"])
        .arg(binary())
        .arg(NAME)
        .env("CLONEBOX_STATE_DIR", state(program))
        .stdin(Stdio::from(read))
        .stdout(Stdio::null());
    assert!(shell.status().expect("a shell").success());
    // It is open as long as this process is there.
    let _ = write.into_raw_fd();
    let until = Instant::now() + PATIENCE;
    while running(program).is_none() {
        assert!(Instant::now() < until, "the box runs");
        thread::sleep(Duration::from_millis(5));
    }
    state(program)
}

/// It; where there is none, this process as if it were one.
pub(crate) fn join(program: &Path) -> Join {
    running(program).unwrap_or_else(on_paper)
}

fn on_paper() -> Join {
    let directory = tempfile::tempdir().expect("a directory");
    let read = |path: &str| fs::read_to_string(path).expect("/proc");
    let stat = read("/proc/self/stat");
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let start: u64 = fields
        .split(' ')
        .nth(19)
        .and_then(|text| text.parse().ok())
        .expect("a number");
    let namespace = fs::read_link("/proc/self/ns/pid").expect("/proc");
    let record = json!({
        "form": 1,
        "name": NAME,
        "command": [],
        "created_unix_s": 0.0,
        "process": { "pid": std::process::id(), "start_ticks": start, "pidfs_inode": null },
        "boot": read("/proc/sys/kernel/random/boot_id").trim(),
        "pid_namespace": namespace,
        "cgroups": [],
        "detached": true,
    });
    let walls = json!({
        "form": 1,
        "caps": 0,
        "rootfs": false,
        "no_new_privs": true,
        "seccomp": null,
        "landlock": { "paths": [], "connect": [], "bind": [], "strict": false, "devices": [] },
        "rlimits": [],
        "user": [0, 0],
        "login": null,
        "workdir": null,
        "time": null,
    });
    for (suffix, value) in [("box", record), ("walls", walls)] {
        let path = directory.path().join(format!("{NAME}.{suffix}"));
        fs::write(path, format!("{value}\n")).expect("a directory of ours");
    }
    fs::set_permissions(
        directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )
    .expect("it is ours");
    let entry = Registry::at(directory.path()).find(NAME).expect("a record");
    entry.join().expect("this process runs")
}
