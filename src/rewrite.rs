//! The rewriter: the notice, its place, and the splices that put it there. Pure.
//!
//! * [`notice`] – its text and its HTML; `words` has the sentences of each language
//! * [`insert`] – a text part in, splices out
//! * `plain`, `html` – the place of the notice in a decoded text
//! * `bidi` – text from right to left
//! * `charset` – the characters that a part may be given
//! * `qp`, `header` – quoted-printable with its raw offsets; the smallest edits of a header block
//!
//! A parsed tree is never printed: whatever is not spliced stays the sender's, byte for byte. The
//! cost is linear in the part's size, which the caller bounds.

mod bidi;
mod charset;
mod header;
mod html;
pub mod insert;
pub mod notice;
mod plain;
mod qp;
mod words;

use std::ops::Range;

pub use header::MEASURES;

/// A change to a run of raw bytes: those at `at` are replaced by `with`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// The range of the bytes to be replaced; empty for an insertion.
    pub at: Range<usize>,
    /// The bytes that take their place.
    pub with: Vec<u8>,
}

/// The line end of inserted lines: a message from a milter always has CRLF, a file may have LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eol {
    /// CRLF.
    CrLf,
    /// LF.
    Lf,
}

impl Eol {
    /// Returns its characters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CrLf => "\r\n",
            Self::Lf => "\n",
        }
    }

    /// Returns its bytes.
    pub fn as_bytes(self) -> &'static [u8] {
        self.as_str().as_bytes()
    }
}

/// The place of the notice in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before the signature or the quoted mail, else at the end.
    BeforeQuote,
    /// Above the text.
    Start,
    /// Below the text.
    End,
}

/// A text part that cannot take the notice; the reason is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotTake(pub &'static str);

/// Applies splices to `raw`; they are in order, do not overlap and lie in it.
///
/// # Panics
/// The splices are out of order, overlap, or do not lie in `raw`.
pub fn apply(raw: &[u8], splices: &[Splice]) -> Vec<u8> {
    let mut out =
        Vec::with_capacity(raw.len() + splices.iter().map(|s| s.with.len()).sum::<usize>());
    let mut at = 0;
    for splice in splices {
        out.extend_from_slice(&raw[at..splice.at.start]);
        out.extend_from_slice(&splice.with);
        at = splice.at.end;
    }
    out.extend_from_slice(&raw[at..]);
    out
}

/// Returns the author's own words in a text, without quoted mail and signatures, as far as those are known.
pub fn author(text: &str, kind: insert::TextKind) -> String {
    match kind {
        insert::TextKind::Plain => plain::author(text),
        insert::TextKind::Html => plain::author(&html::seen(text)),
    }
}
