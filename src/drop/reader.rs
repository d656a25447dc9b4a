//! The way out of the drop: a range of a file, decrypted segment by segment.

use std::{io::ErrorKind, ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    DropError, RecordId, Store,
    blobs::Blob,
    blocking,
    vault::{HEADER_BYTES, Layout, Opener, SEGMENT_BYTES, Vault},
};
use crate::aside::Aside;

/// Reads a range of a file, segment by segment.
///
/// It holds an open file, which is read to its end even if the sweep removes it meanwhile, but not if an
/// admin destroys it. Of an object in a bucket it reads on as long as that is there.
#[derive(Debug)]
pub struct FileReader {
    blob: Arc<OpenBlob>,
    range: Range<u64>,
}

#[derive(Debug)]
struct OpenBlob {
    /// The file may have been removed meanwhile; its space is then freed when it is closed.
    blob: Aside<Box<dyn Blob>>,
    /// `None` if the ciphertext is read as it is.
    opener: Option<Opener>,
}

impl FileReader {
    pub(super) fn open(
        store: &Store,
        vault: &Vault,
        number: u32,
        size: u64,
        range: Range<u64>,
    ) -> Result<Self, DropError> {
        if range.start > range.end || range.end > size {
            return Err(DropError::Misuse(
                "a range reaches past the end of its file",
            ));
        }

        let layout = Layout::new(size).ok_or(DropError::Misuse("a file is larger than 256 TiB"))?;
        let wanted = layout.sealed_around(&range);
        let blob = store
            .blobs
            .open(vault.id(), number, layout.sealed_bytes(), wanted)?;

        let mut header = [0; HEADER_BYTES];
        blob.read_exact_at(&mut header, 0)
            .map_err(|e| DropError::io("read", blob.path(), e))?;
        let opened = vault.open_file(number, layout, &header);
        let opener = opened.map_err(|e| DropError::damaged(blob.path(), e.to_string()))?;

        Ok(Self {
            blob: Arc::new(OpenBlob {
                blob: Aside::new(blob),
                opener: Some(opener),
            }),
            range,
        })
    }

    /// Reads the ciphertext of a blob of this number and length.
    pub(super) fn sealed(
        store: &Store,
        id: RecordId,
        (number, length): (u32, u64),
        range: Range<u64>,
    ) -> Result<Self, DropError> {
        if range.start > range.end || range.end > length {
            return Err(DropError::Misuse(
                "a range reaches past the end of its file",
            ));
        }
        let blob = store.blobs.open(id, number, length, range.clone())?;
        Ok(Self {
            blob: Arc::new(OpenBlob {
                blob: Aside::new(blob),
                opener: None,
            }),
            range,
        })
    }

    /// Returns the next bytes, at most a segment of 64 KiB, or `None` at the end of the range. No thread
    /// waits between two calls. Cancel-safe.
    ///
    /// Bytes that the system has in memory are read and decrypted at once, which takes less time than waking
    /// another thread for it: a tenth of a millisecond at most. Only a read that must wait for a disk goes to
    /// a thread that may block.
    ///
    /// # Errors
    /// The blob is damaged: the bytes returned so far are right, and none follow.
    pub async fn next(&mut self) -> Result<Option<Bytes>, DropError> {
        if self.range.is_empty() {
            return Ok(None);
        }
        let bytes = match self.blob.read(self.range.clone(), DiskWait::Never)? {
            Some(bytes) => bytes,
            None => self.wait_for().await?,
        };
        self.range.start += bytes.len() as u64;
        Ok(Some(bytes))
    }

    async fn wait_for(&self) -> Result<Bytes, DropError> {
        let (blob, range) = (Arc::clone(&self.blob), self.range.clone());
        let read = blocking(move || blob.read(range, DiskWait::IfNeedBe)).await?;
        Ok(read.expect("who waits gets all"))
    }
}

/// Permission for a read to wait for a disk.
#[derive(Clone, Copy)]
enum DiskWait {
    Never,
    IfNeedBe,
}

impl OpenBlob {
    /// Returns `None` if it would have to wait, and must not.
    fn read(&self, range: Range<u64>, wait: DiskWait) -> Result<Option<Bytes>, DropError> {
        match &self.opener {
            Some(opener) => self.read_segment(opener, range, wait),
            None => self.read_sealed(range, wait),
        }
    }

    /// Reads the part of the range that lies in the segment at its beginning.
    fn read_segment(
        &self,

        opener: &Opener,
        range: Range<u64>,
        wait: DiskWait,
    ) -> Result<Option<Bytes>, DropError> {
        let layout = opener.layout();
        let number = layout.segment_of(range.start);
        let (plain, sealed) = (layout.plain(number), layout.sealed(number));
        let mut segment = vec![0; (sealed.end - sealed.start) as usize];
        if !self.fill(&mut segment, sealed.start, wait)? {
            return Ok(None);
        }
        opener
            .open(number, &mut segment)
            .map_err(|e| DropError::damaged(self.blob.path(), format!("segment {number}: {e}")))?;
        let start = (range.start - plain.start) as usize;
        let end = (range.end.min(plain.end) - plain.start) as usize;
        Ok(Some(Bytes::from(segment).slice(start..end)))
    }

    /// Reads the first bytes of the range as they are stored, at most as many as a segment has.
    fn read_sealed(&self, range: Range<u64>, wait: DiskWait) -> Result<Option<Bytes>, DropError> {
        let length = (range.end - range.start).min(SEGMENT_BYTES as u64);
        let mut bytes = vec![0; length as usize];
        let filled = self.fill(&mut bytes, range.start, wait)?;
        Ok(filled.then(|| bytes.into()))
    }

    fn fill(&self, bytes: &mut [u8], offset: u64, wait: DiskWait) -> Result<bool, DropError> {
        match wait {
            DiskWait::Never => Ok(self.blob.read_at_hand(bytes, offset)),
            DiskWait::IfNeedBe => {
                let read = self.blob.read_exact_at(bytes, offset);
                read.map_err(|e| match e.kind() {
                    ErrorKind::UnexpectedEof => {
                        DropError::damaged(self.blob.path(), "it was cut, or destroyed by an admin")
                    }
                    _ => DropError::io("read", self.blob.path(), e),
                })?;
                Ok(true)
            }
        }
    }
}
