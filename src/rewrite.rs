//! The rewriter: the notice, where it goes, and the splices that put it there. Pure.

pub mod insert;
pub mod notice;

use std::ops::Range;

/// A change to a run of raw bytes: what stands at `at` is replaced by `with`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// The bytes that go; empty for an insertion.
    pub at: Range<usize>,
    /// The bytes that come.
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
