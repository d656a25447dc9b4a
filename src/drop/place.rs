//! What the ledger may ask of the blobs.

use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;

use super::{blobs::Blobs, elsewhere};
use crate::{
    jirafeau::Jirafeau,
    ledger::{LedgerError, Place, RecordId},
};

type Result<T> = std::result::Result<T, LedgerError>;

/// The blobs, and the files that Jirafeau keeps, as the ledger sees them.
#[derive(Debug)]
pub(super) struct BlobPlace(pub(super) Arc<dyn Blobs>, pub(super) Option<Jirafeau>);

impl Place for BlobPlace {
    fn free_bytes(&self) -> Result<Option<u64>> {
        Ok(self.0.free_bytes()?)
    }

    fn free_files(&self) -> Result<Option<u64>> {
        Ok(self.0.free_inodes()?)
    }

    fn remove(&self, id: RecordId, number: u32) -> Result<()> {
        Ok(self.0.remove(id, number)?)
    }

    fn destroy(&self, id: RecordId, number: u32) -> Result<()> {
        Ok(self.0.destroy(id, number)?)
    }

    fn remove_elsewhere(&self, locators: &[u8]) -> Result<()> {
        Ok(elsewhere::remove(self.1.as_ref(), locators)?)
    }

    fn remove_drafts(&self, before: Timestamp, limit: usize) -> Result<u64> {
        Ok(self.0.remove_drafts(before, limit)?)
    }

    fn files_before(
        &self,
        slice: u8,
        before: Timestamp,
        except: &HashSet<RecordId>,
    ) -> Result<Vec<(RecordId, u32)>> {
        Ok(self.0.blobs_before(slice, before, except)?)
    }

    fn keep_spare(&self) -> Result<()> {
        Ok(self.0.keep_spare()?)
    }

    fn give_spare(&self) -> Result<bool> {
        Ok(self.0.give_spare()?)
    }
}
