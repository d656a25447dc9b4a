//! The end of packages, and of what was left over.

use std::sync::atomic::{AtomicU8, Ordering};

use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};

use super::{
    DropError, Store, Swept,
    blobs::{self, Found},
};

/// Younger drafts and blobs may belong to a message that is still being worked on.
const LEFT_OVER_AGE: SignedDuration = SignedDuration::from_hours(1);

/// Which of the 256 directories of blobs is looked through next.
#[derive(Debug, Default)]
pub(super) struct Shards(AtomicU8);

impl Shards {
    fn next(&self) -> u8 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Sweeps each kind of thing, though another may fail; the first error is returned at the end.
///
/// A clock that jumps forward by less than the grace period destroys nothing that was live; one
/// that jumps further destroys at most `steps` packages a call, those that would expire first, so
/// that somebody can notice. One that jumps back destroys nothing.
pub(super) fn sweep(store: &Store, now: Timestamp, steps: usize) -> Result<Swept, DropError> {
    let mut swept = Swept::default();
    let mut first = Ok(());
    let tasks = [
        destroy_packages,
        delete_records,
        remove_drafts,
        remove_orphans,
    ];
    for task in tasks {
        first = first.and(task(store, now, steps, &mut swept));
    }
    if swept.packages > 0 {
        first = first.and(store.records.forget_overwritten());
    }
    first.map(|()| swept)
}

/// A package whose blobs cannot be removed does not hold up the others.
fn destroy_packages(
    store: &Store,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), DropError> {
    let mut first = Ok(());
    for (id, expires) in store.records.expired(now, steps)? {
        // Later ones expire later, and adding calendar units keeps that order.
        if add(expires, &store.grace) > now {
            break;
        }
        match store
            .records
            .destroy(id, expires, |number| store.blobs.remove(id, number))
        {
            Ok(files) => {
                swept.packages += u64::from(files.is_some());
                swept.files += files.unwrap_or(0);
            }
            Err(error) => first = first.and(Err(error)),
        }
    }
    first
}

fn delete_records(
    store: &Store,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), DropError> {
    for (id, expires) in store.records.destroyed(now, steps)? {
        if add(add(expires, &store.grace), &store.keep_records) > now {
            break;
        }
        store.records.remove(id)?;
        swept.records += 1;
    }
    Ok(())
}

fn remove_drafts(
    store: &Store,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), DropError> {
    let drafts = store.blobs.drafts()?;
    for draft in drafts
        .iter()
        .filter(|draft| is_left_over(draft, now))
        .take(steps)
    {
        swept.orphans += u64::from(blobs::remove(&draft.path)?);
    }
    Ok(())
}

fn remove_orphans(
    store: &Store,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), DropError> {
    let mut left = steps;
    for (id, blob) in store.blobs.shard_blobs(store.shards.next())? {
        if left == 0 {
            break;
        }
        if !is_left_over(&blob, now) || store.records.is_live(id)? {
            continue;
        }
        left -= 1;
        let remove = || blobs::remove(&blob.path).map(drop);
        swept.orphans += u64::from(store.records.remove_orphan(id, remove)?);
    }
    Ok(())
}

fn is_left_over(found: &Found, now: Timestamp) -> bool {
    now.duration_since(found.modified) > LEFT_OVER_AGE
}

/// Adds calendar units in UTC; past the end of the calendar, its end.
pub(super) fn add(time: Timestamp, span: &Span) -> Timestamp {
    let sum = time.to_zoned(TimeZone::UTC).checked_add(*span);
    sum.map_or(Timestamp::MAX, |sum| sum.timestamp())
}
