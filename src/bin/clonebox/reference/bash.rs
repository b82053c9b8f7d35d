// SPDX-License-Identifier: MIT OR Apache-2.0
//! Completion for bash(1). It needs no other package; where bash-completion is loaded, the words of the
//! command are completed as that command's.

use std::fmt::Write as _;

use super::{Completion, Entry, options, subcommands};
use crate::args::Takes;

/// The script.
pub(crate) fn script() -> String {
    let options = options();
    let subcommands = subcommands();
    let mut values = String::new();
    let mut of_subcommands = String::new();
    for entry in &options {
        let words = match entry.completion() {
            _ if entry.takes == Takes::Nothing => continue,
            Completion::Words(words) => format!("-W '{}'", words.join(" ")),
            Completion::Directory => "-d".to_owned(),
            Completion::File => "-f".to_owned(),
            Completion::Nothing => "-W ''".to_owned(),
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            values,
            "        {}) _clonebox_reply {words} ;;",
            pattern(entry)
        );
    }
    for subcommand in subcommands
        .iter()
        .filter(|subcommand| subcommand.name != "run")
    {
        let words = subcommand
            .options
            .iter()
            .flat_map(|(words, _)| words.clone());
        let words: Vec<&str> = words.chain(["--help"]).collect();
        let _ = writeln!(
            of_subcommands,
            "        {}) words='{}' ;;",
            subcommand.name,
            words.join(" ")
        );
    }
    let takes = |takes: fn(&Takes) -> bool| -> String {
        let patterns: Vec<String> = options
            .iter()
            .filter(|entry| takes(&entry.takes))
            .map(pattern)
            .collect();
        patterns.join("|")
    };
    let names: Vec<&str> = subcommands
        .iter()
        .map(|subcommand| subcommand.name)
        .collect();
    TEMPLATE
        .replace("@OPTIONS@", &all(&options))
        .replace("@SUBCOMMANDS@", &names.join(" "))
        .replace("@TAKES@", &takes(|takes| *takes == Takes::Value))
        .replace("@VALUES@\n", &values)
        .replace("@OF_SUBCOMMANDS@\n", &of_subcommands)
}

fn all(options: &[Entry]) -> String {
    let words: Vec<String> = options
        .iter()
        .flat_map(|entry| {
            [
                entry.short.map(|short| format!("-{short}")),
                Some(entry.long.to_owned()),
            ]
        })
        .flatten()
        .collect();
    words.join(" ")
}

/// The words that an option is, for `case`.
fn pattern(entry: &Entry) -> String {
    match entry.short {
        Some(short) => format!("-{short}|{}", entry.long),
        None => entry.long.to_owned(),
    }
}

const TEMPLATE: &str = r#"# Completion of clonebox for bash: clonebox completion bash

_clonebox_reply() { # what compgen makes of these words and the one that is typed
    mapfile -t COMPREPLY < <(compgen "$@" -- "$cur")
}

_clonebox_value() { # the value of an option
    case $1 in
@VALUES@
    esac
}

_clonebox() {
    local cur=${COMP_WORDS[COMP_CWORD]} words='@OPTIONS@' first=1 i option
    COMPREPLY=()
    [[ ${COMP_WORDS[1]} == run ]] && first=2
    if [[ $first == 1 && $COMP_CWORD -gt 1 ]]; then
        case ${COMP_WORDS[1]} in
@OF_SUBCOMMANDS@
            *) first= ;;
        esac
        if [[ $first ]]; then
            _clonebox_reply -W "$words"
            return
        fi
        first=1
    fi
    # The command begins after -- or with the first word that is neither an option nor the value of one.
    for ((i = first; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --) ((i++)); break ;;
            @TAKES@)
                if [[ ${COMP_WORDS[i + 1]} == '=' ]]; then ((i++)); fi
                ((i++)) ;;
            -*) if [[ ${COMP_WORDS[i + 1]} == '=' ]]; then ((i += 2)); fi ;;
            *) break ;;
        esac
    done
    if ((i > COMP_CWORD)); then # a value
        option=${COMP_WORDS[COMP_CWORD - 1]}
        [[ $option != '=' ]] || option=${COMP_WORDS[COMP_CWORD - 2]}
        [[ $cur != '=' ]] || { option=${COMP_WORDS[COMP_CWORD - 1]}; cur=; }
        _clonebox_value "$option"
        compopt -o filenames 2>/dev/null
    elif ((i < COMP_CWORD)) || [[ ${COMP_WORDS[COMP_CWORD - 1]} == -- ]]; then # the command's own
        if declare -F _command_offset >/dev/null; then
            _command_offset "$i"
        elif ((i == COMP_CWORD)); then
            _clonebox_reply -c
        else
            compopt -o default 2>/dev/null
        fi
    elif [[ $cur == -* ]]; then
        _clonebox_reply -W "$words"
    elif ((COMP_CWORD == 1)); then
        _clonebox_reply -c -W '@SUBCOMMANDS@'
    else
        _clonebox_reply -c
    fi
}

complete -F _clonebox clonebox
"#;
