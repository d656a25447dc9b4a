//! Blobs in a bucket: their names, when they are durable, and what is left over there.
//!
//! An object has the name that its file would have in a directory, `PREFIX/ab/ID-NUMBER`, and the same
//! bytes. There is no renaming in S3, and creating a name only once is not to be had everywhere (Garage
//! ignores `If-None-Match`): an object stands under its name as soon as its draft is finished. Nobody asks for
//! it before there is a record, since the name is derived from a random token; the ledger lets nobody begin a
//! package that has one. Which object counts, the record says.
//!
//! What a killed process leaves is an object without a record, or an upload that was not completed. The sweep
//! finds both by listing, and removes them once they are an hour old by the service's clock, which is within
//! a quarter of an hour of ours: else it would refuse every request.
//!
//! Requests: one for a deposited file of up to 5 MiB, else two and one for each 5 MiB; one more to look for it
//! at the commit; one for each 8 MiB that are read; one before the first deposit, and one for each sweep, to see
//! that the place is this drop's. Spare room for a full disk is kept in the drop's directory, where the database
//! lies.

mod bucket;
mod claim;
mod download;
mod failure;
mod names;
mod service;
mod trial;
mod unfinished;
mod upload;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashSet},
    io::ErrorKind,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use object_store::{
    ObjectStoreExt as _,
    list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore as _},
};

pub(crate) use self::trial::{BucketTrial, try_out};
use self::{
    bucket::Bucket,
    claim::Claim,
    download::{Download, Downloads},
    upload::Upload,
};
use super::{Blob, Blobs, Directory, Draft, DropError, RecordId, Result};
use crate::{config::S3Config, lock::lock};

/// Number of pages of at most a thousand names that one call looks through. The next one goes on from there.
const PAGES_MAX: usize = 100;
/// Time for which it is believed that there are no left-over uploads.
const QUIET_TIME: Duration = Duration::from_mins(1);
/// Number of left-over blobs after which a call looks no further.
const LEFT_OVER_MAX: usize = 1000;

/// The bucket, and the directory of the drop for everything that is no blob.
#[derive(Debug)]
pub(in crate::drop) struct S3 {
    bucket: Arc<Bucket>,
    directory: Directory,
    claim: Claim,
    downloads: Downloads,
    /// The last time that no upload was found which had to be aborted.
    quiet: Mutex<Option<Instant>>,
    /// The name after which the search of a slice goes on, for slices that were too long for one call.
    searched: Mutex<BTreeMap<u8, String>>,
}

impl S3 {
    /// Prepares for requests, and makes none: a service that is down holds up no start. `mark` tells this drop
    /// from others.
    ///
    /// # Errors
    /// The key or the certificates cannot be read, or there is no thread.
    pub(in crate::drop) fn open(
        config: &S3Config,
        directory: Directory,
        mark: String,
    ) -> Result<Self> {
        Ok(Self {
            bucket: Arc::new(Bucket::open(config)?),
            directory,
            claim: Claim::new(mark),
            downloads: Downloads::default(),
            quiet: Mutex::default(),
            searched: Mutex::default(),
        })
    }

    /// Deletes an object; a missing one is no error.
    fn delete(&self, id: RecordId, number: u32) -> Result<()> {
        let name = self.bucket.name(id, number);
        match self.bucket.wait(self.bucket.objects.delete(&name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            deleted => self.bucket.named("delete", &name, deleted),
        }
    }

    fn page(&self, prefix: &str, options: PaginatedListOptions) -> Result<PaginatedListResult> {
        let list = self.bucket.objects.list_paginated(Some(prefix), options);
        let listed = self.bucket.wait(list);
        listed.map_err(|e| DropError::io("list", Path::new(&self.bucket.shown(prefix)), e))
    }
}

impl Blobs for S3 {
    /// Writes an object and deletes it.
    fn probe(&self) -> Result<()> {
        self.claim.check(&self.bucket)?;
        trial::write(&self.bucket).and_then(|probe| trial::delete(&self.bucket, &probe))
    }

    fn draft(&self, id: RecordId, number: u32) -> Result<Box<dyn Draft>> {
        self.claim.check(&self.bucket)?;
        let name = self.bucket.name(id, number);
        Ok(Box::new(Upload::new(Arc::clone(&self.bucket), name)))
    }

    /// Does nothing: an object is durable when its upload was answered.
    fn sync(&self, _: RecordId, _: &[u32]) -> Result<()> {
        Ok(())
    }

    fn length(&self, id: RecordId, number: u32) -> Result<u64> {
        let name = self.bucket.name(id, number);
        let found = self.bucket.wait(self.bucket.objects.head(&name));
        self.bucket
            .named("find", &name, found.map(|object| object.size))
    }

    fn open(
        &self,
        id: RecordId,
        number: u32,
        length: u64,
        wanted: Range<u64>,
    ) -> Result<Box<dyn Blob>> {
        let name = self.bucket.name(id, number);
        let download = Download::open(&self.bucket, name, length, wanted)?;
        self.downloads.watch((id, number), &download);
        Ok(Box::new(download))
    }

    fn remove(&self, id: RecordId, number: u32) -> Result<()> {
        self.delete(id, number)
    }

    /// Ends the downloads of this process at once. Those of others end with the next range that they ask for.
    fn destroy(&self, id: RecordId, number: u32) -> Result<()> {
        self.downloads.end((id, number));
        self.delete(id, number)
    }

    /// Aborts uploads. A sweep asks this in each of its steps: the answer that there are none holds for a while.
    fn remove_drafts(&self, before: Timestamp, limit: usize) -> Result<u64> {
        let mut quiet = lock(&self.quiet);
        if quiet.is_some_and(|since| since.elapsed() < QUIET_TIME) {
            return Ok(0);
        }
        self.claim.check_again(&self.bucket)?;
        let aborted = unfinished::abort(&self.bucket, before, limit)?;
        *quiet = (aborted == 0).then(Instant::now);
        Ok(aborted)
    }

    fn blobs_before(
        &self,
        slice: u8,
        before: Timestamp,
        except: &HashSet<RecordId>,
    ) -> Result<Vec<(RecordId, u32)>> {
        self.claim.check(&self.bucket)?;
        let prefix = self.bucket.slice(slice);
        let mut options = PaginatedListOptions {
            offset: lock(&self.searched).remove(&slice),
            ..PaginatedListOptions::default()
        };

        let mut found = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.page(&prefix, options.clone())?;
            let objects = page.result.objects;
            let last = objects.last().map(|object| object.location.to_string());
            let old = objects
                .iter()
                .filter(|object| object.last_modified.timestamp() < before.as_second());
            let owners = old.filter_map(|object| self.bucket.owner(object.location.as_ref()));
            found.extend(owners.filter(|(id, _)| !except.contains(id)));

            let Some(token) = page.page_token else {
                return Ok(found);
            };
            options.page_token = Some(token);
            options.offset = last;
            if found.len() >= LEFT_OVER_MAX {
                break;
            }
        }
        if let Some(last) = options.offset {
            lock(&self.searched).insert(slice, last);
        }
        Ok(found)
    }

    /// Returns `None`: a bucket has no end that it would tell.
    fn free_bytes(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn free_inodes(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn keep_spare(&self) -> Result<()> {
        self.directory.keep_spare()
    }

    fn give_spare(&self) -> Result<bool> {
        self.directory.give_spare()
    }
}
