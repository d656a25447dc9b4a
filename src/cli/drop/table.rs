//! Tables for people, and the same as JSON for programs.

use std::io::{self, Write as _};

use serde_json::Value;

use crate::cli::exit::Failure;

/// Writes rows under their headings, each column as wide as its widest cell. What could drive a
/// terminal is escaped.
pub(in crate::cli) fn table<const N: usize>(
    headings: [&str; N],
    rows: Vec<[String; N]>,
) -> Result<(), Failure> {
    let mut all = vec![headings.map(str::to_owned)];
    all.extend(rows.into_iter().map(|row| row.map(|cell| harmless(&cell))));
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut lines = String::new();
    for row in &all {
        let cells = row.iter().zip(&widths);
        let line: String = cells
            .map(|(cell, &width)| format!("{cell:width$}  "))
            .collect();
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    write(&lines)
}

/// Writes JSON and a line end.
pub(in crate::cli) fn json(value: &Value) -> Result<(), Failure> {
    write(&format!("{value:#}\n"))
}

/// Writes one line.
pub(in crate::cli) fn line(text: &str) -> Result<(), Failure> {
    write(&format!("{}\n", harmless(text)))
}

/// A text as a terminal may show it.
fn harmless(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\'' | '\\' => c.to_string(),
        _ => c.escape_debug().to_string(),
    };
    text.chars().map(escaped).collect()
}

fn write(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let written = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
    written.map_err(|error| Failure::output(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_escaped() {
        assert_eq!(
            harmless("é \"x\" \u{1b}[2J\u{202e}\n"),
            "é \"x\" \\u{1b}[2J\\u{202e}\\n"
        );
    }
}
