//! The bytes of a download, piece by piece from the drop.

use std::{mem, ops::Range, sync::Arc};

use bytes::Bytes;
use jiff::{Timestamp, tz::TimeZone};

use super::{shelf::Shelved, zip::ArchivePiece};
use crate::{
    budget::Share,
    drop::{Door, DropError, FileDrop, FileReader, Release, SealedPackage, Token},
};

/// A package that is given out, decrypted or as it is stored.
#[derive(Clone)]
pub(super) enum Holding {
    Open(Token, Arc<Shelved>),
    /// With the memory that it takes.
    Sealed(Arc<(SealedPackage, Share)>),
}

/// The pieces that are still to be read.
pub(super) enum Pieces {
    None,
    One(ArchivePiece),
    /// A range of the ZIP of all files, with times in this zone.
    Archive(TimeZone, Range<u64>),
}

/// A reader of pieces, one after the other. Holds one segment at a time, and no thread.
pub(super) struct PieceReader {
    drop: FileDrop,
    holding: Holding,
    pieces: Pieces,
    reader: Option<FileReader>,
}

impl Holding {
    pub(super) fn door(&self) -> Door {
        match self {
            Self::Open(token, _) => token.into(),
            Self::Sealed(sealed) => Door::sealed(sealed.0.id),
        }
    }

    pub(super) fn queue_id(&self) -> &str {
        match self {
            Self::Open(_, shelved) => &shelved.package().origin.queue_id,
            Self::Sealed(sealed) => &sealed.0.origin.queue_id,
        }
    }

    /// Decides if files may be given out, after a virus scan if one is due. Files that only their
    /// readers can decrypt cannot be scanned.
    pub(super) async fn release(
        &self,
        drop: &FileDrop,
        files: Range<usize>,
    ) -> Result<Release, DropError> {
        match self {
            Self::Open(token, shelved) => {
                let now = Timestamp::now();
                drop.release(token, shelved.package(), files, now).await
            }
            Self::Sealed(_) => Ok(Release::Given),
        }
    }

    /// The number of files.
    pub(super) fn files(&self) -> usize {
        match self {
            Self::Open(_, shelved) => shelved.package().files.len(),
            Self::Sealed(sealed) => sealed.0.files.len(),
        }
    }

    /// The size of a file that it has, as it is given out, in bytes.
    pub(super) fn len(&self, index: usize) -> u64 {
        match self {
            Self::Open(_, shelved) => shelved.package().files[index].size,
            Self::Sealed(sealed) => sealed.0.files[index].sealed_bytes,
        }
    }

    async fn read(
        &self,
        drop: &FileDrop,
        index: usize,
        range: Range<u64>,
    ) -> Result<FileReader, DropError> {
        match self {
            Self::Open(token, shelved) => drop.read(token, shelved.package(), index, range).await,
            Self::Sealed(sealed) => drop.read_sealed(&sealed.0, index, range).await,
        }
    }

    fn next_piece(&self, pieces: &mut Pieces) -> Option<ArchivePiece> {
        match (pieces, self) {
            (Pieces::Archive(zone, left), Self::Open(_, shelved)) => {
                shelved.layout(zone).next_piece(left)
            }
            (pieces, _) => match mem::replace(pieces, Pieces::None) {
                Pieces::One(piece) => Some(piece),
                Pieces::None | Pieces::Archive(..) => None,
            },
        }
    }
}

impl PieceReader {
    pub(super) fn new(drop: FileDrop, holding: Holding, pieces: Pieces) -> Self {
        Self {
            drop,
            holding,
            pieces,
            reader: None,
        }
    }

    /// The next bytes, `None` at the end.
    ///
    /// # Errors
    /// A blob is missing or damaged; nothing more may be sent.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, DropError> {
        loop {
            if let Some(reader) = &mut self.reader {
                match reader.next().await? {
                    Some(bytes) => return Ok(Some(bytes)),
                    None => self.reader = None,
                }
            }
            match self.holding.next_piece(&mut self.pieces) {
                None => return Ok(None),
                Some(ArchivePiece::Bytes(bytes)) => return Ok(Some(bytes)),
                Some(ArchivePiece::File { index, range }) => {
                    self.reader = Some(self.holding.read(&self.drop, index, range).await?);
                }
            }
        }
    }
}
