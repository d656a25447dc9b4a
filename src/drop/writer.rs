//! The way of one file's bytes: measured, then encrypted into a blob, or as they are to somebody else's store.

use aws_lc_rs::digest::{self, SHA256};
use bytes::Bytes;

use super::{
    DropError,
    blobs::{Draft, Finished, Result},
    elsewhere::ElsewhereDraft,
    manifest::ManifestFile,
    vault::{HEADER_BYTES, SEGMENT_BYTES, Sealer, TAG_BYTES},
};
use crate::ledger::Allowance;

/// Where the bytes go.
pub(super) enum Contents {
    /// Encrypted, into a blob.
    Sealed(Sealing),
    /// As they are, to somebody else's store.
    Plain(ElsewhereDraft),
}

/// The encryption of one file, and the blob that it goes to.
pub(super) struct Sealing {
    draft: Box<dyn Draft>,
    sealer: Sealer,
    /// The segment being filled; in the first one, the header too.
    segment: Vec<u8>,
    /// Offset of the plain text in `segment`.
    start: usize,
}

/// Measures and writes one file.
pub(super) struct Writer {
    contents: Contents,
    allowance: Allowance,
    sha256: digest::Context,
    crc32: crc32fast::Hasher,
    size: u64,
}

impl Writer {
    pub(super) fn new(contents: Contents, allowance: Allowance) -> Self {
        Self {
            contents,
            allowance,
            sha256: digest::Context::new(&SHA256),
            crc32: crc32fast::Hasher::new(),
            size: 0,
        }
    }

    pub(super) fn write_all(&mut self, blocks: &[Bytes]) -> Result<()> {
        blocks.iter().try_for_each(|block| self.write(block))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.allowance.take(bytes.len() as u64)?;
        self.sha256.update(bytes);
        self.crc32.update(bytes);
        self.size += bytes.len() as u64;
        match &mut self.contents {
            Contents::Sealed(sealing) => sealing.write(bytes),
            Contents::Plain(draft) => draft.write(bytes),
        }
    }

    pub(super) fn finish(self, file: &mut ManifestFile) -> Result<(Box<dyn Finished>, Allowance)> {
        let blob = match self.contents {
            Contents::Sealed(sealing) => sealing.finish()?,
            Contents::Plain(draft) => Box::new(draft).finish()?,
        };

        file.size = self.size;
        file.crc32 = self.crc32.finalize();
        let sha256 = self.sha256.finish();
        file.sha256 = sha256.as_ref().try_into().expect("SHA-256 has 32 bytes");
        Ok((blob, self.allowance))
    }
}

impl Sealing {
    pub(super) fn new(
        draft: Box<dyn Draft>,
        (sealer, header): (Sealer, [u8; HEADER_BYTES]),
    ) -> Self {
        let mut segment = Vec::with_capacity(SEGMENT_BYTES);
        segment.extend_from_slice(&header);
        Self {
            draft,
            sealer,
            segment,
            start: HEADER_BYTES,
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = SEGMENT_BYTES - TAG_BYTES - self.segment.len();
            // Only when more comes is it certain that a full segment is not the last.
            if room == 0 {
                self.seal(false)?;
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.segment.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Box<dyn Finished>> {
        self.seal(true)?;
        self.draft.finish()
    }

    fn seal(&mut self, last: bool) -> Result<()> {
        let sealed = self.sealer.seal(&mut self.segment[self.start..], last);
        let tag = sealed.map_err(|_| DropError::Misuse("a file is larger than 256 TiB"))?;
        self.segment.extend_from_slice(&tag);
        self.draft.write(&self.segment)?;
        self.segment.clear();
        self.start = 0;
        Ok(())
    }
}
