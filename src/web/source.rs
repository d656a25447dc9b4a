//! The bytes of a download, piece by piece from the drop.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;

use super::zip::Piece;
use crate::drop::{Door, Drop, DropError, FileReader, Package, Release, SealedPackage, Token};

/// A package that is given out, decrypted or as it is stored.
#[derive(Clone)]
pub(super) enum Holding {
    Open(Token, Arc<Package>),
    Sealed(Arc<SealedPackage>),
}

/// Reads pieces one after the other. Holds one segment at a time, and no thread.
pub(super) struct Source {
    drop: Drop,
    holding: Holding,
    pieces: VecDeque<Piece>,
    reader: Option<FileReader>,
}

impl Holding {
    pub(super) fn door(&self) -> Door {
        match self {
            Self::Open(token, _) => token.into(),
            Self::Sealed(package) => Door::sealed(package.id),
        }
    }

    pub(super) fn queue_id(&self) -> &str {
        match self {
            Self::Open(_, package) => &package.origin.queue_id,
            Self::Sealed(package) => &package.origin.queue_id,
        }
    }

    /// Whether files may be given out, after a virus scan where one is due. What only its readers can decrypt cannot
    /// be scanned.
    pub(super) async fn release(
        &self,
        drop: &Drop,
        files: Range<usize>,
    ) -> Result<Release, DropError> {
        match self {
            Self::Open(token, package) => {
                drop.release(token, package, files, Timestamp::now()).await
            }
            Self::Sealed(_) => Ok(Release::Given),
        }
    }

    /// How many files there are.
    pub(super) fn files(&self) -> usize {
        match self {
            Self::Open(_, package) => package.files.len(),
            Self::Sealed(package) => package.files.len(),
        }
    }

    /// The bytes of a file that it has, as it is given out.
    pub(super) fn len(&self, index: usize) -> u64 {
        match self {
            Self::Open(_, package) => package.files[index].size,
            Self::Sealed(package) => package.files[index].sealed_bytes,
        }
    }

    async fn read(
        &self,
        drop: &Drop,
        index: usize,
        range: Range<u64>,
    ) -> Result<FileReader, DropError> {
        match self {
            Self::Open(token, package) => drop.read(token, package, index, range).await,
            Self::Sealed(package) => drop.read_sealed(package, index, range).await,
        }
    }
}

impl Source {
    pub(super) fn new(drop: Drop, holding: Holding, pieces: Vec<Piece>) -> Self {
        Self {
            drop,
            holding,
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
                    self.reader = Some(self.holding.read(&self.drop, index, range).await?);
                }
            }
        }
    }
}
