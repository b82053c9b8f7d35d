//! The program inside a box, when it is this binary: `it __probe WHAT`. It needs no shell, no tools.

#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a probe is a program of its own, which prints what it sees"
)]

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use super::{act, aside, attack, confined, exchange, filtered, inside, keeper};

/// The path of this binary, to be run in a box with `__probe` and a word.
pub(crate) fn path() -> String {
    env::current_exe()
        .expect("this binary has a path")
        .into_os_string()
        .into_string()
        .expect("UTF-8")
}

/// Answers a probe; `None` if this is no probe.
pub(crate) fn run() -> Option<ExitCode> {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    let (probe, words) = words.split_first()?;
    if probe != "__probe" {
        return None;
    }
    let (what, words) = words.split_first().expect("a word after __probe");
    match what.to_str().expect("UTF-8") {
        "append" => inside::append(&words[0]),
        "args" => inside::args(),
        "as-user" => aside::as_user(words),
        "bomb" => inside::bomb(),
        "bomb-and-stay" => {
            inside::bomb();
            inside::stay();
        }
        "cat" => inside::cat(&words[0]),
        "child" => inside::child(&words[0]),
        "clocks" => inside::clocks(),
        "close-to-others" => inside::close_to_others(&words[0]),
        "copy" => inside::copy(),
        "cwd" => println!("{}", env::current_dir().expect("a directory").display()),
        "env" => inside::environment(),
        "exchange" => exchange::launch_among_exchanges(&words[0]),
        "exit" => inside::leave(&words[0]),
        "family-and-leave" => inside::family_and_leave(&words[0]),
        "family" => inside::family(&words[0]),
        "eat" => inside::eat(&words[0]),
        "forks" => inside::forks(),
        "spin" => inside::spin(),
        "fault" => inside::fault(),
        "fetch" => inside::fetch(&words[0]),
        "fds" => inside::descriptors(),
        "keep" => keeper::keep(words[0].as_ref(), utf8(&words[1]), &words[2..]),
        "leftovers" => aside::leftovers(&words[0]),
        "links" => inside::links(words),
        "list" => inside::list(&words[0]),
        "loopback" => inside::loopback(),
        "mount" => inside::mount(&words[0]),
        "network" => inside::network(),
        "negligent" => aside::negligent(words),
        "nice" => inside::nice(),
        "pid" => println!("{}", std::process::id()),
        "raise" => inside::raise(&words[0]),
        "say" => eprintln!("{}", words[0].display()),
        "echo" => inside::echo(&words[0]),
        "serve" => inside::serve(&words[0]),
        "share" => inside::share(words),
        "silence" => aside::silence(),
        "root" => inside::root(),
        "stat" => inside::stat(words),
        "stay" => inside::stay(),
        "try" => inside::try_to_make(words),
        "visit" => keeper::visit(words[0].as_ref(), utf8(&words[1])),
        "umask" => inside::umask(),
        "with-ambient" => inside::with_ambient(words),
        "with-groups" => inside::with_groups(words),
        "work" => inside::work(),
        "write" => inside::write(&words[0], &words[1]),
        word => assert!(
            act::run(word, words)
                || attack::run(word, words)
                || confined::run(word, words)
                || filtered::run(word, words),
            "there is no probe {word:?}"
        ),
    }
    Some(ExitCode::SUCCESS)
}

fn utf8(word: &OsString) -> &str {
    word.to_str().expect("UTF-8")
}
