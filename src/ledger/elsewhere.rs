//! Packages whose files lie at somebody else's store, which has links and an expiry of its own.
//!
//! Whoever saw such a link fetches the file there, whatever our records say. So what is to end at once is removed
//! there at once: to revoke such a package is to destroy it. What cannot be removed stays doomed, and the next
//! sweep tries again, until that store itself has ended it.

use jiff::Timestamp;

use super::{
    Books, LedgerError, RecordId,
    error::{Fault, FaultKind},
    records::{Elsewhere, Record},
};

type Result<T> = std::result::Result<T, LedgerError>;

impl Books {
    /// Seals the locators of a package's files, which open without its link.
    pub(crate) fn seal_locators(&self, id: RecordId, plain: &[u8]) -> Vec<u8> {
        self.key.seal_locators(id, plain)
    }

    /// Removes the files of a package that lie elsewhere, if it has any.
    ///
    /// # Errors
    /// One of them is, or may be, still there.
    pub(crate) fn remove_elsewhere(&self, id: RecordId, now: Timestamp) -> Result<()> {
        let record = self.records.find(id)?;
        let Some(elsewhere) = record.and_then(|record| record.elsewhere) else {
            return Ok(());
        };
        if elsewhere.locators.is_empty() {
            return Ok(());
        }

        match self.remove_there(id, &elsewhere) {
            Err(error) if now >= elsewhere.kept_until => {
                tracing::warn!(package = %id, "what its own store should have ended is not removed: {error}");
                Ok(())
            }
            removed => removed,
        }
    }

    fn remove_there(&self, id: RecordId, elsewhere: &Elsewhere) -> Result<()> {
        let Some(locators) = self.key.open_locators(id, &elsewhere.locators) else {
            let text = format!(
                "the files of {id} lie elsewhere, and drop.key is not the key under which it is known where: put it back from the backup"
            );
            return Err(Fault::new(FaultKind::Damaged, text)
                .of_one_file(true)
                .into());
        };
        self.place.remove_elsewhere(&locators)
    }
}

impl Record {
    /// Returns true if its files lie at somebody else's store, and may still be there.
    pub(crate) fn is_elsewhere(&self) -> bool {
        let there = self.elsewhere.as_ref();
        there.is_some_and(|there| !there.locators.is_empty())
    }

    /// Returns the latest time until which it can be fetched; `None` if nothing bounds that.
    pub(crate) fn kept_until(&self) -> Option<Timestamp> {
        self.elsewhere.as_ref().map(|there| there.kept_until)
    }
}
