// SPDX-License-Identifier: MIT OR Apache-2.0
//! Completion for zsh(1), by its `_arguments`.

use std::fmt::Write as _;

use super::{Completion, Entry, options, subcommands};
use crate::args::Takes;

/// The script: to be a file `_clonebox` in a directory of `fpath`, or to be sourced.
pub(crate) fn script() -> String {
    let options: String = options()
        .iter()
        .map(|entry| format!("    {}\n", specs(entry)))
        .collect();
    let mut names = String::new();
    let mut of_subcommands = String::new();
    for subcommand in subcommands() {
        let summary = quoted(&format!("{}:{}", subcommand.name, subcommand.summary));
        // Writing to a String does not fail.
        let _ = writeln!(names, "    {summary}");
        if subcommand.name == "run" {
            continue;
        }
        let words = subcommand.options.iter().flat_map(|(words, label)| {
            words
                .iter()
                .map(|word| quoted(&format!("{word}[{}]", label_of(label))))
        });
        let words: Vec<String> = words.collect();
        let _ = writeln!(
            of_subcommands,
            "    {}) shift words; ((CURRENT--)); _arguments -S {} '--help[prints its page]' '*::: :_default' && return ;;",
            subcommand.name,
            words.join(" ")
        );
    }
    TEMPLATE
        .replace("@OPTIONS@\n", &options)
        .replace("@SUBCOMMANDS@\n", &names)
        .replace("@OF_SUBCOMMANDS@\n", &of_subcommands)
}

/// The words of an option for `_arguments`.
fn specs(entry: &Entry) -> String {
    let action = match entry.completion() {
        Completion::Words(words) => format!("({})", words.join(" ")),
        Completion::Directory => "_files -/".to_owned(),
        Completion::File => "_files".to_owned(),
        Completion::Nothing => " ".to_owned(),
    };
    let value = label_of(&entry.value);
    let label = label_of(&entry.label);
    let spec = |word: &str, attached: &str| {
        let value = match entry.takes {
            Takes::Nothing => String::new(),
            Takes::Value => format!(":{value}:{action}"),
            Takes::Optionally(_) => format!("::{value}:{action}"),
        };
        let attached = match entry.takes {
            Takes::Nothing => "",
            Takes::Value => attached,
            Takes::Optionally(_) => "=-",
        };
        let repeats = if entry.repeats { "*" } else { "" };
        quoted(&format!("{repeats}{word}{attached}[{label}]{value}"))
    };
    let long = spec(entry.long, "=");
    match entry.short {
        Some(short) => format!("{} {long}", spec(&format!("-{short}"), "+")),
        None => long,
    }
}

/// Text without what means something in a specification.
fn label_of(text: &str) -> String {
    text.replace(['[', ']', ':', '(', ')'], " ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

const TEMPLATE: &str = r#"#compdef clonebox
# Completion of clonebox for zsh: clonebox completion zsh

_clonebox() {
  local -a options subcommands
  options=(
@OPTIONS@
  )
  subcommands=(
@SUBCOMMANDS@
  )
  if ((CURRENT == 2)) && [[ $words[2] != -* ]]; then
    _describe -t subcommands subcommand subcommands
    _command_names -e
    return
  fi
  case $words[2] in
    run) shift words; ((CURRENT--)) ;;
@OF_SUBCOMMANDS@
  esac
  _arguments -S $options '*::: :_normal'
}

if [[ $funcstack[1] == _clonebox ]]; then _clonebox "$@"; else compdef _clonebox clonebox; fi
"#;
