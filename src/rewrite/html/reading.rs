//! The lines of a document as a reader sees them, with the place in the document where each begins.
//!
//! Quoted text becomes lines that start with `>`, and marked signatures and quoted mails become
//! what stands for them in a text: so one set of rules decides for text and HTML. Lines without
//! letters are left out.

use super::tag::Mark;

/// How long may be what a webmail writes above the quote.
const INTRODUCTION_LINES_MAX: usize = 3;
const INTRODUCTION_BYTES_MAX: usize = 400;

/// A point in the reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    text: usize,
    lines: usize,
    here: Option<usize>,
}

/// The lines that are seen, and where they begin.
#[derive(Debug, Default)]
pub(super) struct Reading {
    text: Vec<u8>,
    /// For each line, a safe place before it, if there is one.
    places: Vec<Option<usize>>,
    line: Vec<u8>,
    /// Where the line begins, once it has begun.
    begins: Option<Option<usize>>,
    is_quoted: bool,
    /// What follows is a quoted mail, to the end.
    is_over: bool,
}

impl Reading {
    /// The lines.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// A safe place before a line.
    pub(super) fn place(&self, line: usize) -> Option<usize> {
        self.places.get(line).copied().flatten()
    }

    /// What comes belongs to a line that begins here, unless one has begun.
    pub(super) fn begin_line(&mut self, here: Option<usize>) {
        self.begins.get_or_insert(here);
    }

    /// Text of the line, in any charset that extends ASCII, with entities in UTF-8.
    pub(super) fn push_text(&mut self, value: &[u8]) {
        if self.is_over || self.is_quoted && self.ends_quoted() {
            return;
        }
        let mut rest = value;
        while let [first, after @ ..] = rest {
            rest = after;
            let is_blank = match first {
                0xc2 if after.first() == Some(&0xa0) => {
                    rest = &after[1..];
                    true
                }
                // A no-break space of ISO 8859, not a part of a character of UTF-8.
                0xa0 => self.line.last().is_none_or(u8::is_ascii),
                byte => byte.is_ascii_whitespace(),
            };
            match is_blank {
                true if self.line.is_empty() || self.line.ends_with(b" ") => {}
                true => self.line.push(b' '),
                false => self.line.push(*first),
            }
        }
    }

    /// The line ends, and counts if there was something to see.
    pub(super) fn end_line(&mut self) {
        let begins = self.begins.take().flatten();
        if !self.line.is_empty() {
            let mut line = std::mem::take(&mut self.line);
            let quoted: &[u8] = if self.is_quoted { b"> " } else { b"" };
            self.push(&[quoted, &line], begins);
            line.clear();
            self.line = line;
        }
    }

    /// The element whose start tag begins this line says so.
    pub(super) fn mark(&mut self, mark: Mark) {
        let begins = self.begins.take().flatten();
        match mark {
            Mark::Quote => self.push(&[b"> "], begins),
            Mark::Signature => self.push(&[b"-- "], begins),
            Mark::Rest => {
                self.push(&[b"-----Original Message-----"], begins);
                self.is_over = true;
            }
        }
    }

    /// How far the reading is, and what is a safe place here.
    pub(super) fn point(&mut self, here: Option<usize>) -> Point {
        self.end_line();
        Point {
            text: self.text.len(),
            lines: self.places.len(),
            here,
        }
    }

    /// What was read since then introduces a quote that begins here, if it is as short as that: some
    /// lines with a number in them.
    pub(super) fn quotes_since(&mut self, point: Point) -> bool {
        self.end_line();
        let since = self.text.get(point.text..).unwrap_or_default();
        let is_short = self.places.len() - point.lines.min(self.places.len())
            <= INTRODUCTION_LINES_MAX
            && since.len() <= INTRODUCTION_BYTES_MAX;
        if self.is_over || self.is_quoted || !is_short || !since.iter().any(u8::is_ascii_digit) {
            return false;
        }
        self.text.truncate(point.text);
        self.places.truncate(point.lines);
        self.push(&[b"> "], point.here);
        true
    }

    /// Whether the lines from here on are quoted.
    pub(super) fn set_quoted(&mut self, is_quoted: bool) {
        if is_quoted != self.is_quoted {
            self.end_line();
        }
        self.is_quoted = is_quoted;
    }

    fn push(&mut self, line: &[&[u8]], begins: Option<usize>) {
        if !self.is_over {
            line.iter()
                .for_each(|part| self.text.extend_from_slice(part));
            self.text.push(b'\n');
            self.places.push(begins);
        }
    }

    /// One quoted line says it for all that follow.
    fn ends_quoted(&self) -> bool {
        self.text.ends_with(b"> \n")
    }
}
