//! A rewritten message: its new body, in pieces that a milter can send.

use std::{io, ops::Range};

use bytes::{Bytes, BytesMut};
use mailsplice::rewrite::Eol;

use super::HeaderEdit;
use crate::spool::Spool;

/// The largest piece of a body that a milter can send (65,535 bytes, milter.md 1.2).
pub(super) const PIECE_BYTES_MAX: u64 = 65_535;

/// A rewritten message: header edits and a new body, ready to be sent in one run.
#[derive(Debug)]
pub struct Rewritten {
    /// The changes to the top-level header, in order.
    pub header_edits: Vec<HeaderEdit>,
    /// The number of detached parts.
    pub detached: usize,
    /// Their decoded bytes.
    pub detached_bytes: u64,
    /// The link in the notice.
    pub link: String,
    /// True if the package is that of a copy which came before.
    pub is_copy: bool,
    /// The number of strangers' `X-Depollueur` fields that are removed.
    pub foreign_marks: usize,
    /// The line ending of added lines.
    pub eol: Eol,
    pub(super) spool: Spool,
    pub(super) pieces: std::vec::IntoIter<Piece>,
    /// The unsent rest of the current piece.
    pub(super) rest: Option<Piece>,
}

/// A run of the new body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Bytes of the sender, from the spool.
    Keep(Range<u64>),
    /// Bytes of ours.
    Insert(Bytes),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Keep(range) => range.end - range.start,
            Self::Insert(bytes) => bytes.len() as u64,
        }
    }
}

impl Rewritten {
    /// Returns the next piece of the new body, `None` at its end. Pieces are at most 65,535 bytes
    /// long; small ones are put together, as each is a packet to Postfix.
    ///
    /// # Errors
    /// The spool could not be read back: the message must then be refused for the moment (451).
    pub async fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        let Some(first) = self.next_part().await? else {
            return Ok(None);
        };
        if !self.has_room(first.len()) {
            return Ok(Some(first));
        }
        let mut piece = BytesMut::from(first);
        while self.has_room(piece.len())
            && let Some(part) = self.next_part().await?
        {
            piece.extend_from_slice(&part);
        }
        Ok(Some(piece.freeze()))
    }

    /// Returns true if there is a next part that fits after a piece of this length.
    fn has_room(&self, len: usize) -> bool {
        let next = self
            .rest
            .as_ref()
            .or_else(|| self.pieces.as_slice().first());
        next.is_some_and(|next| len as u64 + next.len() <= PIECE_BYTES_MAX)
    }

    /// Returns the next part of the new body, all of it from one piece.
    async fn next_part(&mut self) -> io::Result<Option<Bytes>> {
        let Some(piece) = self.rest.take().or_else(|| self.pieces.next()) else {
            return Ok(None);
        };
        match piece {
            Piece::Keep(range) => {
                let end = range.end.min(range.start + PIECE_BYTES_MAX);
                self.rest = (end < range.end).then_some(Piece::Keep(end..range.end));
                Ok(Some(self.spool.read(range.start..end).await?.into()))
            }
            Piece::Insert(mut bytes) => {
                let piece = bytes.split_to(bytes.len().min(PIECE_BYTES_MAX as usize));
                self.rest = (!bytes.is_empty()).then_some(Piece::Insert(bytes));
                Ok(Some(piece))
            }
        }
    }

    /// Returns the next part, and true if its bytes are the sender's.
    #[cfg(any(test, fuzzing))]
    pub(crate) async fn next_run(&mut self) -> io::Result<Option<(bool, Bytes)>> {
        let rest = self.rest.as_ref();
        let next = rest.or_else(|| self.pieces.as_slice().first());
        let is_senders = matches!(next, Some(Piece::Keep(_)));
        Ok(self.next_part().await?.map(|bytes| (is_senders, bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Spools;

    #[tokio::test]
    async fn small_pieces_go_out_together_and_none_is_too_large() {
        let mut spool = Spools::new(std::path::Path::new("/nonexistent"), usize::MAX).spool();
        let kept = [b'k'; 70_000];
        spool.push(&kept);
        let insert = |len: usize| Piece::Insert(Bytes::from(vec![b'i'; len]));
        let pieces = vec![
            insert(10),
            Piece::Keep(0..20),
            insert(0),
            insert(65_505),
            Piece::Keep(0..70_000),
            insert(3),
        ];
        let mut rewritten = Rewritten {
            header_edits: Vec::new(),
            detached: 1,
            detached_bytes: 1,
            link: String::new(),
            is_copy: false,
            foreign_marks: 0,
            eol: Eol::CrLf,
            spool,
            pieces: pieces.into_iter(),
            rest: None,
        };
        let mut lens = Vec::new();
        while let Some(piece) = rewritten.next_piece().await.unwrap() {
            lens.push(piece.len());
        }
        assert_eq!(lens, [65_535, 65_535, 70_000 - 65_535 + 3]);
    }
}
