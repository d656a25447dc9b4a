//! The way out of the drop: a range of a file, decrypted segment by segment.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    DropError, Store,
    blobs::Blob,
    blocking,
    vault::{HEADER_BYTES, Layout, Opener, Vault},
};

/// Reads a range of a file, segment by segment.
///
/// It holds an open file: a package that is destroyed meanwhile is still read to its end.
#[derive(Debug)]
pub struct FileReader {
    blob: Arc<OpenBlob>,
    range: Range<u64>,
}

#[derive(Debug)]
struct OpenBlob {
    blob: Box<dyn Blob>,
    opener: Opener,
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
        let blob = store
            .blobs
            .open(vault.id(), number, layout.sealed_bytes())?;
        let mut header = [0; HEADER_BYTES];
        blob.read_exact_at(&mut header, 0)
            .map_err(|e| DropError::io("read", blob.path(), e))?;
        let opened = vault.open_file(number, layout, &header);
        let opener = opened.map_err(|e| DropError::damaged(blob.path(), e.to_string()))?;
        Ok(Self {
            blob: Arc::new(OpenBlob { blob, opener }),
            range,
        })
    }

    /// The next bytes, at most a segment of 64 KiB, `None` at the end of the range. No thread waits
    /// between two calls. Cancel-safe.
    ///
    /// # Errors
    /// The blob is damaged: what was given out so far is right, nothing follows.
    pub async fn next(&mut self) -> Result<Option<Bytes>, DropError> {
        if self.range.is_empty() {
            return Ok(None);
        }
        let (blob, range) = (Arc::clone(&self.blob), self.range.clone());
        let bytes = blocking(move || blob.read(range)).await?;
        self.range.start += bytes.len() as u64;
        Ok(Some(bytes))
    }
}

impl OpenBlob {
    /// Reads what the segment at the beginning of the range holds of it.
    fn read(&self, range: Range<u64>) -> Result<Bytes, DropError> {
        let layout = self.opener.layout();
        let number = layout.segment_of(range.start);
        let (plain, sealed) = (layout.plain(number), layout.sealed(number));
        let mut segment = vec![0; (sealed.end - sealed.start) as usize];
        let read = self.blob.read_exact_at(&mut segment, sealed.start);
        read.map_err(|e| DropError::io("read", self.blob.path(), e))?;
        self.opener
            .open(number, &mut segment)
            .map_err(|e| DropError::damaged(self.blob.path(), format!("segment {number}: {e}")))?;
        let start = (range.start - plain.start) as usize;
        let end = (range.end.min(plain.end) - plain.start) as usize;
        Ok(Bytes::from(segment).slice(start..end))
    }
}
