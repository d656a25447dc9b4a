//! Blobs in memory, for tests: a second store behind the seam, as unlike a directory as object
//! storage is. Nothing is renamed, and a finished draft has no name.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use jiff::Timestamp;

use super::{Blob, Blobs, Draft, DropError, Finished, RecordId, Result};
use crate::lock::lock;

type BlobKey = (RecordId, u32);
type Stored = Arc<Mutex<Vec<u8>>>;

#[derive(Clone, Debug, Default)]
pub(in crate::drop) struct Memory(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    next: u64,
    drafts: BTreeMap<u64, (Timestamp, Vec<u8>)>,
    blobs: BTreeMap<BlobKey, (Timestamp, Stored)>,
}

/// A draft, finished or not. It lies in the store, as it would on another machine.
#[derive(Debug)]
struct Upload {
    store: Memory,
    number: u64,
    key: BlobKey,
}

#[derive(Debug)]
struct MemoryBlob(Stored);

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        lock(&self.0)
    }
}

fn nowhere() -> &'static Path {
    Path::new("/memory")
}

fn gone() -> DropError {
    DropError::io("find", nowhere(), io::ErrorKind::NotFound.into())
}

impl Blobs for Memory {
    fn probe(&self) -> Result<()> {
        Ok(())
    }

    fn draft(&self, id: RecordId, number: u32) -> Result<Box<dyn Draft>> {
        let mut contents = self.lock();
        contents.next += 1;
        let upload = contents.next;
        contents
            .drafts
            .insert(upload, (Timestamp::now(), Vec::new()));
        Ok(Box::new(Upload {
            store: self.clone(),
            number: upload,
            key: (id, number),
        }))
    }

    fn sync(&self, _: RecordId, _: &[u32]) -> Result<()> {
        Ok(())
    }

    fn length(&self, id: RecordId, number: u32) -> Result<u64> {
        let found = self.lock().blobs.get(&(id, number)).cloned();
        found
            .map(|(_, bytes)| lock(&bytes).len() as u64)
            .ok_or_else(gone)
    }

    fn open(
        &self,
        id: RecordId,
        number: u32,
        length: u64,
        _wanted: Range<u64>,
    ) -> Result<Box<dyn Blob>> {
        let found = self.lock().blobs.get(&(id, number)).cloned();
        match found {
            Some((_, bytes)) if lock(&bytes).len() as u64 == length => {
                Ok(Box::new(MemoryBlob(bytes)))
            }
            Some(_) => Err(DropError::damaged(nowhere(), "it is cut")),
            None => Err(DropError::missing(nowhere())),
        }
    }

    fn remove(&self, id: RecordId, number: u32) -> Result<()> {
        self.lock().blobs.remove(&(id, number));
        Ok(())
    }

    fn destroy(&self, id: RecordId, number: u32) -> Result<()> {
        if let Some((_, bytes)) = self.lock().blobs.remove(&(id, number)) {
            lock(&bytes).clear();
        }
        Ok(())
    }

    fn remove_drafts(&self, before: Timestamp, limit: usize) -> Result<u64> {
        let drafts = &mut self.lock().drafts;
        let old = drafts.iter().filter(|(_, (written, _))| *written < before);
        let old: Vec<_> = old.map(|(&number, _)| number).take(limit).collect();
        old.iter().for_each(|number| drop(drafts.remove(number)));
        Ok(old.len() as u64)
    }

    fn blobs_before(
        &self,
        slice: u8,
        before: Timestamp,
        except: &HashSet<RecordId>,
    ) -> Result<Vec<BlobKey>> {
        let contents = self.lock();
        let old = contents
            .blobs
            .iter()
            .filter(|(_, (placed, _))| *placed < before);
        let keys = old.map(|(&key, _)| key);
        let in_slice = keys.filter(|(id, _)| id.0[0] == slice && !except.contains(id));
        Ok(in_slice.collect())
    }

    fn free_bytes(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn free_inodes(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn keep_spare(&self) -> Result<()> {
        Ok(())
    }

    fn give_spare(&self) -> Result<bool> {
        Ok(false)
    }
}

impl Draft for Upload {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut contents = self.store.lock();
        let (written, draft) = contents.drafts.get_mut(&self.number).ok_or_else(gone)?;
        *written = Timestamp::now();
        draft.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn Finished>> {
        Ok(self)
    }
}

impl Finished for Upload {
    fn place(self: Box<Self>) -> Result<()> {
        let mut contents = self.store.lock();
        if contents.blobs.contains_key(&self.key) {
            let taken = io::ErrorKind::AlreadyExists.into();
            return Err(DropError::io("make", nowhere(), taken));
        }
        let (_, bytes) = contents.drafts.remove(&self.number).ok_or_else(gone)?;
        contents
            .blobs
            .insert(self.key, (Timestamp::now(), Arc::new(Mutex::new(bytes))));
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.store.lock().drafts.remove(&self.number);
    }
}

impl Blob for MemoryBlob {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let range = start..start.saturating_add(bytes.len());
        let stored = lock(&self.0);
        let found = stored.get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(found);
        Ok(())
    }

    fn read_at_hand(&self, bytes: &mut [u8], offset: u64) -> bool {
        self.read_exact_at(bytes, offset).is_ok()
    }

    fn path(&self) -> &Path {
        nowhere()
    }
}
