// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was meant by an option that does not exist.

use std::ffi::OsStr;

use crate::args::Known;
use crate::commands;

/// Words of docker run that are not needed here, and why.
const NOT_NEEDED: [(&str, &str); 8] = [
    ("-i", "standard input is always connected"),
    (
        "-t",
        "a terminal is made when standard input is one (--tty)",
    ),
    (
        "-it",
        "a terminal is made when standard input is one (--tty)",
    ),
    (
        "-ti",
        "a terminal is made when standard input is one (--tty)",
    ),
    ("--rm", "nothing of a box is ever left"),
    ("--interactive", "standard input is always connected"),
    ("--network", "the word here is --net"),
    ("--cap", "the words here are --cap-add and --cap-drop"),
];

/// The message for a word that should be an option of a command.
pub(crate) fn unknown(command: &str, word: &str, known: &[Known]) -> String {
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    let shown = word.escape_default();
    if let Some((_, reason)) = NOT_NEEDED
        .iter()
        .find(|(not_needed, _)| command == "clonebox" && *not_needed == name)
    {
        return format!("there is no option {shown}: {reason}");
    }
    let fixed = ["--help", "--version"];
    let longs = known.iter().map(|option| option.long);
    let longs: Vec<&str> = longs.chain(fixed).collect();
    match nearest(name, &longs) {
        Some(nearest) => format!("there is no option {shown}; did you mean {nearest}?"),
        None => format!("there is no option {shown}: try {command} --help"),
    }
}

/// The message for a key of a file that should be an option.
pub(crate) fn unknown_key(shown: &str, option: &str, known: &[Known]) -> String {
    let longs: Vec<&str> = known.iter().map(|option| option.long).collect();
    match nearest(option, &longs) {
        Some(nearest) => format!(
            "there is no word {shown}; did you mean {}?",
            nearest.trim_start_matches('-')
        ),
        None => format!("there is no word {shown}: the words are the options of clonebox --help"),
    }
}

/// The subcommand that may have been meant by the first word.
pub(crate) fn subcommand(word: &OsStr) -> Option<&'static str> {
    let names: Vec<&str> = commands::ALL.iter().map(|one| one.name).collect();
    nearest(word.to_str()?, &names).filter(|name| word != *name)
}

/// The word that is most like a name, if one is.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|&long| (strsim::osa_distance(long, name), long))
        .filter(|(distance, long)| *distance <= 1 + long.len() / 5)
        .min()
        .map(|(_, long)| long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, known};

    #[test]
    fn the_nearest_option_is_named() {
        let message = |word| unknown("clonebox", word, &known::<Args>());
        assert!(message("--hostnam").contains("did you mean --hostname?"));
        assert!(message("--time-out").contains("did you mean --timeout?"));
        assert!(message("--frobnicate").contains("clonebox --help"));
        assert!(message("-it").contains("--tty"));
    }
}
