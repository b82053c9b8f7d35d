//! Attacks that a program in a box makes: each says `fine` if it got through, or the errno that stopped it.
//!
//! What they are aimed at is always something that the test has made: a process, a file, a socket of its own.
//! A file of the system is opened for writing at most, and closed again.

#![expect(
    clippy::print_stdout,
    reason = "a probe is a program of its own, which says how far it got"
)]

mod joiner;
mod launcher;
mod memory;
mod mounts;
mod outside;
mod roots;
mod survey;

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

/// Answers a probe of this folder: whether there is one of that name.
pub(super) fn run(what: &str, words: &[OsString]) -> bool {
    match what {
        "become-root" => roots::within(words),
        "chroot-out" => say(roots::chroot_out(&words[0])),
        "guard" => outside::guard(words),
        "joiner" => joiner::run(words),
        "launcher" => launcher::run(words),
        "make-device" => say(mounts::make_device(&words[0])),
        "memory" => say(memory::write(
            &words[0],
            number(&words[1]),
            number(&words[2]),
        )),
        "memory-of-all" => joiner::of_all(words),
        "mount-and-rewrite" => say(mounts::mount_and_rewrite(words)),
        "mount-and-write" => say(mounts::mount_and_write(words)),
        "naive-join" => joiner::naive(words),
        "nested" => nested(words),
        "open-to-write" => say(mounts::open_to_write(&words[0])),
        "parent" => outside::parent(words),
        "pivot-out" => say(roots::pivot_out(&words[0])),
        "queue" => say(outside::queue(&words[0])),
        "segment" => say(outside::segment(number(&words[0]))),
        "setns" => say(roots::join(&words[0], number(&words[1]), &words[2])),
        "survey" => survey::run(words),
        "trace" => outside::trace(number(&words[0]) as i32, &words[1]),
        "type" => say(outside::type_into_terminal(number(&words[0]), &words[1])),
        "uncover" => say(mounts::uncover(&words[0])),
        _ => return false,
    }
    true
}

/// The attack from a user namespace that the program makes for itself, in which it has every capability.
fn nested(words: &[OsString]) {
    if let Err(error) = enter_user_namespace(0) {
        return say(Err(error));
    }
    let (what, words) = words.split_first().expect("an attack");
    assert!(
        run(what.to_str().expect("UTF-8"), words),
        "there is no attack {what:?}"
    );
}

/// A user namespace of the program's own in which it is root, and others with it.
fn enter_user_namespace(more: i32) -> io::Result<()> {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    // SAFETY: the call takes numbers.
    check(unsafe { libc::unshare(libc::CLONE_NEWUSER | more) }.into())?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;
    std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))
}

/// `fine`, or the errno.
fn say(result: io::Result<()>) {
    println!("{}", word(&result));
}

fn word(result: &io::Result<()>) -> String {
    match result {
        Ok(()) => "fine".to_owned(),
        Err(error) => {
            let number = error.raw_os_error().expect("an error of the kernel's");
            format!("{:?}", Errno::from_raw(number))
        }
    }
}

fn check(result: i64) -> io::Result<()> {
    Errno::result(result).map(drop).map_err(io::Error::from)
}

fn number(word: &OsString) -> usize {
    let number = word.to_str().and_then(|word| word.parse().ok());
    number.expect("a number")
}

fn c_string(word: &OsString) -> CString {
    CString::new(word.as_bytes()).expect("no NUL")
}
