//! Blobs on their way from one store to another, while mail and readers go on.
//!
//! What is written goes to the new store, what is read may still lie in the old one. A blob is removed from the old
//! one after it is durable in the new one (`drop/migrate.rs`), so it is missing in neither: who does not find it in
//! one finds it in the other, or, if it was moved meanwhile, in the first. The directory is asked first: it
//! costs no request, and what lies there is read while the bucket is away.

use std::{
    collections::HashSet,
    io,
    ops::Range,
    path::Path,
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;

use super::{Blob, Blobs, Draft, RecordId, Result};

/// Two stores, of which one is being emptied into the other.
#[derive(Clone, Debug)]
pub(in crate::drop) struct Moving {
    /// The store that is being emptied.
    pub(in crate::drop) from: Arc<dyn Blobs>,
    /// The store that blobs are written to.
    pub(in crate::drop) to: Arc<dyn Blobs>,
    /// True if the one that is being emptied is asked first.
    from_first: bool,
}

/// A blob that was opened in the store that is being emptied. When it is gone from there, it is read on in
/// the other one.
#[derive(Debug)]
struct MovingBlob {
    blob: Box<dyn Blob>,
    /// The same blob in the other store, once it was needed.
    moved: OnceLock<Box<dyn Blob>>,
    to: Arc<dyn Blobs>,
    key: (RecordId, u32),
    length: u64,
    end: u64,
}

impl Moving {
    pub(in crate::drop) fn new(from: Arc<dyn Blobs>, to: Arc<dyn Blobs>, from_first: bool) -> Self {
        Self {
            from,
            to,
            from_first,
        }
    }

    /// Returns the stores in the order in which they are asked: one may have got the blob since it was asked first.
    fn stores(&self) -> [&Arc<dyn Blobs>; 3] {
        let (first, second) = match self.from_first {
            true => (&self.from, &self.to),
            false => (&self.to, &self.from),
        };
        [first, second, first]
    }

    /// Returns the first answer that is none of a missing blob, or the last one.
    fn ask<T>(&self, ask: impl Fn(&Arc<dyn Blobs>) -> Result<T>) -> Result<T> {
        let [first, second, again] = self.stores();
        let mut found = ask(first);
        for store in [second, again] {
            match found {
                Err(error) if error.is_missing() => found = ask(store),
                answered => return answered,
            }
        }
        found
    }
}

impl Blobs for Moving {
    fn probe(&self) -> Result<()> {
        self.to.probe()
    }

    fn draft(&self, id: RecordId, number: u32) -> Result<Box<dyn Draft>> {
        self.to.draft(id, number)
    }

    fn sync(&self, id: RecordId, loose: &[u32]) -> Result<()> {
        self.to.sync(id, loose)
    }

    fn length(&self, id: RecordId, number: u32) -> Result<u64> {
        self.ask(|store| store.length(id, number))
    }

    fn open(
        &self,
        id: RecordId,
        number: u32,
        length: u64,
        wanted: Range<u64>,
    ) -> Result<Box<dyn Blob>> {
        let end = wanted.end;
        self.ask(|store| {
            let blob = store.open(id, number, length, wanted.clone())?;
            if Arc::ptr_eq(store, &self.to) {
                return Ok(blob);
            }
            Ok(Box::new(MovingBlob {
                blob,
                moved: OnceLock::new(),
                to: Arc::clone(&self.to),
                key: (id, number),
                length,
                end,
            }))
        })
    }

    fn remove(&self, id: RecordId, number: u32) -> Result<()> {
        let removed = self.to.remove(id, number);
        self.from.remove(id, number).and(removed)
    }

    /// Begins where blobs are written to: who loses one in the other store looks for it there.
    fn destroy(&self, id: RecordId, number: u32) -> Result<()> {
        let destroyed = self.to.destroy(id, number);
        self.from.destroy(id, number).and(destroyed)
    }

    fn remove_drafts(&self, before: Timestamp, limit: usize) -> Result<u64> {
        let removed = self.to.remove_drafts(before, limit)?;
        let rest = limit.saturating_sub(usize::try_from(removed).unwrap_or(limit));
        Ok(removed + self.from.remove_drafts(before, rest)?)
    }

    fn blobs_before(
        &self,
        slice: u8,
        before: Timestamp,
        except: &HashSet<RecordId>,
    ) -> Result<Vec<(RecordId, u32)>> {
        let mut found = self.to.blobs_before(slice, before, except)?;
        found.extend(self.from.blobs_before(slice, before, except)?);
        Ok(found)
    }

    fn free_bytes(&self) -> Result<Option<u64>> {
        self.to.free_bytes()
    }

    fn free_inodes(&self) -> Result<Option<u64>> {
        self.to.free_inodes()
    }

    fn keep_spare(&self) -> Result<()> {
        self.to.keep_spare()
    }

    fn give_spare(&self) -> Result<bool> {
        self.to.give_spare()
    }
}

impl MovingBlob {
    /// Returns the same blob in the other store, from this offset on.
    fn moved(&self, offset: u64) -> Result<&dyn Blob> {
        if let Some(moved) = self.moved.get() {
            return Ok(&**moved);
        }
        let (id, number) = self.key;
        let wanted = offset..self.end.max(offset);
        let opened = self.to.open(id, number, self.length, wanted)?;
        Ok(&**self.moved.get_or_init(|| opened))
    }
}

impl Blob for MovingBlob {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        if let Some(moved) = self.moved.get() {
            return moved.read_exact_at(bytes, offset);
        }
        self.blob.read_exact_at(bytes, offset).or_else(|error| {
            let moved = self.moved(offset).map_err(|_| error)?;
            moved.read_exact_at(bytes, offset)
        })
    }

    fn read_at_hand(&self, bytes: &mut [u8], offset: u64) -> bool {
        let blob = self.moved.get().unwrap_or(&self.blob);
        blob.read_at_hand(bytes, offset)
    }

    fn path(&self) -> &Path {
        self.blob.path()
    }
}
