//! The rewriter: the splices that put the notice in its place. Pure.
//!
//! * [`insert`] – a text part in, splices out
//! * `qp`, `header` – quoted-printable with its raw offsets; the smallest edits of a header block
//!
//! A parsed tree is never printed: whatever is not spliced stays the sender's, byte for byte. The
//! cost is linear in the part's size, which the caller bounds.

mod header;
pub mod insert;
mod qp;

use std::ops::Range;

pub use header::MEASURES;

pub use crate::text::{CannotTake, Position};
use crate::text::{html, plain};

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
