//! The lines of a document as a reader sees them, each with its place in the document.
//!
//! Quoted text becomes lines that start with `>`, and marked signatures and quoted mails become
//! what stands for them in a text: so one set of rules decides for text and HTML. Lines without
//! anything to see are left out.

use super::tag::Mark;

/// Maximum number of lines that a webmail writes above a quote.
const INTRODUCTION_LINES_MAX: usize = 3;
/// Maximum number of bytes that a webmail writes above a quote.
const INTRODUCTION_BYTES_MAX: usize = 400;

/// A point in the reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    text: usize,
    lines: usize,
    here: Option<usize>,
}

/// The lines that are seen, and their places.
#[derive(Debug, Default)]
pub(super) struct VisibleText {
    text: Vec<u8>,
    /// A safe place before each line, if there is one.
    places: Vec<Option<usize>>,
    line: Vec<u8>,
    /// The same for the line that has begun, if any has.
    begins: Option<Option<usize>>,
    is_quoted: bool,
    /// True if all that follows is a quoted mail.
    is_over: bool,
}

impl VisibleText {
    /// Returns the lines.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Returns a safe place before a line.
    pub(super) fn place(&self, line: usize) -> Option<usize> {
        self.places.get(line).copied().flatten()
    }

    /// Begins a line at this place, unless one has begun.
    pub(super) fn begin_line(&mut self, here: Option<usize>) {
        self.begins.get_or_insert(here);
    }

    /// Adds text to the line, in any charset that extends ASCII, with entities in UTF-8.
    pub(super) fn push_text(&mut self, value: &[u8]) {
        if self.is_over || self.is_quoted && self.ends_quoted() {
            return;
        }

        let mut rest = value;
        loop {
            let word = rest.iter().take_while(|byte| byte.is_ascii_graphic());
            let (word, others) = rest.split_at(word.count());
            self.line.extend_from_slice(word);
            let [first, after @ ..] = others else {
                return;
            };

            rest = after;
            let is_blank = match first {
                0xc2 if after.first() == Some(&0xa0) => {
                    rest = &after[1..];
                    true
                }
                // A no-break space of ISO 8859, not part of a character of UTF-8.
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

    /// Ends the line, which counts if there was something to see.
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

    /// Adds the line that stands for the element whose start tag begins here.
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

    /// Ends the line and returns this point of the reading, with a safe place here.
    pub(super) fn point(&mut self, here: Option<usize>) -> Point {
        self.end_line();
        Point {
            text: self.text.len(),
            lines: self.places.len(),
            here,
        }
    }

    /// Takes the lines since `point` for the introduction of a quote that begins there, if they are
    /// few, short, and hold a number; returns true if so.
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

    /// Sets whether the lines from here on are quoted.
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

    /// Returns true if one quoted line stands for all that follow.
    fn ends_quoted(&self) -> bool {
        self.text.ends_with(b"> \n")
    }
}
