//! The bytes of a download, piece by piece from the drop.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::zip::Piece;
use crate::drop::{Drop, DropError, FileReader, Package, Token};

/// Reads pieces one after the other. Holds one segment at a time, and no thread.
pub(super) struct Source {
    drop: Drop,
    token: Token,
    package: Arc<Package>,
    pieces: VecDeque<Piece>,
    reader: Option<FileReader>,
}

impl Source {
    pub(super) fn new(drop: Drop, token: Token, package: Arc<Package>, pieces: Vec<Piece>) -> Self {
        Self {
            drop,
            token,
            package,
            pieces: pieces.into(),
            reader: None,
        }
    }

    /// The next bytes, `None` at the end.
    ///
    /// # Errors
    /// A blob is missing or damaged: nothing more may be sent.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, DropError> {
        loop {
            if let Some(reader) = &mut self.reader {
                match reader.next().await? {
                    Some(bytes) => return Ok(Some(bytes)),
                    None => self.reader = None,
                }
            }
            match self.pieces.pop_front() {
                None => return Ok(None),
                Some(Piece::Bytes(bytes)) => return Ok(Some(bytes)),
                Some(Piece::File { index, range }) => {
                    let opened = self.drop.read(&self.token, &self.package, index, range);
                    self.reader = Some(opened.await?);
                }
            }
        }
    }
}
