// SPDX-License-Identifier: MIT OR Apache-2.0
//! Profiles: words that belong together, by a name. Each is a file in the form of `--config`.

use crate::suggest;

/// A profile.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: &'static str,
    /// Its first lines say what it is for.
    pub(crate) text: &'static str,
}

/// All there are.
pub(crate) const ALL: [Profile; 3] = [
    Profile {
        name: "shell",
        text: include_str!("profiles/shell.toml"),
    },
    Profile {
        name: "build",
        text: include_str!("profiles/build.toml"),
    },
    Profile {
        name: "untrusted",
        text: include_str!("profiles/untrusted.toml"),
    },
];

/// The text of a profile, or which there are.
pub(crate) fn text(name: &str) -> Result<&'static str, String> {
    if let Some(profile) = ALL.iter().find(|profile| profile.name == name) {
        return Ok(profile.text);
    }
    let names = ALL.map(|profile| profile.name);
    let shown = name.escape_default();
    Err(match suggest::nearest(name, &names) {
        Some(nearest) => format!("there is no profile {shown}; did you mean {nearest}?"),
        None => format!(
            "there is no profile {shown}; there are {}",
            names.join(", ")
        ),
    })
}

/// The page about all of them.
pub(crate) fn page() -> String {
    let profiles = ALL.iter().map(|Profile { name, text }| {
        let lines = text.lines().map(|line| match line {
            "" => "\n".to_owned(),
            line => format!("      {line}\n"),
        });
        format!("--profile {name}\n{}", lines.collect::<String>())
    });
    let profiles: Vec<String> = profiles.collect();
    profiles.join("\n")
}
