//! The changes to the spool that make the new body.

use std::ops::Range;

use bytes::Bytes;

use crate::filter::rewritten::Piece;

/// A change to the spool: the bytes at `at` are replaced by `with`.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) at: Range<u64>,
    pub(super) with: Bytes,
    /// True if it adds a part.
    pub(super) is_part: bool,
}

/// The pieces of the new body: the spool (`len` bytes) with the changes, which are in order.
pub(super) fn pieces(len: u64, changes: Vec<Change>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    for Change {
        at: range, with, ..
    } in changes
    {
        if range.start > at {
            pieces.push(Piece::Keep(at..range.start));
        }
        if !with.is_empty() {
            pieces.push(Piece::Insert(with));
        }
        at = range.end.max(at);
    }
    if at < len {
        pieces.push(Piece::Keep(at..len));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_spool_with_its_changes() {
        let insert = |at: u64, with: &'static str| Change {
            at: at..at,
            with: with.into(),
            is_part: false,
        };
        let cut = |at| Change {
            at,
            with: Bytes::new(),
            is_part: false,
        };
        let changes = vec![insert(2, "x"), cut(2..4), insert(8, "y"), cut(9..10)];
        assert_eq!(
            pieces(10, changes),
            [
                Piece::Keep(0..2),
                Piece::Insert("x".into()),
                Piece::Keep(4..8),
                Piece::Insert("y".into()),
                Piece::Keep(8..9),
            ]
        );
    }
}
