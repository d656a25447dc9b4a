//! Tables for people, and the same as JSON for programs.

use std::io::{self, Write as _};

use serde_json::Value;

use crate::cli::exit::Failure;

/// A table that is written page by page. Its columns are as wide as the widest cell so far.
pub(in crate::cli) struct Table<const N: usize> {
    headings: Option<[&'static str; N]>,
    widths: [usize; N],
}

impl<const N: usize> Table<N> {
    pub(in crate::cli) fn new(headings: [&'static str; N]) -> Self {
        Self {
            headings: Some(headings),
            widths: [0; N],
        }
    }

    /// Writes rows, the first of them under their headings. What could drive a terminal is escaped.
    pub(in crate::cli) fn write(&mut self, rows: Vec<[String; N]>) -> Result<(), Failure> {
        write(&self.text(rows))
    }

    fn text(&mut self, rows: Vec<[String; N]>) -> String {
        let headings = self.headings.take();
        let mut all: Vec<_> = headings
            .map(|row| row.map(str::to_owned))
            .into_iter()
            .collect();
        all.extend(rows.into_iter().map(|row| row.map(|cell| harmless(&cell))));
        for row in &all {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        all.iter().map(|row| self.line(row)).collect()
    }

    fn line(&self, row: &[String; N]) -> String {
        let cells = row.iter().zip(self.widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect();
        format!("{}\n", line.trim_end())
    }
}

/// Writes rows under their headings, each column as wide as its widest cell.
pub(in crate::cli) fn table<const N: usize>(
    headings: [&'static str; N],
    rows: Vec<[String; N]>,
) -> Result<(), Failure> {
    Table::new(headings).write(rows)
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
            let shown = format!("{value:#}");
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
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_stand_under_their_headings_which_come_once_and_with_no_row_too() {
        let rows = |cells: &[&str]| -> Vec<_> {
            let row = |cell: &&str| [(*cell).to_owned(), "x".into()];
            cells.iter().map(row).collect()
        };
        let mut table = Table::new(["ID", "STATE"]);
        assert_eq!(table.text(rows(&["abcd"])), "ID    STATE\nabcd  x\n");
        assert_eq!(table.text(rows(&["é", "a"])), "é     x\na     x\n");
        assert_eq!(Table::new(["ID"]).text(Vec::new()), "ID\n");
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
        assert_eq!(
            harmless("é \"x\" \u{1b}[2J\u{202e}\n"),
            "é \"x\" \\u{1b}[2J\\u{202e}\\n"
        );
    }
}
