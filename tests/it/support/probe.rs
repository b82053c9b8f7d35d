//! The program inside a box, when it is this binary: `it __probe WHAT`. It needs no shell, no tools.

use std::env;
use std::process::ExitCode;

/// The path of this binary, to be run in a box with `__probe` and a word.
pub(crate) fn path() -> String {
    env::current_exe().expect("this binary has a path").into_os_string().into_string().expect("UTF-8")
}

/// Answers a probe; `None` if this is no probe.
pub(crate) fn run() -> Option<ExitCode> {
    let mut words = env::args().skip(1);
    if words.next()? != "__probe" {
        return None;
    }
    match words.next()?.as_str() {
        "pid" => println!("{}", std::process::id()),
        word => panic!("there is no probe {word:?}"),
    }
    Some(ExitCode::SUCCESS)
}
