//! Probes about terminals, signals and processes: what they do and say, inside a box or before one.

#![expect(
    clippy::print_stdout,
    reason = "a probe is a program of its own, which prints what it sees"
)]

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use nix::pty::Winsize;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getpgrp, getpid, getsid, tcgetpgrp};

use super::{seccomp, shell};

nix::ioctl_read_bad!(window_size, libc::TIOCGWINSZ, Winsize);

/// Answers a probe of this file: whether there is one of that name.
pub(super) fn run(what: &str, words: &[OsString]) -> bool {
    match what {
        "bytes" => bytes(),
        "flood" => flood(&words[0]),
        "front" => println!("{}", in_front()),
        "hungry" => hungry(),
        "init" => init(),
        "launch-in-thread" => launch_in_thread(&words[0], &words[1], &words[2]),
        "of-user" => of_user(&words[0], &words[1..]),
        "orphans" => orphans(&words[0]),
        "pool" => pool(&words[0], &words[1], words.len() > 2),
        "raw" => raw(words),
        "fault-later" => {
            hungry_once();
            super::inside::fault();
        }
        "settings" => println!("{:?}", tcgetattr(io::stdin()).expect("a terminal")),
        "shell" => shell::run(words),
        "signals" => signals(words),
        "size" => size(),
        "streams" => streams(),
        "terminal" => terminal(),
        "waits-for-signals" => waits_for_signals(),
        "with-signals" => with_signals(words),
        "with-streams" => with_streams(words),
        "without-marking" => {
            seccomp::refuse_marking();
            become_program(words)
        }
        _ => return false,
    }
    true
}

fn text(word: &OsString) -> &str {
    word.to_str().expect("UTF-8")
}

fn number(word: &OsString) -> usize {
    text(word).parse().expect("a number")
}

fn become_program(words: &[OsString]) -> ! {
    let error = Command::new(&words[0]).args(&words[1..]).exec();
    panic!("{words:?}: {error}");
}

/// Every byte there is, sixteen times.
fn bytes() {
    let all: Vec<u8> = (0..=255).collect();
    for _ in 0..16 {
        io::stdout().write_all(&all).expect("a reader");
    }
}

/// So many bytes, and the end at once.
fn flood(count: &OsString) {
    let bytes = vec![b'x'; number(count)];
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let count = nix::unistd::write(io::stdout(), rest).expect("a reader");
        rest = &rest[count..];
    }
    // SAFETY: nothing is left to be done.
    unsafe { libc::_exit(0) };
}

/// Reads until somebody else has to say something.
fn hungry() {
    println!("ready");
    let mut bytes = [0; 4096];
    loop {
        match io::stdin().read(&mut bytes) {
            Ok(0) => return println!("end"),
            Ok(count) => println!("<{}>", bytes[..count].escape_ascii()),
            Err(error) => return println!("{error}"),
        }
    }
}

/// Waits for a line.
fn hungry_once() {
    println!("ready");
    io::stdin().read_line(&mut String::new()).expect("a line");
}

fn in_front() -> bool {
    tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp())
}

/// The size of the terminal, now and whenever it changes.
fn size() {
    let told = catch(&[Signal::SIGWINCH]);
    loop {
        let mut size = Winsize {
            ws_row: 0,
            ws_col: 0,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the kernel fills the structure.
        unsafe { window_size(0, &raw mut size) }.expect("a terminal");
        println!("size {} {}", size.ws_row, size.ws_col);
        next(&told);
    }
}

/// Makes the terminal raw, says so, and ends, or does what else is asked for.
fn raw(words: &[OsString]) {
    let mut settings = tcgetattr(io::stdin()).expect("a terminal");
    cfmakeraw(&mut settings);
    tcsetattr(io::stdin(), SetArg::TCSANOW, &settings).expect("a terminal");
    println!("ready");
    if !words.is_empty() {
        thread::sleep(Duration::from_secs(300));
    }
}

/// Where this process is, as terminals see it.
fn terminal() {
    for stream in 0..3 {
        // SAFETY: the call takes a number.
        let is_terminal = unsafe { libc::isatty(stream) } == 1;
        let path = fs::read_link(format!("/proc/self/fd/{stream}")).expect("/proc");
        println!("{stream} {is_terminal} {}", path.display());
    }
    let own = File::options().read(true).write(true).open("/dev/tty");
    match own {
        Ok(_) => println!("controlling"),
        Err(error) => println!(
            "{:?}",
            nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0))
        ),
    }
    println!("leads a session {}", getsid(None) == Ok(getpid()));
    println!("in front {}", in_front());
}

/// The device and the number of the file that each standard stream is.
fn streams() {
    for stream in 0..3 {
        // SAFETY: the descriptor is open, and stays so: the file is not dropped.
        let file = std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(stream) });
        let metadata = file.metadata().expect("a file");
        println!("{} {}", metadata.dev(), metadata.ino());
    }
}

/// Becomes a program with other streams: `-` keeps the one that is there.
fn with_streams(words: &[OsString]) {
    for (stream, path) in (0..3).zip(&words[..3]) {
        if path == "-" {
            continue;
        }
        let options = File::options()
            .read(stream == 0)
            .write(stream > 0)
            .create(stream > 0)
            .open(path);
        let file = options.expect("a file");
        // SAFETY: the call takes numbers.
        assert!(unsafe { libc::dup2(file.as_raw_fd(), stream) } >= 0);
    }
    become_program(&words[3..])
}

/// Where handlers write to.
static TOLD: AtomicI32 = AtomicI32::new(-1);

extern "C" fn tell(signal: i32) {
    let byte = signal as u8;
    // SAFETY: write(2) may be called in a handler; the byte is ours.
    unsafe { libc::write(TOLD.load(Ordering::Relaxed), (&raw const byte).cast(), 1) };
}

/// Catches signals: each is a byte of the file.
fn catch(which: &[Signal]) -> File {
    let (read, write) = nix::unistd::pipe().expect("a pipe");
    TOLD.store(write.as_raw_fd(), Ordering::Relaxed);
    std::mem::forget(write);
    let action = SigAction::new(
        SigHandler::Handler(tell),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    for &signal in which {
        // SAFETY: the handler only writes.
        unsafe { sigaction(signal, &action) }.expect("a signal");
    }
    read.into()
}

fn next(told: &File) -> Signal {
    let mut byte = [0];
    { told }.read_exact(&mut byte).expect("a signal");
    Signal::try_from(i32::from(byte[0])).expect("a signal")
}

/// Says which signals come, and ends with USR2. Words: signals that are not caught.
fn signals(words: &[OsString]) {
    let all = [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGCONT,
        Signal::SIGWINCH,
        Signal::SIGTSTP,
    ];
    let which: Vec<Signal> = all
        .into_iter()
        .filter(|signal| !words.iter().any(|word| word == signal.as_str()))
        .collect();
    let told = catch(&which);
    println!("ready");
    loop {
        let signal = next(&told);
        println!("{signal}");
        if signal == Signal::SIGUSR2 {
            return;
        }
    }
}

/// Has no handlers, but all signals as data, and waits for SIGTERM: signalfd(2).
fn waits_for_signals() {
    SigSet::all().thread_block().expect("a mask");
    let signals = nix::sys::signalfd::SignalFd::new(&SigSet::all()).expect("a descriptor");
    println!("ready");
    let next = || {
        signals
            .read_signal()
            .expect("a signal")
            .expect("a signal")
            .ssi_signo
    };
    while next() != libc::SIGTERM.cast_unsigned() {}
    println!("SIGTERM");
}

/// Becomes a program, with signals ignored and blocked that no program expects to be.
fn with_signals(words: &[OsString]) {
    for signal in [libc::SIGINT, libc::SIGPIPE, libc::SIGCHLD, libc::SIGRTMIN()] {
        // SAFETY: no handler is installed.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // 32 is one of libc's own, which it does not let anybody ignore: posix_spawn(3) of some does.
    let ignore = [libc::SIG_IGN, 0, 0, 0];
    // SAFETY: the kernel reads its structure of four words.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            32,
            ignore.as_ptr(),
            0,
            size_of::<u64>(),
        )
    };
    let blocked = [Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGCHLD];
    let blocked: SigSet = blocked.into_iter().collect();
    blocked.thread_block().expect("a mask");
    // Not by the library of std, which has its own mind about SIGPIPE and the mask.
    let words: Vec<CString> = words
        .iter()
        .map(|word| CString::new(text(word)).expect("no NUL"))
        .collect();
    let error = nix::unistd::execv(&words[0], &words);
    panic!("{words:?}: {error:?}");
}

/// Says what PID 1 is: the file, the bytes of its address space and those in memory.
fn init() {
    let exe = fs::read_link("/proc/1/exe").expect("/proc/1");
    println!("{}", exe.display());
    let pages = fs::read_to_string("/proc/1/statm").expect("/proc/1");
    let mut pages = pages
        .split(' ')
        .map(|pages| pages.parse::<u64>().expect("a number"));
    println!("size {}", pages.next().expect("a number") * 4096);
    println!("resident {}", pages.next().expect("a number") * 4096);
    let descriptors = fs::read_dir("/proc/1/fd").expect("/proc/1").count();
    println!("descriptors {descriptors}");
}

/// fork(2).
fn fork() -> i32 {
    // SAFETY: this process has one thread, and its children only make system calls.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", io::Error::last_os_error());
    child
}

/// Makes so many orphans that end, and says how many zombies are left in the box.
fn orphans(count: &OsString) {
    for _ in 0..number(count) {
        match fork() {
            0 => {
                fork();
                // SAFETY: nothing is left to be done.
                unsafe { libc::_exit(0) };
            }
            child => {
                waitpid(Pid::from_raw(child), None).expect("a child");
            }
        }
    }
    let others = || {
        let entries = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        numbers
            .filter(|&pid| pid > 1 && pid != std::process::id())
            .count()
    };
    let gone = super::processes::eventually(|| others() == 0);
    println!("{} left {gone}", others());
}

/// Changes the user, for good, and becomes a program.
fn of_user(user: &OsString, words: &[OsString]) {
    let id = number(user) as u32;
    // SAFETY: the call takes numbers.
    let result = unsafe { libc::setresuid(id, id, id) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    become_program(words)
}

/// Keeps a pool until it is ended.
fn pool(parent_death: &OsString, marker: &OsString, is_limited: bool) {
    use clonebox::{Command, ParentDeath, Pool};
    let mut command = if is_limited {
        super::cgroups::limited("/bin/true", text(marker))
    } else {
        Command::new("/bin/true")
    };
    if text(parent_death) == "survive" {
        command.parent_death(ParentDeath::Survive);
    }
    let template = command.arg(marker).prepare().expect("a template");
    let pool = Pool::new(&template, 4).expect("a pool");
    pool.wait_until_full();
    println!("full");
    thread::sleep(Duration::from_secs(300));
}

/// Launches a box in a thread that ends, and says so; ends when it is told something.
fn launch_in_thread(parent_death: &OsString, kind: &OsString, marker: &OsString) {
    use clonebox::{Command, ParentDeath, Stdio};
    let parent_death = match text(parent_death) {
        "kill" => ParentDeath::Kill,
        "kill-with-thread" => ParentDeath::KillWithThread,
        _ => ParentDeath::Survive,
    };
    let (marker, timed) = (marker.clone(), text(kind) == "timed");
    let launch = move || {
        let mut command = Command::new(super::probe::path());
        command
            .args(["__probe", "stay"])
            .arg(marker)
            .parent_death(parent_death);
        if timed {
            // For such a score the launcher stands still until the program runs (CLONE_VFORK).
            command
                .oom_score_adj(1000)
                .start_timeout(Duration::from_secs(600));
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a box");
        let mut word = [0; 6];
        child
            .stdout
            .as_mut()
            .expect("a pipe")
            .read_exact(&mut word)
            .expect("a word");
        child
    };
    let mut child = thread::spawn(launch).join().expect("no panic");
    println!("the thread has ended");
    io::stdin().read_line(&mut String::new()).expect("a line");
    let alive = child.try_wait().expect("a child").is_none();
    println!("{}", if alive { "alive" } else { "dead" });
    let _ = child.kill();
}
