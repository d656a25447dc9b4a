//! A trial of the bucket: an object is written, read and deleted, and what the sweep does is done once.

use std::io;

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use object_store::{
    ObjectStoreExt as _,
    list::{PaginatedListOptions, PaginatedListStore as _},
    path::Path as Name,
};

use super::{
    super::{DropError, Result},
    bucket::Bucket,
    unfinished::{self, UploadsPage},
};
use crate::config::S3Config;

/// Contents of the object.
const PROBE: &[u8] = b"depollueur: an object to see whether this bucket can be used";

/// What a trial found.
#[derive(Debug)]
pub(crate) struct BucketTrial {
    /// The bucket and the beginning of its names.
    pub(crate) place: String,
    /// The time by which the service's clock is ahead of ours, where it said.
    pub(crate) ahead: Option<SignedDuration>,
}

/// Does everything in a bucket that a drop does. Blocks; leaves nothing behind.
///
/// # Errors
/// The first thing that does not work.
pub(crate) fn try_out(config: &S3Config) -> Result<BucketTrial> {
    let bucket = Bucket::open(config)?;
    let probe = write(&bucket)?;
    let read = read(&bucket, &probe);
    let deleted = delete(&bucket, &probe);
    read.and(deleted)?;

    let place = bucket.shown(&bucket.prefix);
    let options = PaginatedListOptions {
        max_keys: Some(1),
        ..PaginatedListOptions::default()
    };
    let listed = bucket.objects.list_paginated(Some(&bucket.prefix), options);
    let listed = bucket.wait(listed);
    listed.map_err(|e| DropError::io("list", place.as_ref(), e))?;

    let date = unfinished::list(&bucket, &UploadsPage::default())?.date;
    let ahead = date.map(|date| date.duration_since(Timestamp::now()));
    Ok(BucketTrial { place, ahead })
}

/// Writes an object of a name that no blob has.
pub(super) fn write(bucket: &Bucket) -> Result<Name> {
    let mut random = [0; 8];
    rand::fill(&mut random).expect("the system gives random bytes");
    let name = format!("{}probe-{}", bucket.prefix, HEXLOWER.encode(&random));
    let name = Name::from(name);
    let written = bucket.wait(bucket.objects.put(&name, PROBE.into()));
    bucket.named("write", &name, written)?;
    Ok(name)
}

pub(super) fn delete(bucket: &Bucket, name: &Name) -> Result<()> {
    let deleted = bucket.wait(bucket.objects.delete(name));
    bucket.named("delete", name, deleted)
}

fn read(bucket: &Bucket, name: &Name) -> Result<()> {
    let range = 1..PROBE.len() as u64;
    let read = bucket.wait(bucket.objects.get_range(name, range));
    let read = bucket.named("read", name, read)?;
    if read == PROBE[1..] {
        return Ok(());
    }
    let changed = io::Error::other("other bytes came back than were written");
    bucket.named("read", name, Err(changed))
}
