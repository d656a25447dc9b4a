//! The sweep: the end of packages, and of left-overs.
//!
//! A package is destroyed in two transactions, each for many at once, so that a deposit never waits
//! for the removal of files: the first erases the manifest and dooms the package, then its blobs are
//! removed while nobody waits, and the second records that. Packages that a killed process left doomed
//! are taken up by the next sweep.

use std::sync::atomic::{AtomicU8, Ordering};

use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};

use super::{
    DropError, RecordId, Store, Swept,
    audit::{Action, Client},
    quota,
};
use crate::ledger::statistics::Month;

/// Age of left-overs: younger drafts and blobs may belong to a message that is still being worked on.
const LEFT_OVER_AGE: SignedDuration = SignedDuration::from_hours(1);

/// The slice of blobs that the next call looks through.
#[derive(Debug, Default)]
pub(crate) struct Slices(AtomicU8);

impl Slices {
    fn next(&self) -> u8 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Sweeps each kind of thing, even if another fails; the first error is returned.
pub(crate) fn sweep(store: &Store, now: Timestamp, steps: usize) -> (Swept, Result<(), DropError>) {
    let mut swept = Swept::default();
    let result = with_spare(store, || sweep_once(store, now, steps, &mut swept));
    let kept = store.blobs.keep_spare();
    (swept, result.and(kept))
}

/// Does the writing that comes before anything can be removed; on a full disk, in the room that was set
/// aside for it.
pub(crate) fn with_spare(
    store: &Store,
    mut work: impl FnMut() -> Result<(), DropError>,
) -> Result<(), DropError> {
    match work() {
        Err(DropError::Full { .. }) if store.blobs.give_spare()? => work(),
        done => done,
    }
}

fn sweep_once(
    store: &Store,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), DropError> {
    swept.held_until = store.doubt(now)?;
    if swept.held_until.is_some() {
        return Ok(());
    }

    let mut first = Ok(());
    let tasks = [
        doom,
        destroy_doomed,
        forget_records,
        forget_entries,
        forget_kept_messages,
        forget_networks,
        fold_statistics,
        remove_drafts,
    ];
    for task in tasks {
        first = first.and(task(store, now, steps, swept));
    }

    if !has_more(swept, steps) {
        first = first.and(remove_orphans(store, now, steps, swept));
    }
    first.and(store.records.forget_overwritten())
}

/// Returns true if the next step will find more of the same. Left-overs wait until it does not: looking
/// through a slice of all blobs for each hundred packages would cost the square of them.
fn has_more(swept: &Swept, steps: usize) -> bool {
    let steps = steps as u64;
    swept.packages >= steps || swept.records >= steps || swept.entries >= steps
}

/// Removes the blobs of a doomed package. Returns how many files it had.
pub(crate) fn empty(store: &Store, id: RecordId, numbers: &[u32]) -> Result<u64, DropError> {
    for &number in numbers {
        store.blobs.remove(id, number)?;
    }
    Ok(numbers.len() as u64)
}

fn doom(store: &Store, now: Timestamp, steps: usize, _: &mut Swept) -> Result<(), DropError> {
    let mut due = store.records.ended(now, steps)?;
    // Adding calendar units keeps their order.
    due.retain(|(_, end)| add(*end, &store.grace) <= now);
    if due.is_empty() {
        return Ok(());
    }
    store.records.doom(&due)
}

/// Removes the blobs of doomed packages. One whose blobs cannot be removed does not hold up the others.
fn destroy_doomed(
    store: &Store,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), DropError> {
    let (mut first, mut emptied) = (Ok(()), Vec::new());
    for (id, numbers) in store.records.doomed(steps)? {
        match empty(store, id, &numbers) {
            Ok(files) => {
                swept.files += files;
                emptied.push(id);
            }
            Err(error) => first = first.and(Err(error)),
        }
    }
    if !emptied.is_empty() {
        tell_destroyed(store, now, Client::SWEEP, &emptied)?;
        swept.packages += emptied.len() as u64;
    }
    first
}

/// Records in the database and the audit log that the blobs of these packages are gone.
pub(crate) fn tell_destroyed(
    store: &Store,
    now: Timestamp,
    client: Client,
    packages: &[RecordId],
) -> Result<(), DropError> {
    let mut entries = Vec::new();
    for &id in packages {
        if let Some(record) = store.records.find(id)? {
            let about = (id, &record.origin);
            entries.push(store.entry(now, Action::Destroy, about, client, String::new()));
        }
    }
    store.records.destroyed(packages, &entries)?;
    entries.iter().for_each(|entry| store.tell(entry));
    Ok(())
}

fn forget_records(
    store: &Store,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), DropError> {
    let mut due = store.records.forgettable(now, steps)?;
    due.retain(|(_, end)| add(add(*end, &store.grace), &store.keep_records) <= now);
    if due.is_empty() {
        return Ok(());
    }
    let due: Vec<_> = due.into_iter().map(|(id, _)| id).collect();
    store.records.forget(&due)?;
    swept.records += due.len() as u64;
    Ok(())
}

fn forget_entries(
    store: &Store,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), DropError> {
    let before = subtract(now, &store.keep_entries);
    swept.entries += store.records.forget_entries(before, now, steps)?;
    Ok(())
}

fn forget_kept_messages(
    store: &Store,
    now: Timestamp,
    steps: usize,
    _: &mut Swept,
) -> Result<(), DropError> {
    store.records.forget_kept_messages(now, steps)
}

fn forget_networks(
    store: &Store,
    now: Timestamp,
    steps: usize,
    _: &mut Swept,
) -> Result<(), DropError> {
    let before = now.saturating_sub(quota::DAY);
    let before = before.unwrap_or(Timestamp::MIN);
    store.records.forget_networks(before, steps)
}

/// Folds the statistics, except for this month and the one before: deposits of its last hour may still be
/// withdrawn.
fn fold_statistics(
    store: &Store,
    now: Timestamp,
    _: usize,
    _: &mut Swept,
) -> Result<(), DropError> {
    let month = Month::of(now.to_zoned(TimeZone::UTC).date());
    store.records.fold_statistics(month.before())
}

fn remove_drafts(
    store: &Store,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), DropError> {
    swept.orphans += store.blobs.remove_drafts(left_over(now), steps)?;
    Ok(())
}

fn remove_orphans(
    store: &Store,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), DropError> {
    let slice = store.slices.next();
    let needed = store.records.needed(slice)?;
    let found = store.blobs.blobs_before(slice, left_over(now), &needed)?;
    for (id, number) in found.into_iter().take(steps) {
        let mut remove = || store.blobs.remove(id, number);
        swept.orphans += u64::from(store.records.remove_orphan(id, &mut remove)?);
    }
    Ok(())
}

fn left_over(now: Timestamp) -> Timestamp {
    now.saturating_sub(LEFT_OVER_AGE).unwrap_or(Timestamp::MIN)
}

/// Adds calendar units in UTC; past the end of the calendar, returns its end.
pub(crate) fn add(time: Timestamp, span: &Span) -> Timestamp {
    let sum = time.to_zoned(TimeZone::UTC).checked_add(*span);
    sum.map_or(Timestamp::MAX, |sum| sum.timestamp())
}

fn subtract(time: Timestamp, span: &Span) -> Timestamp {
    let difference = time.to_zoned(TimeZone::UTC).checked_sub(*span);
    difference.map_or(Timestamp::MIN, |difference| difference.timestamp())
}
