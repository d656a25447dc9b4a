//! Tables for people, and the same as JSON for programs.

use std::io::{self, Write as _};

use clap::Args;
use serde_json::Value;

use crate::{
    cli::exit::Failure,
    untrusted::{Untrusted, escaped_json},
};

/// The longest cell, in characters: a SHA-256 is shown whole, a sender of thousands of characters is not.
const CELL_CHARS_MAX: usize = 64;
/// The longest cell at the end of a line, where nothing is behind it.
const LAST_CELL_CHARS_MAX: usize = 200;

/// The form in which packages and entries are written.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(in crate::cli) struct Form {
    /// Writes JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Cuts nothing in a table, however wide it becomes
    #[arg(long, conflicts_with = "json")]
    pub(super) full: bool,
}

/// A table that is written page by page. Its columns are as wide as the widest cell so far, and long
/// cells are cut, unless everything is asked for.
pub(in crate::cli) struct TextTable<const N: usize> {
    headings: Option<[&'static str; N]>,
    widths: [usize; N],
    is_full: bool,
}

impl<const N: usize> TextTable<N> {
    pub(in crate::cli) fn new(headings: [&'static str; N]) -> Self {
        Self {
            headings: Some(headings),
            widths: [0; N],
            is_full: false,
        }
    }

    /// Returns the same table, with nothing cut if `is_full`.
    pub(in crate::cli) fn full(mut self, is_full: bool) -> Self {
        self.is_full = is_full;
        self
    }

    /// Writes rows, the first of them under their headings. Characters that could drive a terminal
    /// are escaped.
    pub(in crate::cli) fn write(&mut self, rows: Vec<[String; N]>) -> Result<(), Failure> {
        write(&self.text(rows))
    }

    fn text(&mut self, rows: Vec<[String; N]>) -> String {
        let headings = self.headings.take();
        let mut all: Vec<_> = headings
            .map(|row| row.map(str::to_owned))
            .into_iter()
            .collect();
        all.extend(rows.into_iter().map(|row| self.cells(row)));
        for row in &all {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        all.iter().map(|row| self.line(row)).collect()
    }

    /// Prepares cells as a terminal may show them.
    fn cells(&self, row: [String; N]) -> [String; N] {
        let mut at = 0;
        row.map(|cell| {
            at += 1;
            let shown = Untrusted(cell).to_string();
            let chars_max = match at {
                _ if self.is_full => usize::MAX,
                at if at == N => LAST_CELL_CHARS_MAX,
                _ => CELL_CHARS_MAX,
            };
            cut(shown, chars_max)
        })
    }

    fn line(&self, row: &[String; N]) -> String {
        let cells = row.iter().zip(self.widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect();
        format!("{}\n", line.trim_end())
    }
}

/// Writes rows under their headings, each column as wide as its widest cell, which may be cut.
pub(in crate::cli) fn table<const N: usize>(
    headings: [&'static str; N],
    rows: Vec<[String; N]>,
) -> Result<(), Failure> {
    TextTable::new(headings).write(rows)
}

/// A JSON array that is written page by page, as [`json`] would write all of it.
#[derive(Default)]
pub(in crate::cli) struct Array {
    begun: bool,
}

impl Array {
    pub(in crate::cli) fn write(
        &mut self,
        values: impl Iterator<Item = Value>,
    ) -> Result<(), Failure> {
        write(&self.text(values))
    }

    fn text(&mut self, values: impl Iterator<Item = Value>) -> String {
        let mut text = String::new();
        for value in values {
            text.push_str(if self.begun { ",\n" } else { "[\n" });
            let shown = escaped_json(&format!("{value:#}"));
            text.push_str("  ");
            text.push_str(&shown.replace('\n', "\n  "));
            self.begun = true;
        }
        text
    }

    pub(in crate::cli) fn end(self) -> Result<(), Failure> {
        write(self.last())
    }

    fn last(&self) -> &'static str {
        if self.begun { "\n]\n" } else { "[]\n" }
    }
}

/// Writes JSON and a line end.
pub(in crate::cli) fn json(value: &Value) -> Result<(), Failure> {
    write(&escaped_json(&format!("{value:#}\n")))
}

/// Writes one line.
pub(in crate::cli) fn line(text: &str) -> Result<(), Failure> {
    write(&format!("{}\n", Untrusted(text)))
}

/// Shortens a text to `chars_max` characters, the last of them an ellipsis when something is cut.
fn cut(text: String, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text,
        Some(_) => {
            let kept: String = text.chars().take(chars_max - 1).collect();
            kept + "…"
        }
    }
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
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_stand_under_their_headings_which_come_once_and_with_no_row_too() {
        let rows = |cells: &[&str]| -> Vec<_> {
            let row = |cell: &&str| [(*cell).to_owned(), "x".into()];
            cells.iter().map(row).collect()
        };
        let mut table = TextTable::new(["ID", "STATE"]);
        assert_eq!(table.text(rows(&["abcd"])), "ID    STATE\nabcd  x\n");
        assert_eq!(table.text(rows(&["é", "a"])), "é     x\na     x\n");
        assert_eq!(TextTable::new(["ID"]).text(Vec::new()), "ID\n");
    }

    #[test]
    fn an_array_in_pages_is_that_of_one_page() {
        let values = [json!({ "a": [1, 2] }), json!("b\n"), json!(null)];
        let mut array = Array::default();
        let mut text = array.text(values[..2].iter().cloned());
        text += &array.text(values[2..].iter().cloned());
        text += array.last();
        assert_eq!(text, format!("{:#}\n", json!(values)));

        let mut array = Array::default();
        assert_eq!(array.text([].into_iter()) + array.last(), "[]\n");
    }

    #[test]
    fn what_drives_a_terminal_is_escaped() {
        let rows = || vec![["é \"x\" \u{1b}[2J\u{202e}\n".to_owned()]];
        let text = TextTable::new(["A"]).text(rows());
        assert_eq!(text, "A\né \"x\" \\u{1b}[2J\\u{202e}\\n\n");
        let mut array = Array::default();
        let text = array.text([json!("\u{9b}\u{202e}")].into_iter());
        assert_eq!(text, "[\n  \"\\u009b\\u202e\"");
    }

    #[test]
    fn a_cell_that_is_too_long_is_cut_unless_all_is_asked_for() {
        let cells = |chars: usize, last: usize| vec![["é".repeat(chars), "x".repeat(last)]];
        let (limit, last) = (CELL_CHARS_MAX, LAST_CELL_CHARS_MAX);
        let text = |rows, is_full| TextTable::new(["A", "B"]).full(is_full).text(rows);
        let whole = text(cells(limit, last), false);
        assert!(!whole.contains('…'), "{whole}");
        let short = text(cells(limit + 1, last + 1), false);
        assert_eq!(short.matches('…').count(), 2);
        let widest = short.lines().map(|line| line.chars().count()).max();
        assert_eq!(widest, Some(limit + 2 + last));
        let full = text(cells(15_000, 4000), true);
        assert_eq!(full.matches('é').count(), 15_000);
        assert!(!full.contains('…'));
    }
}
