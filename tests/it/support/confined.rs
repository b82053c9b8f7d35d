//! Probes about the walls inside of a box.

#![expect(
    clippy::print_stdout,
    reason = "a probe is a program of its own, which prints what it sees"
)]

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;

use caps::CapSet;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::processes::eventually;
use super::seccomp;

/// `linux/keyctl.h`.
const KEYCTL_JOIN_SESSION_KEYRING: usize = 1;
const KEYCTL_SEARCH: usize = 10;
const KEYCTL_READ: usize = 11;
const SESSION: isize = -3;

/// Answers a probe of this file: whether there is one of that name.
pub(super) fn run(what: &str, words: &[OsString]) -> bool {
    match what {
        "abstract" => {
            let address = SocketAddr::from_abstract_name(words[0].as_bytes());
            say(UnixStream::connect_addr(&address.expect("a name")));
        }
        "bind" => say(TcpListener::bind(("127.0.0.1", port(&words[0])))),
        "connect" => say(TcpStream::connect(("127.0.0.1", port(&words[0])))),
        // SAFETY: the call takes numbers.
        "dumpable" => println!("{}", unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }),
        "execute" => say(Command::new(&words[0]).args(&words[1..]).status()),
        "key" => println!("{}", key(&words[0])),
        "keys" => keys(&words[0]),
        "nest" => {
            // SAFETY: the call takes numbers and touches no memory.
            let result = unsafe { libc::unshare(libc::CLONE_NEWUSER) };
            say(Errno::result(result).map_err(io::Error::from));
        }
        "open" => words.iter().for_each(|path| say(File::open(path))),
        "rename" => say(std::fs::rename(&words[0], &words[1])),
        // SAFETY: the call takes numbers.
        "securebits" => println!("{:#x}", unsafe { libc::prctl(libc::PR_GET_SECUREBITS) }),
        "signal" => {
            let pid = words[0].to_str().and_then(|word| word.parse().ok());
            let pid = Pid::from_raw(pid.expect("a process id"));
            say(kill(pid, None).map_err(io::Error::from));
        }
        "truncate" => say(File::options().write(true).truncate(true).open(&words[0])),
        "with-key" => {
            add_key(&words[0], &words[1]);
            become_program(&words[2..])
        }
        "with-securebits" => {
            let bits: libc::c_ulong = port(&words[0]).into();
            // SAFETY: the call takes numbers.
            let set = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, bits) };
            assert_eq!(set, 0, "{}", io::Error::last_os_error());
            become_program(&words[1..])
        }
        "without-capabilities" => {
            for set in [CapSet::Effective, CapSet::Permitted] {
                caps::clear(None, set).expect("its own");
            }
            become_program(words)
        }
        "without-dumpable" => {
            nix::sys::prctl::set_dumpable(false).expect("its own");
            become_program(words)
        }
        "without-keyctl" => {
            let errno = port(&words[0]);
            seccomp::refuse(libc::SYS_keyctl, errno.into());
            become_program(&words[1..])
        }
        "without-landlock" => {
            seccomp::refuse(libc::SYS_landlock_create_ruleset, libc::ENOSYS);
            become_program(words)
        }
        _ => return false,
    }
    true
}

fn port(word: &OsString) -> u16 {
    word.to_str()
        .and_then(|word| word.parse().ok())
        .expect("a number")
}

/// `fine`, or the errno.
fn say<T>(result: io::Result<T>) {
    match result {
        Ok(_) => println!("fine"),
        Err(error) => {
            let number = error.raw_os_error().expect("an error of the kernel's");
            println!("{:?}", Errno::from_raw(number));
        }
    }
}

fn become_program(words: &[OsString]) -> ! {
    let error = Command::new(&words[0]).args(&words[1..]).exec();
    panic!("{words:?}: {error}");
}

fn keyctl(words: [usize; 5]) -> nix::Result<usize> {
    let [a, b, c, d, e] = words;
    // SAFETY: the callers of this file pass strings and buffers that live during the call.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, a, b, c, d, e) };
    Errno::result(result).map(|result| result as usize)
}

fn c_string(word: &OsString) -> CString {
    CString::new(word.as_bytes()).expect("no NUL")
}

/// Adds a key of this text to the session keyring.
fn put(name: &CString, text: &OsString) -> nix::Result<()> {
    let text = text.as_bytes();
    // SAFETY: the strings live during the call, and the length is the text's.
    let key = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            name.as_ptr(),
            text.as_ptr(),
            text.len(),
            SESSION,
        )
    };
    Errno::result(key).map(drop)
}

/// Makes a session keyring with a key in it. The kernel counts those of an ordinary user's boxes, the ones that
/// have just ended among them.
fn add_key(name: &OsString, text: &OsString) {
    let join = || keyctl([KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0]);
    assert!(eventually(|| join().is_ok()), "a keyring");
    let name = c_string(name);
    assert!(eventually(|| put(&name, text).is_ok()), "a key");
}

/// What a key of the session keyring says.
pub(super) fn key(name: &OsString) -> String {
    let name = c_string(name);
    let kind = c"user".as_ptr().addr();
    let session = SESSION.cast_unsigned();
    let mut text = [0u8; 64];
    let read = keyctl([KEYCTL_SEARCH, session, kind, name.as_ptr().addr(), 0])
        .and_then(|key| keyctl([KEYCTL_READ, key, text.as_mut_ptr().addr(), text.len(), 0]));
    match read {
        Ok(length) => String::from_utf8_lossy(&text[..length]).into_owned(),
        Err(errno) => format!("{errno:?}"),
    }
}

/// Adds keys until the kernel takes no more of this user, and says so by the number of the error; they stay
/// as long as this process.
fn keys(command: &OsString) {
    keyctl([KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0]).expect("a keyring");
    let full = (0..100_000).find_map(|number| {
        let name = c_string(&format!("clonebox-test-{number}").into());
        put(&name, &"x".into()).err()
    });
    assert_eq!(full, Some(Errno::EDQUOT), "there is a quota");
    for options in [&["--keyring=private"][..], &[]] {
        let mut command = Command::new(command);
        let status = command.args(options).args(["--", "/bin/true"]).status();
        println!("{:?}", status.expect("the command").code());
    }
}
