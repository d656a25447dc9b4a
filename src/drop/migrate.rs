//! The move of all blobs from one store to another, beside mail, readers and sweep.
//!
//! The configuration names the new store (`drop.blobs`) and the old one (`drop.blobs_from`). Every process that has
//! been started with both writes to the new one and reads from both (`drop/blobs/moving.rs`). Here one blob after
//! the other is copied, read back, compared, and only then removed from where it was. It can be stopped at any time
//! and begun anew: what was copied and not removed is compared and removed then.
//!
//! A package may end while a blob of it is copied. So whether the blob is needed is asked once more when
//! the copy is there; a copy that nobody needs is destroyed at once.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
};

use aws_lc_rs::digest::{self, SHA256};
use jiff::Timestamp;

use super::{
    DropError, FileDrop, OpenBlobs, Store, Transferred,
    blobs::{Blob, Blobs, Directory, Moving, Result, S3},
    records,
};
use crate::{
    config::{BlobsKind, DropConfig},
    ledger::{RecordId, SLICES},
    lock::lock,
};

/// The file in the drop's directory that says that blobs were kept in a bucket.
const BUCKET: &str = "drop.bucket";
/// Number of blobs that are moved at the same time: a bucket is slow to answer, and quick to take.
const AT_ONCE: usize = 4;
/// Number of bytes that are copied at once.
const BLOCK_BYTES: usize = 1 << 20;

/// The result of a move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Number of files that were moved.
    pub files: u64,
    /// Their bytes, encrypted.
    pub bytes: u64,
    /// Number of files that could not be moved, and lie where they were.
    pub failed: u64,
    /// Number of files that stay where they were since no package needs them: the sweep removes them.
    pub unneeded: u64,
}

/// A move that runs on several threads.
struct Move<'a> {
    store: &'a Store,
    moving: &'a Moving,
    next_slice: AtomicU16,
    moved: Mutex<(Moved, Result<()>)>,
}

/// Opens the store of blobs that the configuration names, and the one that is being emptied into it. Warns if
/// there may be blobs where nobody looks for them.
pub(super) fn open(
    config: &DropConfig,
    directory: Directory,
    bucket: Option<S3>,
) -> Result<OpenBlobs> {
    warn_of_others(config, &directory)?;
    let Some(bucket) = bucket else {
        return Ok((Arc::new(directory), None));
    };
    if config.blobs == BlobsKind::S3 {
        match directory.constant(BUCKET, || b"drop.blobs = \"s3\"\n".to_vec()) {
            // The next start makes it; what is stored can be fetched meanwhile.
            Err(error) if error.is_full() => {}
            made => drop(made?),
        }
    }

    let (bucket, directory): (Arc<dyn Blobs>, Arc<dyn Blobs>) =
        (Arc::new(bucket), Arc::new(directory));
    let (from, to, from_first) = match (config.blobs_from, config.blobs) {
        (Some(BlobsKind::Directory), BlobsKind::S3) => (directory, bucket, true),
        (Some(BlobsKind::S3), BlobsKind::Directory) => (bucket, directory, false),
        (_, BlobsKind::S3) => return Ok((bucket, None)),
        (_, BlobsKind::Directory) => return Ok((directory, None)),
    };
    let moving = Moving::new(from, to, from_first);
    Ok((Arc::new(moving.clone()), Some(moving)))
}

/// Warns if blobs were kept in the other place, from which none are moved.
fn warn_of_others(config: &DropConfig, directory: &Directory) -> Result<()> {
    let place = match (config.blobs, config.blobs_from) {
        (BlobsKind::S3, None) if directory.has_blobs()? => "directory",
        (BlobsKind::Directory, None) if directory.has(BUCKET)? => "s3",
        _ => return Ok(()),
    };
    tracing::warn!(
        "files that were kept before drop.blobs was changed are not found: write drop.blobs_from = \"{place}\", restart, \
         and move them: depollueur drop migrate"
    );
    Ok(())
}

impl FileDrop {
    /// Moves all blobs that the records need out of the store that `drop.blobs_from` names; `None` if it names none.
    /// Goes on with the others where one cannot be moved, and returns the first error. `go_on` is called after
    /// each of [`MIGRATE_STEPS`](Self::MIGRATE_STEPS). Blocks.
    pub fn migrate(&self, go_on: impl Fn() + Sync) -> Option<(Moved, Result<(), DropError>)> {
        let moving = self.store.moving.as_ref()?;
        let work = Move {
            store: &self.store,
            moving,
            next_slice: AtomicU16::new(0),
            moved: Mutex::new((Moved::default(), Ok(()))),
        };
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| work.slices(&go_on));
            }
        });
        Some(work.moved.into_inner().expect("no thread panics"))
    }

    /// Moves all records from the database that `drop.records_from` names to the one that `drop.records` names.
    /// `None` if none are there any more. `begin` is told how many rows there are, and `go_on` each time how many of
    /// them were read. Blocks.
    ///
    /// # Errors
    /// One of the databases failed, or has other records. The records are where they were.
    pub fn migrate_records(
        config: &DropConfig,
        begin: impl FnOnce(u64),
        go_on: impl Fn(u64),
    ) -> Result<Option<Transferred>, DropError> {
        records::migrate(config, begin, go_on)
    }

    /// Number of steps of a move of blobs.
    pub const MIGRATE_STEPS: u64 = SLICES as u64;

    /// Says that nothing is left in the bucket: no start warns of it any more.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn forget_bucket(config: &DropConfig) -> Result<(), DropError> {
        Directory::open(&config.directory)?.forget(BUCKET)
    }
}

impl Move<'_> {
    /// Takes one slice after the other until there is none, or the store itself fails.
    fn slices(&self, go_on: impl Fn()) {
        loop {
            let slice = self.next_slice.fetch_add(1, Ordering::Relaxed);
            let Ok(slice) = u8::try_from(slice) else {
                return;
            };
            if let Err(error) = self.slice(slice) {
                self.fail(error);
                return;
            }
            go_on();
        }
    }

    fn slice(&self, slice: u8) -> Result<()> {
        let mut seen = HashSet::new();
        loop {
            let (none, all) = (HashSet::new(), Timestamp::MAX);
            let mut found = self.moving.from.blobs_before(slice, all, &none)?;
            // A store that lists only some at once begins anew at its end.
            found.retain(|blob| seen.insert(*blob));
            if found.is_empty() {
                return Ok(());
            }

            let needed = self.store.books().records.needed(slice)?;
            for (id, number) in found {
                match needed.contains(&id) {
                    true => self.count(self.blob(id, number)),
                    false => lock(&self.moved).0.unneeded += 1,
                }
            }
        }
    }

    /// Moves a blob. Returns its length; `None` if it was removed meanwhile.
    fn blob(&self, id: RecordId, number: u32) -> Result<Option<u64>> {
        let Moving { from, to, .. } = self.moving;
        let length = match from.length(id, number) {
            Err(error) if error.is_missing() => return Ok(None),
            length => length?,
        };

        let original = &*from.open(id, number, length, 0..length)?;
        let sha256 = match to.length(id, number) {
            // A move that was stopped had not removed it yet.
            Ok(there) if there == length => read(original, length, |_| Ok(()))?,
            Err(error) if error.is_missing() => self.copy(original, (id, number), length)?,
            Ok(_) => {
                to.remove(id, number)?;
                self.copy(original, (id, number), length)?
            }
            Err(error) => return Err(error),
        };
        let copy = &*to.open(id, number, length, 0..length)?;
        if read(copy, length, |_| Ok(()))? != sha256 {
            to.remove(id, number)?;
            let reason = "what was read back is not what was written; the original stays";
            return Err(DropError::damaged(copy.path(), reason));
        }

        if !self.store.books().records.is_needed(id)? {
            to.destroy(id, number)?;
        }
        from.remove(id, number)?;
        Ok(Some(length))
    }

    fn copy(
        &self,
        original: &dyn Blob,
        (id, number): (RecordId, u32),
        length: u64,
    ) -> Result<[u8; 32]> {
        let to = &self.moving.to;
        let mut draft = to.draft(id, number)?;
        let sha256 = read(original, length, |bytes| draft.write(bytes))?;
        let finished = draft.finish()?;
        let loose: &[u32] = match finished.is_durable() {
            true => &[],
            false => &[number],
        };
        finished.place()?;
        to.sync(id, loose)?;
        Ok(sha256)
    }

    fn count(&self, moved: Result<Option<u64>>) {
        match moved {
            Ok(Some(bytes)) => {
                let sum = &mut lock(&self.moved).0;
                sum.files += 1;
                sum.bytes += bytes;
            }
            Ok(None) => {}
            Err(error) => {
                lock(&self.moved).0.failed += 1;
                self.fail(error);
            }
        }
    }

    /// Keeps the first error.
    fn fail(&self, error: DropError) {
        let result = &mut lock(&self.moved).1;
        if result.is_ok() {
            *result = Err(error);
        }
    }
}

/// Reads a whole blob, hands on what it reads, and returns the SHA-256 of it.
fn read(
    blob: &dyn Blob,
    length: u64,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<[u8; 32]> {
    let (mut offset, mut sha256) = (0, digest::Context::new(&SHA256));
    let mut block = vec![0; BLOCK_BYTES];
    while offset < length {
        let rest = usize::try_from(length - offset).unwrap_or(BLOCK_BYTES);
        let bytes = &mut block[..rest.min(BLOCK_BYTES)];
        let read = blob.read_exact_at(bytes, offset);
        read.map_err(|e| DropError::io("read", blob.path(), e))?;
        sha256.update(bytes);
        take(bytes)?;
        offset += bytes.len() as u64;
    }
    let sha256 = sha256.finish();
    Ok(sha256.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}
