//! The sweep: the end of packages, and of left-overs.
//!
//! A package is destroyed in two transactions, each for many at once, so that a deposit never waits
//! for the removal of files: the first erases the manifest and dooms the package, then its blobs are
//! removed while nobody waits, and the second records that. Packages that a killed process left doomed
//! are taken up by the next sweep.

use std::sync::atomic::{AtomicU8, Ordering};

use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};

use super::{
    Books, LedgerError, RecordId, Swept,
    audit::{Action, Requester},
    error::FaultKind,
    quota,
    statistics::Month,
};

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
pub(crate) fn sweep(
    books: &Books,
    now: Timestamp,
    steps: usize,
) -> (Swept, Result<(), LedgerError>) {
    let mut swept = Swept::default();
    let result = with_spare(books, || sweep_once(books, now, steps, &mut swept));
    let kept = books.place.keep_spare();
    (swept, result.and(kept))
}

/// Does the writing that comes before anything can be removed; on a full disk, in the room that was set
/// aside for it.
pub(crate) fn with_spare(
    books: &Books,
    mut work: impl FnMut() -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    match work() {
        Err(error) if error.fault() == Some(FaultKind::Full) && books.place.give_spare()? => work(),
        done => done,
    }
}

fn sweep_once(
    books: &Books,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), LedgerError> {
    swept.held_until = books.doubt(now)?;
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
        first = first.and(task(books, now, steps, swept));
    }

    if !has_more(swept, steps) {
        first = first.and(remove_orphans(books, now, steps, swept));
    }
    first.and(books.records.forget_overwritten())
}

/// Returns true if the next step will find more of the same. Left-overs wait until it does not: looking
/// through a slice of all blobs for each hundred packages would cost the square of them.
fn has_more(swept: &Swept, steps: usize) -> bool {
    let steps = steps as u64;
    swept.packages >= steps || swept.records >= steps || swept.entries >= steps
}

/// Removes the files of a doomed package. Returns how many it had.
fn empty(
    books: &Books,
    now: Timestamp,
    (id, numbers): (RecordId, &[u32]),
) -> Result<u64, LedgerError> {
    for &number in numbers {
        books.place.remove(id, number)?;
    }
    books.remove_elsewhere(id, now)?;
    Ok(numbers.len() as u64)
}

fn doom(books: &Books, now: Timestamp, steps: usize, _: &mut Swept) -> Result<(), LedgerError> {
    let mut due = books.records.ended(now, steps)?;
    // Adding calendar units keeps their order.
    due.retain(|(_, end)| add(*end, &books.grace) <= now);
    if due.is_empty() {
        return Ok(());
    }
    books.records.doom(&due)
}

/// Removes the blobs of doomed packages. One whose blobs cannot be removed does not hold up the others.
fn destroy_doomed(
    books: &Books,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), LedgerError> {
    let (mut first, mut emptied) = (Ok(()), Vec::new());
    for (id, numbers) in books.records.doomed(steps)? {
        match empty(books, now, (id, &numbers)) {
            Ok(files) => {
                swept.files += files;
                emptied.push(id);
            }
            Err(error) => {
                let is_of_all = !error.is_of_one_file();
                first = first.and(Err(error));
                // A place that is not there is not asked for each of them: that would take an hour.
                if is_of_all {
                    break;
                }
            }
        }
    }
    if !emptied.is_empty() {
        tell_destroyed(books, now, Requester::SWEEP, &emptied)?;
        swept.packages += emptied.len() as u64;
    }
    first
}

/// Records in the database and the audit log that the blobs of these packages are gone.
pub(crate) fn tell_destroyed(
    books: &Books,
    now: Timestamp,
    client: Requester,
    packages: &[RecordId],
) -> Result<(), LedgerError> {
    let mut entries = Vec::new();
    for &id in packages {
        if let Some(record) = books.records.find(id)? {
            let about = (id, &record.origin);
            entries.push(books.entry(now, Action::Destroy, about, client, String::new()));
        }
    }
    books.records.destroyed(packages, &entries)?;
    entries.iter().for_each(|entry| books.tell(entry));
    Ok(())
}

fn forget_records(
    books: &Books,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), LedgerError> {
    let mut due = books.records.forgettable(now, steps)?;
    due.retain(|(_, end)| add(add(*end, &books.grace), &books.keep_records) <= now);
    if due.is_empty() {
        return Ok(());
    }
    let due: Vec<_> = due.into_iter().map(|(id, _)| id).collect();
    books.records.forget(&due)?;
    swept.records += due.len() as u64;
    Ok(())
}

fn forget_entries(
    books: &Books,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), LedgerError> {
    let before = subtract(now, &books.keep_entries);
    swept.entries += books.records.forget_entries(before, now, steps)?;
    Ok(())
}

fn forget_kept_messages(
    books: &Books,
    now: Timestamp,
    steps: usize,
    _: &mut Swept,
) -> Result<(), LedgerError> {
    books.records.forget_kept_messages(now, steps)
}

fn forget_networks(
    books: &Books,
    now: Timestamp,
    steps: usize,
    _: &mut Swept,
) -> Result<(), LedgerError> {
    let before = now.saturating_sub(quota::DAY);
    let before = before.unwrap_or(Timestamp::MIN);
    books.records.forget_networks(before, steps)
}

/// Folds the statistics, except for this month and the one before: deposits of its last hour may still be
/// withdrawn.
fn fold_statistics(
    books: &Books,
    now: Timestamp,
    _: usize,
    _: &mut Swept,
) -> Result<(), LedgerError> {
    let month = Month::of(now.to_zoned(TimeZone::UTC).date());
    books.records.fold_statistics(month.before())
}

fn remove_drafts(
    books: &Books,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), LedgerError> {
    swept.orphans += books.place.remove_drafts(left_over(now), steps)?;
    Ok(())
}

fn remove_orphans(
    books: &Books,
    now: Timestamp,
    steps: usize,
    swept: &mut Swept,
) -> Result<(), LedgerError> {
    let slice = books.slices.next();
    let needed = books.records.needed(slice)?;
    let found = books.place.files_before(slice, left_over(now), &needed)?;
    for (id, number) in found.into_iter().take(steps) {
        let mut remove = || books.place.remove(id, number);
        swept.orphans += u64::from(books.records.remove_orphan(id, &mut remove)?);
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
