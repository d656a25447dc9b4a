//! Where encrypted contents lie: the seam behind which a directory stands.
//!
//! A store of blobs is one more file that implements [`Blobs`] and passes the suite in
//! `tests/conformance/blobs.rs`. Its verbs block and are called from blocking threads only. It
//! knows nothing of tokens, names and times of expiry.

mod directory;
#[cfg(test)]
mod memory;

use std::{collections::HashSet, fmt, io, path::Path};

use jiff::Timestamp;

pub(super) use self::directory::Directory;
#[cfg(test)]
pub(super) use self::{directory::draft_into, memory::Memory};
use super::{DropError, RecordId};

/// Into how many slices [`Blobs::blobs_before`] divides all blobs: by the first byte of the id.
pub(super) const SLICES: usize = 256;

pub(super) type Result<T, E = DropError> = std::result::Result<T, E>;

/// A store of blobs, each known by its package's id and the number of the file in it.
pub(super) trait Blobs: fmt::Debug + Send + Sync {
    /// Can a blob be written? Leaves nothing behind.
    fn probe(&self) -> Result<()>;

    /// Begins a blob that nobody sees before it is placed.
    fn draft(&self, id: RecordId, number: u32) -> Result<Box<dyn Draft>>;

    /// Makes all blobs of a package that were placed durable under their names.
    fn sync(&self, id: RecordId) -> Result<()>;

    /// Fails when the blob is not in its place.
    fn exists(&self, id: RecordId, number: u32) -> Result<()>;

    /// Opens a blob of exactly this length for reading; one of another length is damaged.
    fn open(&self, id: RecordId, number: u32, length: u64) -> Result<Box<dyn Blob>>;

    /// Removes a blob; one that is not there is no error.
    fn remove(&self, id: RecordId, number: u32) -> Result<()>;

    /// Removes a blob, and takes its contents from those who are reading it; one that is not there is no error.
    fn destroy(&self, id: RecordId, number: u32) -> Result<()>;

    /// Removes drafts that were last written before then, at most `limit`. Returns how many.
    fn remove_drafts(&self, before: Timestamp, limit: usize) -> Result<u64>;

    /// The blobs of one of [`SLICES`] that were written before then, but for those of packages in
    /// `except`. Each is looked at whose package is not there; of the others the name is enough.
    fn blobs_before(
        &self,
        slice: u8,
        before: Timestamp,
        except: &HashSet<RecordId>,
    ) -> Result<Vec<(RecordId, u32)>>;

    /// How many bytes may still be written; `None` when the store does not know.
    fn free_bytes(&self) -> Result<Option<u64>>;

    /// How many blobs may still be made; `None` when there is no such limit, or it is not known.
    fn free_inodes(&self) -> Result<Option<u64>>;

    /// Sets some room aside, if there is any: what is written so that blobs can be removed needs it
    /// when nothing else is left.
    fn keep_spare(&self) -> Result<()>;

    /// Gives that room up. False when there was none.
    fn give_spare(&self) -> Result<bool>;
}

/// A blob on its way. Dropping it leaves nothing behind.
pub(super) trait Draft: fmt::Debug + Send + Sync {
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes the contents durable. A failure is final: the blob is given up.
    fn finish(self: Box<Self>) -> Result<Box<dyn Finished>>;
}

/// A blob whose contents are durable, without its name. Dropping it leaves nothing behind.
pub(super) trait Finished: fmt::Debug + Send + Sync {
    /// Gives it its name, which must be free; [`Blobs::sync`] makes the name durable.
    fn place(self: Box<Self>) -> Result<()>;
}

/// A blob that is open: it can be read to its end, whatever becomes of its name, unless it is destroyed.
pub(super) trait Blob: fmt::Debug + Send + Sync {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// The same for bytes that are in memory. False when they are not all, or nobody knows: `bytes`
    /// then hold anything. Waits for nothing, so that it may be called where no thread may block.
    fn read_at_hand(&self, bytes: &mut [u8], offset: u64) -> bool;

    /// Where it is, for messages.
    fn path(&self) -> &Path;
}
