//! What a box leaves open: a line for each thing, in the order of the table of docs/security.md.

#![expect(
    clippy::print_stdout,
    reason = "a probe is a program of its own, which says what it found"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::Command;

use nix::unistd::{AccessFlags, Pid, access};

use super::super::{confined, status::Status};
use super::{check, mounts, number, outside};

/// Looks at everything. The words, `NAME=VALUE`, name what the test has outside.
pub(in super::super) fn run(words: &[OsString]) {
    let words = words
        .iter()
        .filter_map(|word| word.to_str()?.split_once('='));
    let outside: BTreeMap<&str, OsString> =
        words.map(|(name, value)| (name, value.into())).collect();
    identity(&outside);
    processes(&outside);
    files(&outside);
    kernel(&outside);
    others(&outside);
}

fn say(what: &str, found: impl std::fmt::Display) {
    println!("{what}\t{found}");
}

/// Whether it is so.
fn so(what: &str, so: bool) {
    say(what, if so { "yes" } else { "no" });
}

/// Whether it can be done.
fn can<T, E>(what: &str, result: Result<T, E>) {
    so(what, result.is_ok());
}

/// What the kernel says of the process itself.
fn identity(outside: &BTreeMap<&str, OsString>) {
    let status = Status::own();
    let map = fs::read_to_string("/proc/self/uid_map").expect("/proc");
    let user = map.split_whitespace().nth(1).expect("an id");
    say("has, as root, the user id outside", user);
    say("has capabilities", status.set("CapEff").count_ones());
    let gains = status.words("NoNewPrivs") == ["0"];
    so("gets privileges from files that it executes", gains);
    let filters = number(&status.words("Seccomp_filters")[0].into());
    so(
        "has a seccomp filter",
        filters > number(&outside["filters"]),
    );
    let descriptors = fs::read_dir("/proc/self/fd").expect("/proc").count() - 1;
    say("has descriptors", descriptors);
}

fn processes(outside: &BTreeMap<&str, OsString>) {
    let pid = Pid::from_raw(number(&outside["process"]) as i32);
    can(
        "signals processes of the host",
        nix::sys::signal::kill(pid, None),
    );
    let nested = Command::new("/proc/self/exe")
        .args(["__probe", "nest"])
        .output();
    let nested = nested.is_ok_and(|output| output.stdout == b"fine\n");
    so("makes user namespaces", nested);
}

fn files(outside: &BTreeMap<&str, OsString>) {
    can("reads files of the host", fs::File::open(&outside["file"]));
    can(
        "writes files of the host's root",
        mounts::open_to_write(&outside["secret"]),
    );
    can(
        "writes to its own root directory",
        access("/", AccessFlags::W_OK),
    );
    let device = fs::metadata("/dev").map(|found| found.dev().to_string());
    let host = device.is_ok_and(|device| *device == *outside["dev"]);
    so("sees the devices of the host", host);
}

fn kernel(outside: &BTreeMap<&str, OsString>) {
    // SAFETY: the string is constant, and the descriptor goes with the process.
    can(
        "makes mounts",
        check(unsafe { libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), 0) }),
    );
    can("makes devices", mounts::make_device(&outside["node"]));
    can(
        "opens kernel.core_pattern for writing",
        mounts::open_to_write(&"/proc/sys/kernel/core_pattern".into()),
    );
    can(
        "opens files in /sys for writing",
        mounts::open_to_write(&"/sys/kernel/rcu_expedited".into()),
    );
}

/// What namespaces of their own keep apart.
fn others(outside: &BTreeMap<&str, OsString>) {
    let port = number(&outside["port"]) as u16;
    can(
        "connects to the host's loopback",
        TcpStream::connect(("127.0.0.1", port)),
    );
    let socket = |name: &OsString| -> io::Result<UnixStream> {
        UnixStream::connect_addr(&SocketAddr::from_abstract_name(name.as_encoded_bytes())?)
    };
    can(
        "connects to abstract Unix sockets",
        socket(&outside["socket"]),
    );
    can(
        "finds the host's System V memory",
        outside::segment(number(&outside["segment"])),
    );
    let key = confined::key(&outside["key"]);
    so("reads the caller's session keys", key == "secret");
}
