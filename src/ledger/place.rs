//! The place where the bytes of packages lie, as far as the ledger must ask it something.

use std::{collections::HashSet, fmt};

use jiff::Timestamp;

use super::{LedgerError, RecordId};

/// Number of slices into which [`Place::files_before`] divides all files, by the first byte of the id.
pub(crate) const SLICES: usize = 256;

type Result<T> = std::result::Result<T, LedgerError>;

/// A place where bytes lie. Each file is known by its package's id and its number in the package. The verbs
/// block and are called from blocking threads only.
pub(crate) trait Place: fmt::Debug + Send + Sync {
    /// Returns the number of bytes that may still be written; `None` if the place does not know.
    fn free_bytes(&self) -> Result<Option<u64>>;

    /// Returns the number of files that may still be created; `None` if there is no limit, or it is not
    /// known.
    fn free_files(&self) -> Result<Option<u64>>;

    /// Removes a file; a missing one is no error.
    fn remove(&self, id: RecordId, number: u32) -> Result<()>;

    /// Removes a file, and takes its contents from those who are reading it; a missing one is no error.
    fn destroy(&self, id: RecordId, number: u32) -> Result<()>;

    /// Removes the files that these locators name, which the place itself made: they lie at somebody else's
    /// store. Those that are gone are no error.
    fn remove_elsewhere(&self, locators: &[u8]) -> Result<()>;

    /// Removes at most `limit` drafts that were last written before `before`. Returns how many.
    fn remove_drafts(&self, before: Timestamp, limit: usize) -> Result<u64>;

    /// Lists the files of the packages whose id begins with `slice` that were written before `before`, except
    /// those of the packages in `except`.
    fn files_before(
        &self,
        slice: u8,
        before: Timestamp,
        except: &HashSet<RecordId>,
    ) -> Result<Vec<(RecordId, u32)>>;

    /// Sets some room aside, if there is any. On a full disk, what must be written before files can be
    /// removed goes there.
    fn keep_spare(&self) -> Result<()>;

    /// Gives that room up. Returns false if there was none.
    fn give_spare(&self) -> Result<bool>;
}
