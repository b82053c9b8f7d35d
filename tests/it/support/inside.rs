//! What a probe does and says in a box: a line for each thing, in a form of our own.

#![expect(
    clippy::exit,
    clippy::print_stdout,
    reason = "a probe is a program of its own, which prints what it sees"
)]

use std::env;
use std::ffi::OsString;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, exit};
use std::thread;
use std::time::Duration;

use super::probe;

/// Longer than any test takes. What is not ended by then ends by itself.
const LONG: Duration = Duration::from_secs(300);

/// Copies a file to standard output.
pub(super) fn cat(path: &OsString) {
    let bytes = fs::read(path).expect("a file that can be read");
    io::stdout().write_all(&bytes).expect("a reader");
}

/// Adds a byte to a file, which is made if it is missing, and says how long it was.
pub(super) fn append(path: &OsString) {
    let file = OpenOptions::new().append(true).create(true).open(path);
    let mut file = file.expect("a file that can be written to");
    println!("{}", file.metadata().expect("a file").len());
    file.write_all(b"x").expect("a file that can be written to");
}

/// Takes a file's permissions from everybody but its owner.
pub(super) fn close_to_others(path: &OsString) {
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("a file of its own");
}

/// The names in a directory, sorted.
pub(super) fn list(path: &OsString) {
    let entries = fs::read_dir(path).expect("a directory");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    names
        .iter()
        .for_each(|name| println!("{}", name.as_bytes().escape_ascii()));
}

/// What is at each path: kind, mode, device, owner, or the error that a look at it gives.
pub(super) fn stat(paths: &[OsString]) {
    for path in paths {
        let shown = path.display();
        match nix::sys::stat::lstat(path.as_os_str()) {
            Ok(found) => {
                let kind = match found.st_mode & libc::S_IFMT {
                    libc::S_IFCHR => "device",
                    libc::S_IFDIR => "directory",
                    libc::S_IFLNK => "link",
                    _ => "file",
                };
                let device = (libc::major(found.st_rdev), libc::minor(found.st_rdev));
                println!(
                    "{shown} {kind} {:03o} {}:{} {}",
                    found.st_mode & 0o7777,
                    device.0,
                    device.1,
                    found.st_uid
                );
            }
            Err(errno) => println!("{shown} {errno:?}"),
        }
    }
}

/// Makes a file at each path: `made`, or the error.
pub(super) fn try_to_make(paths: &[OsString]) {
    for path in paths {
        let word = match OpenOptions::new().append(true).create(true).open(path) {
            Ok(mut file) => match file.write_all(b"x") {
                Ok(()) => "made".to_owned(),
                Err(error) => errno_of(&error),
            },
            Err(error) => errno_of(&error),
        };
        println!("{word}");
    }
}

fn errno_of(error: &io::Error) -> String {
    let number = error.raw_os_error().expect("an error of the kernel's");
    format!("{:?}", nix::errno::Errno::from_raw(number))
}

/// What leads out of a root filesystem, if anything does: `..` at the root, the working directory, the
/// descriptors.
pub(super) fn root() {
    let root = nix::sys::stat::stat("/").expect("a root");
    let up = nix::sys::stat::stat("/../..").expect("a root");
    println!("{}", (root.st_dev, root.st_ino) == (up.st_dev, up.st_ino));
    println!("{}", env::current_dir().expect("a directory").display());
    descriptors();
}

/// Where symbolic links point to.
pub(super) fn links(paths: &[OsString]) {
    for path in paths {
        println!("{}", fs::read_link(path).expect("a link").display());
    }
}

/// `argv[0]`, and the arguments after the probe's own.
pub(super) fn args() {
    for (index, arg) in env::args_os()
        .enumerate()
        .filter(|(index, _)| !(1..3).contains(index))
    {
        println!("{index} {}", arg.as_bytes().escape_ascii());
    }
}

/// The environment.
pub(super) fn environment() {
    for (name, value) in env::vars_os() {
        println!(
            "{}={}",
            name.as_bytes().escape_ascii(),
            value.as_bytes().escape_ascii()
        );
    }
}

/// The numbers of the open descriptors, without the one that looks.
pub(super) fn descriptors() {
    let entries = fs::read_dir("/proc/self/fd").expect("/proc");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut numbers: Vec<i32> = names
        .map(|name| name.to_str().expect("digits").parse().expect("a number"))
        .collect();
    numbers.sort_unstable();
    // SAFETY: the call takes numbers and touches no memory.
    numbers.retain(|&number| unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0);
    numbers.iter().for_each(|number| println!("{number}"));
}

/// The file mode creation mask.
pub(super) fn umask() {
    let mask = nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    println!("{:03o}", mask.bits());
}

/// The nice value.
pub(super) fn nice() {
    // SAFETY: the call takes numbers and touches no memory.
    println!("{}", unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) });
}

/// The clocks of a time namespace, in seconds.
pub(super) fn clocks() {
    use nix::time::{ClockId, clock_gettime};
    for clock in [ClockId::CLOCK_MONOTONIC, ClockId::CLOCK_BOOTTIME] {
        println!("{}", clock_gettime(clock).expect("a clock").tv_sec());
    }
}

/// Talks to itself through the loopback device.
pub(super) fn loopback() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = listener.local_addr().expect("an address");
    println!(
        "{}",
        if TcpStream::connect(address).is_ok() {
            "up"
        } else {
            "down"
        }
    );
}

/// Looks for a way to a network. The address is of none: RFC 5737.
pub(super) fn network() {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    match socket.connect("192.0.2.1:9") {
        Ok(()) => println!("a way out"),
        Err(error) => println!("{:?}", error.kind()),
    }
}

/// Says hello to the first who comes to this port.
pub(super) fn serve(port: &OsString) {
    let listener = TcpListener::bind(("0.0.0.0", number(port))).expect("an address");
    let (mut stream, _) = listener.accept().expect("a visitor");
    stream.write_all(b"hello\n").expect("it listens");
    // What it has not heard yet would be lost with the box.
    stream.shutdown(Shutdown::Write).expect("it listens");
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Sends each datagram that comes to this port back.
pub(super) fn echo(port: &OsString) -> ! {
    let socket = UdpSocket::bind(("0.0.0.0", number(port))).expect("an address");
    let mut bytes = [0; 64];
    loop {
        let (length, sender) = socket.recv_from(&mut bytes).expect("a datagram");
        let _ = socket.send_to(&bytes[..length], sender);
    }
}

/// What is said at this port of the loopback, if somebody listens there before long.
pub(super) fn fetch(port: &OsString) {
    let mut last = None;
    for _ in 0..50 {
        match TcpStream::connect(("127.0.0.1", number(port))) {
            Ok(mut stream) => {
                io::copy(&mut stream, &mut io::stdout()).expect("both ends");
                return;
            }
            Err(error) => last = Some(error.kind()),
        }
        thread::sleep(Duration::from_millis(20));
    }
    println!("{:?}", last.expect("it was tried"));
}

fn number(word: &OsString) -> u16 {
    word.to_str().expect("UTF-8").parse().expect("a number")
}

/// Standard input to standard output.
pub(super) fn copy() {
    io::copy(&mut io::stdin(), &mut io::stdout()).expect("both ends");
}

/// Standard input to a file of this mode.
///
/// An executable is written by a process of its own: a descriptor that is open for writing when
/// another thread forks would make its execve(2) fail with ETXTBSY.
pub(super) fn write(path: &OsString, mode: &OsString) {
    let mode = u32::from_str_radix(mode.to_str().expect("UTF-8"), 8).expect("octal digits");
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).expect("input");
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .expect("a file");
    file.write_all(&bytes).expect("room");
    file.set_permissions(Permissions::from_mode(mode))
        .expect("a file of ours");
}

/// Sends a signal to itself.
pub(super) fn raise(number: &OsString) {
    let number = number.to_str().expect("UTF-8").parse().expect("a number");
    // SAFETY: the call takes a number; what the signal does is what the test wants.
    unsafe { libc::raise(number) };
}

/// Ends by a fault, which not even a PID 1 can ignore.
pub(super) fn fault() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is ours; a process without a limit for it leaves no core file.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw mut limit) };
    // SAFETY: nothing is mapped at this address: the process ends here, as it should.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
}

/// Uses so many MiB of memory.
pub(super) fn eat(mebibytes: &OsString) {
    let count: usize = mebibytes
        .to_str()
        .and_then(|word| word.parse().ok())
        .expect("a number");
    let mut kept = Vec::new();
    for _ in 0..count {
        kept.push(vec![1u8; 1 << 20]);
    }
    println!("{}", kept.len());
}

/// Starts processes until it is refused: how many.
pub(super) fn forks() {
    let mut children = Vec::new();
    while children.len() < 150 {
        let mut command = Command::new(probe::path());
        match command
            .args(["__probe", "copy"])
            .stdin(std::process::Stdio::piped())
            .spawn()
        {
            Ok(child) => children.push(child),
            Err(_) => break,
        }
    }
    println!("{}", children.len());
    for mut child in children {
        drop(child.kill());
        drop(child.wait());
    }
}

/// Leaves behind processes that replace each other all the time, so that whoever has looked for one finds it gone.
/// What nobody ends ends by itself.
pub(super) fn bomb() {
    const CHAINS: usize = 16;
    const LIFE: Duration = Duration::from_secs(30);
    /// Until all chains are under way.
    const BEGINNING: Duration = Duration::from_millis(300);
    let end = std::time::Instant::now() + LIFE;
    // SAFETY: this process has one thread.
    let fork = || unsafe { libc::fork() };
    if fork() != 0 {
        thread::sleep(BEGINNING);
        return;
    }
    // All are orphans of this one, which nobody has to wait for: signal(7).
    // SAFETY: the call takes nothing and touches no memory.
    unsafe { libc::setsid() };
    // SAFETY: the call takes numbers.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let mut chain = true;
    for _ in 0..CHAINS {
        chain = fork() == 0;
        if chain {
            break;
        }
    }
    while chain && std::time::Instant::now() < end {
        if fork() > 0 {
            // SAFETY: nothing is left to be done.
            unsafe { libc::_exit(0) };
        }
    }
    thread::sleep(end.saturating_duration_since(std::time::Instant::now()));
    // SAFETY: nothing is left to be done.
    unsafe { libc::_exit(0) };
}

/// Uses processor time, for two seconds.
pub(super) fn spin() {
    let begin = std::time::Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        std::hint::spin_loop();
    }
}

/// Says that it runs, and stays.
pub(super) fn stay() {
    println!("ready");
    thread::sleep(LONG);
}

/// A child in a session of its own that has a child; all of them stay. `marker` is among their words.
pub(super) fn family(marker: &OsString) {
    let mut command = Command::new(probe::path());
    let child = command.args(["__probe", "child"]).arg(marker).spawn();
    drop(child.expect("a child"));
    stay();
}

/// The same, and leaves them behind when the last one says that it runs.
#[expect(
    clippy::zombie_processes,
    reason = "it is for somebody else to end them"
)]
pub(super) fn family_and_leave(marker: &OsString) {
    let mut command = Command::new(probe::path());
    command.args(["__probe", "child"]).arg(marker);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a child");
    let mut word = [0; 6];
    let stdout = child.stdout.as_mut().expect("a pipe");
    stdout
        .read_exact(&mut word)
        .expect("a word of the last one");
    println!("left");
}

/// The middle of a family.
pub(super) fn child(marker: &OsString) {
    // SAFETY: the call takes nothing and touches no memory.
    unsafe { libc::setsid() };
    let mut command = Command::new(probe::path());
    drop(command.args(["__probe", "stay"]).arg(marker).status());
}

/// Uses 64 MiB of memory, and processor time until there is something to see of it.
pub(super) fn work() {
    let memory = vec![1u8; 64 << 20];
    let used = || {
        let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF);
        usage.expect("the usage").user_time()
    };
    let mut sum = 0u64;
    while used().tv_sec() == 0 && used().tv_usec() < 50_000 {
        sum = memory
            .iter()
            .fold(sum, |sum, &byte| sum.wrapping_add(u64::from(byte)));
    }
    println!("{}", sum > 0);
}

/// Mounts a tmpfs on a directory and prints the mount table.
pub(super) fn mount(directory: &OsString) {
    let target = std::ffi::CString::new(directory.as_bytes()).expect("no NUL");
    let tmpfs = c"tmpfs".as_ptr();
    // SAFETY: the strings live during the call, which writes to none of them.
    let result = unsafe { libc::mount(tmpfs, target.as_ptr(), tmpfs, 0, std::ptr::null()) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    cat(&"/proc/self/mountinfo".into());
}

/// Shares all mounts with whoever copies them, runs a program, and prints its mount table.
pub(super) fn share(command: &[OsString]) {
    // SAFETY: the string is constant, and the call writes to nothing of ours.
    let result = unsafe {
        let flags = libc::MS_REC | libc::MS_SHARED;
        libc::mount(
            std::ptr::null(),
            c"/".as_ptr(),
            std::ptr::null(),
            flags,
            std::ptr::null(),
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    let status = Command::new(&command[0])
        .args(&command[1..])
        .status()
        .expect("a program");
    assert!(status.success(), "{status}");
    println!("outside");
    cat(&"/proc/self/mountinfo".into());
}

/// Becomes a program, with the supplementary groups 5 and 6.
pub(super) fn with_groups(command: &[OsString]) -> ! {
    let groups = [5, 6];
    // SAFETY: the array is as long as the call is told.
    let result = unsafe { libc::setgroups(groups.len(), groups.as_ptr()) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    become_program(command)
}

/// Becomes a program, with CAP_CHOWN inheritable and ambient.
pub(super) fn with_ambient(command: &[OsString]) -> ! {
    use caps::{CapSet, Capability};
    for set in [CapSet::Inheritable, CapSet::Ambient] {
        caps::raise(None, set, Capability::CAP_CHOWN).expect("the capability");
    }
    become_program(command)
}

fn become_program(command: &[OsString]) -> ! {
    let error = Command::new(&command[0]).args(&command[1..]).exec();
    panic!("{}: {error}", Path::new(&command[0]).display());
}

/// Ends with a code.
pub(super) fn leave(code: &OsString) -> ! {
    exit(code.to_str().expect("UTF-8").parse().expect("a number"))
}
