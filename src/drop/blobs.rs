//! The store of encrypted contents: the seam behind which a directory stands, or a bucket.
//!
//! Another store of blobs is one more file that implements [`Blobs`] and passes the suite in
//! `tests/conformance/blobs.rs`. Its verbs block and are called from blocking threads only. It
//! knows nothing of tokens, names and times of expiry.

mod directory;
#[cfg(test)]
mod memory;
mod moving;
mod s3;

use std::{collections::HashSet, fmt, io, ops::Range, path::Path};

use jiff::Timestamp;

pub(crate) use self::s3::{BucketTrial, try_out};
pub(super) use self::{directory::Directory, moving::Moving, s3::S3};
#[cfg(test)]
pub(super) use self::{directory::draft_into, memory::Memory};
use super::{DropError, RecordId};
use crate::jirafeau::UploadedFile;

pub(super) type Result<T, E = DropError> = std::result::Result<T, E>;

/// A store of blobs, each known by its package's id and the number of the file in it.
pub(super) trait Blobs: fmt::Debug + Send + Sync {
    /// Checks that a blob can be written. Leaves nothing behind.
    fn probe(&self) -> Result<()>;

    /// Begins a blob that nobody sees before it is finished.
    fn draft(&self, id: RecordId, number: u32) -> Result<Box<dyn Draft>>;

    /// Makes all placed blobs of a package durable, with their names. The contents of `loose` are not durable yet.
    fn sync(&self, id: RecordId, loose: &[u32]) -> Result<()>;

    /// Returns the length of a blob in bytes; fails if it is not in its place ([`DropError::is_missing`]).
    fn length(&self, id: RecordId, number: u32) -> Result<u64>;

    /// Opens a blob of exactly this length for reading; one of another length is damaged. After its first bytes,
    /// those of `wanted` are going to be read, in order; others may be.
    fn open(
        &self,
        id: RecordId,
        number: u32,
        length: u64,
        wanted: Range<u64>,
    ) -> Result<Box<dyn Blob>>;

    /// Removes a blob; a missing one is no error.
    fn remove(&self, id: RecordId, number: u32) -> Result<()>;

    /// Removes a blob, and takes its contents from those who are reading it; a missing one is no error.
    fn destroy(&self, id: RecordId, number: u32) -> Result<()>;

    /// Removes at most `limit` drafts that were last written before `before`. Returns how many.
    fn remove_drafts(&self, before: Timestamp, limit: usize) -> Result<u64>;

    /// Lists the blobs of the packages whose id begins with `slice` that were written before `before`, except
    /// those of the packages in `except`, for which the name is enough: no file of theirs is looked at. Where
    /// there are too many for one call, the next one of the slice goes on.
    fn blobs_before(
        &self,
        slice: u8,
        before: Timestamp,
        except: &HashSet<RecordId>,
    ) -> Result<Vec<(RecordId, u32)>>;

    /// Returns the number of bytes that may still be written; `None` if the store does not know.
    fn free_bytes(&self) -> Result<Option<u64>>;

    /// Returns the number of blobs that may still be created; `None` if there is no limit, or it is not
    /// known.
    fn free_inodes(&self) -> Result<Option<u64>>;

    /// Sets some room aside, if there is any. On a full disk, what must be written before blobs can be removed
    /// goes there.
    fn keep_spare(&self) -> Result<()>;

    /// Gives that room up. Returns false if there was none.
    fn give_spare(&self) -> Result<bool>;
}

/// A blob on its way. Dropping it leaves nothing behind.
pub(super) trait Draft: fmt::Debug + Send + Sync {
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Ends the contents. A failure is final: the blob is given up.
    fn finish(self: Box<Self>) -> Result<Box<dyn Finished>>;
}

/// A blob whose contents are whole. A store that can rename keeps it without its name; another has it under
/// its name, for which nobody asks before there is a record. Dropping it leaves nothing behind.
pub(super) trait Finished: fmt::Debug + Send + Sync {
    /// Returns true if its contents are durable; [`Blobs::sync`] makes those of others so.
    fn is_durable(&self) -> bool {
        true
    }

    /// Gives it its name for good; [`Blobs::sync`] makes it durable. A store that can rename refuses a
    /// name that is taken.
    fn place(self: Box<Self>) -> Result<()>;

    /// Returns the Jirafeau file that it is, if it is no blob of ours.
    fn elsewhere(&self) -> Option<&UploadedFile> {
        None
    }
}

/// A blob that is open. In a directory it can be read to its end, whatever becomes of its name, unless it is
/// destroyed; in a bucket, as long as it is there.
pub(super) trait Blob: fmt::Debug + Send + Sync {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Reads like [`Blob::read_exact_at`], but only bytes that are in memory. Returns false if some of them
    /// are not, or if that is not known; `bytes` then hold anything. Never blocks: it may be called where no
    /// thread may wait.
    fn read_at_hand(&self, bytes: &mut [u8], offset: u64) -> bool;

    /// Returns its path, for messages.
    fn path(&self) -> &Path;
}
