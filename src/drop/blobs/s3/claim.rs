//! Whose place it is: two drops that share one would sweep each other's files as left-overs.
//!
//! The object `PREFIX/owner` holds a mark of the drop that deposited there first. Before its first deposit and
//! before each sweep a drop reads it. Two that come at the same moment may both write it: then the mark of one stays,
//! and the other one neither deposits nor sweeps once it has read it.

use std::{
    io::{self, ErrorKind},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use object_store::{GetOptions, ObjectStore as _, ObjectStoreExt as _, path::Path as Name};

use super::{super::Result, bucket::Bucket};

/// The name of the object: one that no blob has.
const NAME: &str = "owner";
/// Number of bytes of it that are read: more than a mark has.
const BYTES_MAX: u64 = 256;

/// The claim of a drop to its place in a bucket.
#[derive(Debug)]
pub(super) struct Claim {
    /// The mark of this drop.
    mark: String,
    /// True once the place was seen to be this drop's.
    pub(super) is_ours: AtomicBool,
}

impl Claim {
    pub(super) fn new(mark: String) -> Self {
        Self {
            mark,
            is_ours: AtomicBool::new(false),
        }
    }

    /// Fails if the place is another drop's. The answer is asked for until it was given once.
    pub(super) fn check(&self, bucket: &Bucket) -> Result<()> {
        if self.is_ours.load(Relaxed) {
            return Ok(());
        }
        self.check_again(bucket)
    }

    /// Fails if the place is another drop's. A place without an owner becomes this drop's.
    pub(super) fn check_again(&self, bucket: &Bucket) -> Result<()> {
        self.is_ours.store(false, Relaxed);
        let name = Name::from(format!("{}{NAME}", bucket.prefix));
        let mut found = read(bucket, &name);
        if matches!(&found, Err(error) if error.kind() == ErrorKind::NotFound) {
            let mark = self.mark.clone().into();
            let written = bucket.wait(bucket.objects.put(&name, mark));
            bucket.named("write", &name, written)?;
            found = read(bucket, &name);
        }

        let found = bucket.named("read", &name, found)?;
        if found != self.mark.as_bytes() {
            let reason = "another drop keeps its files there, and each would sweep those of the other: write another s3.prefix; if it is \
                          this one, with records that were made anew, put those of the backup back: files that no record knows are destroyed";
            return bucket.named(
                "deposit or sweep beside",
                &name,
                Err(io::Error::other(reason)),
            );
        }
        self.is_ours.store(true, Relaxed);
        Ok(())
    }
}

fn read(bucket: &Bucket, name: &Name) -> io::Result<Vec<u8>> {
    bucket.wait(async {
        let options = GetOptions {
            range: Some((0..BYTES_MAX).into()),
            ..GetOptions::default()
        };
        let bytes = bucket
            .objects
            .get_opts(name, options)
            .await?
            .bytes()
            .await?;
        Ok(bytes.to_vec())
    })
}
