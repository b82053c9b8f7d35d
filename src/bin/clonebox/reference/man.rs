// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual page, in man(7).

use std::fmt::Write as _;

use super::{Entry, sections, subcommands, wrapped};
use crate::args::Takes;

const DESCRIPTION: [&str; 4] = [
    "clonebox puts a program into namespaces of its own, without fork and without executing itself again. The box \
     has its own host name, processes, mounts and /proc; other namespaces, a root filesystem and limits on \
     request. It keeps eleven capabilities at most, gains none by execve, holds no descriptor but 0, 1 and 2, and \
     dies with clonebox.",
    "An ordinary user gets a user namespace in which the user is root.",
    "The options end at -- or with the first word that is none; the rest is the command. Where the first word is a \
     subcommand, it is that: clonebox run begins a box whatever its program is called.",
    "As root on the host's own files a box is a view, and no security boundary: uid 0 owns the host's files. With \
     --rootfs it does not see them; with --userns auto root inside is not root outside.",
];

const EXAMPLES: [(&str, &str); 5] = [
    ("A shell, without sudo:", "clonebox -- /bin/sh"),
    (
        "No network but loopback, ten seconds at most:",
        "clonebox --net none --timeout 10s -- ./job",
    ),
    (
        "A Debian shell that forgets everything:",
        "sudo clonebox --rootfs-overlay /srv/debian -- /bin/bash",
    ),
    (
        "64 MiB, half a processor, 100 processes:",
        "sudo clonebox -m 64m --cpus 0.5 --pids-limit 100 -- ./job",
    ),
    (
        "What would be done, call by call:",
        "clonebox --explain -- ls",
    ),
];

const ENVIRONMENT: [(&str, &str); 4] = [
    (
        "XDG_RUNTIME_DIR",
        "The boxes of an ordinary user that have names are in its directory clonebox.",
    ),
    (
        "CLONEBOX_STATE_DIR",
        "The directory of boxes that have names, in the place of the usual one. Nobody but the caller may enter it.",
    ),
    (
        "NO_COLOR",
        "If it is set and not empty, errors are not emphasised at a terminal.",
    ),
    (
        "TERM",
        "Without it, or if it is dumb, a terminal shows neither that nor how far something is.",
    ),
];

const EXIT: [(&str, &str); 6] = [
    ("N", "The command has exited with N."),
    ("128+N", "The command was ended by signal N."),
    ("124", "The box was killed because its time was up."),
    (
        "125",
        "clonebox itself has failed. Nothing has changed, and nothing is left.",
    ),
    ("126", "The command is there and cannot be executed."),
    ("127", "There is no such command."),
];

/// The page `clonebox(1)`.
pub(crate) fn page() -> String {
    let mut page = Page(String::new());
    let version = env!("CARGO_PKG_VERSION");
    let date = env!("CLONEBOX_DATE");
    page.raw(&format!(
        ".TH CLONEBOX 1 \"{date}\" \"clonebox {version}\" \"User Commands\""
    ));
    // A word is not cut: it is an option, or a path.
    page.raw(".nh");
    page.section("NAME");
    page.paragraph("clonebox - puts a program into its own Linux namespaces");
    page.section("SYNOPSIS");
    synopsis(&mut page);
    page.section("DESCRIPTION");
    for (index, paragraph) in DESCRIPTION.into_iter().enumerate() {
        if index > 0 {
            page.raw(".PP");
        }
        page.paragraph(paragraph);
    }
    page.section("OPTIONS");
    for (name, entries) in sections() {
        page.raw(&format!(".SS {name}"));
        entries.iter().for_each(|entry| page.entry(entry));
    }
    page.section("SUBCOMMANDS");
    for subcommand in subcommands() {
        page.raw(".TP");
        page.raw(&format!(".B {}", escaped(subcommand.name)));
        page.paragraph(subcommand.summary);
        // The page has that sentence in its second line.
        let lines = subcommand.page.lines().enumerate();
        let rest: Vec<&str> = lines
            .filter(|(at, _)| *at != 1)
            .map(|(_, line)| line)
            .collect();
        page.literal(&rest.join("\n"));
    }
    page.section("EXIT STATUS");
    for (code, meaning) in EXIT {
        page.raw(".TP");
        page.raw(&format!(".B {}", escaped(code)));
        page.paragraph(meaning);
    }
    page.section("ENVIRONMENT");
    for (name, meaning) in ENVIRONMENT {
        page.raw(".TP");
        page.raw(&format!(".B {}", escaped(name)));
        page.paragraph(meaning);
    }
    page.section("FILES");
    page.raw(".TP");
    page.raw(".I /run/clonebox");
    page.paragraph("The boxes of root that have names, and the templates.");
    page.section("EXAMPLES");
    for (index, (what, command)) in EXAMPLES.into_iter().enumerate() {
        if index > 0 {
            page.raw(".PP");
        }
        page.paragraph(what);
        page.literal(command);
    }
    page.section("SEE ALSO");
    let others = [
        ("unshare", 1),
        ("clone", 2),
        ("capabilities", 7),
        ("cgroups", 7),
        ("namespaces", 7),
        ("user_namespaces", 7),
    ];
    let last = others.len() - 1;
    for (index, (name, number)) in others.into_iter().enumerate() {
        let comma = if index == last { "" } else { "," };
        page.raw(&format!(".BR {} ({number}){comma}", escaped(name)));
    }
    page.0
}

fn synopsis(page: &mut Page) {
    page.raw(".B clonebox");
    page.raw("[\\fIOPTIONS\\fR] [\\fB\\-\\-\\fR] \\fICOMMAND\\fR [\\fIARG\\fR...]");
    for subcommand in subcommands() {
        let usage = subcommand.page.lines().next().unwrap_or_default();
        let words = usage.strip_prefix("Usage: clonebox ").unwrap_or(usage);
        page.raw(".br");
        page.raw(".B clonebox");
        page.raw(&escaped(words));
    }
}

/// Lines of roff.
struct Page(String);

impl Page {
    /// A line that is roff already.
    fn raw(&mut self, line: &str) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn section(&mut self, name: &str) {
        self.raw(&format!(".SH {name}"));
    }

    /// Text that roff fills.
    fn paragraph(&mut self, text: &str) {
        // Escapes make a line longer; roff's readers like them short.
        for line in wrapped(text, 64) {
            self.raw(&escaped(&line));
        }
    }

    fn entry(&mut self, entry: &Entry) {
        let short = entry.short.map(|short| format!("\\fB\\-{short}\\fR, "));
        let value = escaped(&entry.value);
        let value = match entry.takes {
            Takes::Nothing => String::new(),
            Takes::Value => format!(" \\fI{value}\\fR"),
            Takes::Optionally(_) => format!("[=\\fI{value}\\fR]"),
        };
        self.raw(".TP");
        let long = escaped(entry.long);
        self.raw(&format!(
            "{}\\fB{long}\\fR{value}",
            short.unwrap_or_default()
        ));
        self.paragraph(&entry.text);
    }

    /// Lines as they are.
    fn literal(&mut self, text: &str) {
        self.raw(".IP");
        self.raw(".nf");
        text.lines().for_each(|line| self.raw(&escaped(line)));
        self.raw(".fi");
    }
}

/// Text that roff takes for nothing else. A dash is one that can be copied.
fn escaped(text: &str) -> String {
    let mut line = String::new();
    if text.starts_with(['.', '\'']) {
        line.push_str("\\&");
    }
    for c in text.chars() {
        match c {
            '\\' => line.push_str("\\e"),
            '-' => line.push_str("\\-"),
            '`' => line.push_str("\\(ga"),
            '\'' => line.push_str("\\(aq"),
            '^' => line.push_str("\\(ha"),
            '~' => line.push_str("\\(ti"),
            c => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_request() {
        assert_eq!(escaped(".TH a"), "\\&.TH a");
        assert_eq!(escaped("'a\\fB-x"), "\\&\\(aqa\\efB\\-x");
    }
}
