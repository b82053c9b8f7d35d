// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables for people.

use std::fmt;
use std::time::Duration;

/// Rows of cells, printed in columns. The last one is as wide as it is.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(head: [&str; N]) -> Self {
        Self {
            rows: vec![head.map(str::to_owned)],
        }
    }

    pub(crate) fn row(&mut self, row: [String; N]) {
        self.rows.push(row);
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        };
        let widths: [usize; N] = std::array::from_fn(width);
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(&format!("{cell:<width$}   "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Bytes, in the largest unit that has one of them.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.into_iter().find(|(_, shift)| bytes >> shift > 0);
    match unit {
        Some((unit, shift)) => format!("{:.1}{unit}", bytes as f64 / (1u64 << shift) as f64),
        None => format!("{bytes}B"),
    }
}

/// Words as a shell reads them, but for what could drive a terminal, which is escaped.
pub(crate) fn words(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let shown = word.chars().map(|c| match c {
        '\'' => "'\\''".to_owned(),
        '"' | '\\' => c.to_string(),
        c => c.escape_debug().to_string(),
    });
    format!("'{}'", shown.collect::<String>())
}

/// A time, in its largest unit.
pub(crate) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["A", "B"]);
        table.row(["long".to_owned(), "x".to_owned()]);
        assert_eq!(table.to_string(), "A      B\nlong   x\n");
    }

    #[test]
    fn words_are_quoted_as_for_a_shell_and_drive_no_terminal() {
        let shown = |word: &str| words(&["a=b/c".to_owned(), word.to_owned()]);
        assert_eq!(shown("größe"), "a=b/c größe");
        assert_eq!(shown(""), "a=b/c ''");
        assert_eq!(shown("echo \"it's\" \\"), r#"a=b/c 'echo "it'\''s" \'"#);
        assert_eq!(shown("\x1b[2J\n\u{202e}"), r"a=b/c '\u{1b}[2J\n\u{202e}'");
    }

    #[test]
    fn units_are_the_largest_that_fit() {
        assert_eq!(bytes(1023), "1023B");
        assert_eq!(bytes(3 << 19), "1.5MiB");
        assert_eq!(age(Duration::from_secs(7200)), "2h");
    }
}
