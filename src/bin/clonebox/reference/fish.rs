// SPDX-License-Identifier: MIT OR Apache-2.0
//! Completion for fish(1).

use std::fmt::Write as _;

use super::{Completion, Entry, options, subcommands};
use crate::args::Takes;

/// The script.
pub(crate) fn script() -> String {
    let options = options();
    let values = options.iter().filter(|entry| entry.takes == Takes::Value);
    let values = values.flat_map(|entry| {
        [
            entry.short.map(|short| format!("-{short}")),
            Some(entry.long.to_owned()),
        ]
    });
    let values: Vec<String> = values.flatten().collect();
    let subcommands = subcommands();
    let names: Vec<&str> = subcommands
        .iter()
        .map(|subcommand| subcommand.name)
        .collect();
    let others: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| *name != "run")
        .collect();
    let mut script = HEAD
        .replace("@VALUES@", &values.join(" "))
        .replace("@OTHERS@", &others.join(" "));
    // Writing to a String does not fail.
    for subcommand in &subcommands {
        let (name, summary) = (subcommand.name, quoted(subcommand.summary));
        let _ = writeln!(
            script,
            "complete -c clonebox -n __clonebox_at_first -a {name} -d {summary}"
        );
        for (words, label) in &subcommand.options {
            let condition = quoted(&format!("__clonebox_in {name}"));
            let _ = writeln!(
                script,
                "complete -c clonebox -n {condition} -f{} -d {}",
                flags(words),
                quoted(label)
            );
        }
    }
    for entry in &options {
        script.push_str(&line(entry));
    }
    script
}

fn flags(words: &[&str]) -> String {
    let flag = |word: &&str| match (word.strip_prefix("--"), word.strip_prefix('-')) {
        (Some(long), _) => format!(" -l {long}"),
        (None, short) => format!(" -s {}", short.unwrap_or_default()),
    };
    words.iter().map(flag).collect()
}

fn line(entry: &Entry) -> String {
    let value = match (&entry.takes, entry.completion()) {
        (Takes::Nothing, _) => " -f".to_owned(),
        (Takes::Optionally(_), Completion::Words(words)) => {
            format!(" -f -a {}", quoted(&words.join(" ")))
        }
        (Takes::Optionally(_), _) => String::new(),
        (Takes::Value, Completion::Words(words)) => format!(" -x -a {}", quoted(&words.join(" "))),
        (Takes::Value, Completion::Directory) => {
            " -x -a '(__fish_complete_directories)'".to_owned()
        }
        (Takes::Value, Completion::File) => " -r -F".to_owned(),
        (Takes::Value, Completion::Nothing) => " -x".to_owned(),
    };
    let short = entry.short.map(|short| format!("-{short}"));
    let words: Vec<&str> = short
        .iter()
        .map(String::as_str)
        .chain([entry.long])
        .collect();
    format!(
        "complete -c clonebox -n __clonebox_in_options{}{value} -d {}\n",
        flags(&words),
        quoted(&entry.label)
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

const HEAD: &str = r#"# Completion of clonebox for fish: clonebox completion fish

function __clonebox_words # the words before the one that is completed
    commandline -opc | tail -n +2
end

function __clonebox_at_first
    test (count (__clonebox_words)) -eq 0
end

function __clonebox_in # a subcommand
    set -l words (__clonebox_words)
    test "$words[1]" = $argv[1]
end

function __clonebox_in_options # no subcommand but run, and the command has not begun
    set -l words (__clonebox_words)
    contains -- "$words[1]" @OTHERS@; and return 1
    test "$words[1]" = run; and set -e words[1]
    set -l value
    for word in $words
        if test -n "$value"
            set value
        else if test "$word" = --
            return 1
        else if contains -- $word @VALUES@
            set value yes
        else if not string match -q -- '-*' $word
            return 1
        end
    end
    return 0
end

function __clonebox_in_command
    set -l words (__clonebox_words)
    contains -- "$words[1]" @OTHERS@; and return 1
    not __clonebox_in_options; or not string match -q -- '-*' (commandline -ct)
end

function __clonebox_complete_command
    set -l tokens (commandline -opc) (commandline -ct)
    set -e tokens[1]
    test "$tokens[1]" = run; and set -e tokens[1]
    while set -q tokens[2]
        if test "$tokens[1]" = --
            set -e tokens[1]
            break
        else if contains -- $tokens[1] @VALUES@
            set -e tokens[1..2]
        else if string match -q -- '-*' $tokens[1]
            set -e tokens[1]
        else
            break
        end
    end
    complete --do-complete="$tokens"
end

complete -c clonebox -n __clonebox_in_command -x -a '(__clonebox_complete_command)'
"#;
