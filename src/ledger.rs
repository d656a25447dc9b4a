//! The ledger: who deposited what, what became of it, and until when it stays.
//!
//! It stands above the places where the bytes of files lie, and knows of them no more than `Place` asks: a
//! package is its id, the numbers and sizes of its files, and a sealed manifest that only its link opens. What
//! is recorded stands in a database behind a trait (`ledger/records.rs`).
//!
//! Nothing of what it tells or fails with names the database: an error has a kind and a text
//! ([`LedgerError`]).

mod audit;
mod choices;
mod clock;
mod custody;
mod door;
mod elsewhere;
mod error;
mod id;
mod key;
mod place;
mod quota;
mod records;
pub mod statistics;
mod sweep;
mod uploaders;

use std::{
    ops::Range,
    sync::{Arc, atomic::AtomicU64},
};

use jiff::{Span, Timestamp};

use self::{
    audit::Syslog,
    quota::Told,
    statistics::{Month, Row},
    sweep::Slices,
};
use crate::config::{AuditConfig, DropConfig, QuotaConfig};

#[cfg(test)]
pub(crate) use self::records::{
    BlockRow, Depositor, SCHEMA_1, lab as postgres, schemas_before_the_chain,
};

pub use self::{
    audit::{
        Action, Actor, CONTACT_CHARS_MAX, ChainHead, ChainHeadError, Defect, Entry,
        REPORT_CHARS_MAX, Requester, Verification,
    },
    clock::SweepNotes,
    custody::{
        AuditQuery, Block, Cause, Deposit, DepositedFile, Ending, Extension, Hold, PackageState,
        Query, Report, RequestOutcome, Resumed, Suspension,
    },
    door::{Door, Unlock},
    error::{Allotment, FaultKind, LedgerError},
    id::{RecordId, RecordIdError},
    quota::FILE_COST_MIN,
    records::Transferred,
    uploaders::{Right, RightError, Secret, Uploader},
};

pub(crate) use self::{
    error::Fault,
    key::Key,
    place::{Place, SLICES},
    quota::{Allowance, StrangerNetwork, cost},
    records::{
        Elsewhere, MovingRecords, Note, Postgres, Record, RecordFile, Records, Sqlite, Term, rows,
        transfer,
    },
};

/// The ledger of the packages of one place. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    books: Arc<Books>,
}

/// The records, and the rules by which they are kept. Its verbs block and are called from blocking threads
/// only.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) records: Box<dyn Records>,
    /// The place where the bytes lie.
    place: Box<dyn Place>,
    /// The key of fingerprints.
    key: Key,
    slices: Slices,
    /// Quota cost of the files that are not part of a record yet.
    drafted: AtomicU64,
    /// The warnings of the last day; each is given once a day.
    told: Told,
    /// Number of times that a login deposited many times its usual.
    unusual_logins: AtomicU64,
    grace: Span,
    keep_records: Span,
    extension: Option<Span>,
    lifetime_max: Span,
    extend_expired: bool,
    quota: QuotaConfig,
    /// Retention time of the entries of the audit log.
    keep_entries: Span,
    /// True if the addresses of readers and of clients that send mail are recorded.
    addresses: bool,
    /// True if the Message-IDs of messages are recorded.
    message_ids: bool,
    /// The receiver of a copy of the audit log, if one is configured.
    log_copy: Option<Syslog>,
}

/// The fill level of a drop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Bytes of all packages that are not destroyed, before encryption.
    pub stored: u64,
    /// Bytes that may still be written; `None` if the store does not know.
    pub free_bytes: Option<u64>,
    /// Files that may still be created; `None` if there is no such limit, or it is not known.
    pub free_inodes: Option<u64>,
    /// Bytes that may still be deposited; `None` if nothing limits them.
    pub headroom: Option<u64>,
    /// Number of times since the start that a login deposited many times its usual in a day.
    pub unusual_logins: u64,
}

/// The outcome of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Packages whose ciphertext was destroyed.
    pub packages: u64,
    /// Files of these packages.
    pub files: u64,
    /// Left-overs without a record: drafts of a killed process, blobs never committed.
    pub orphans: u64,
    /// Records deleted because old links need no answer any more.
    pub records: u64,
    /// Entries of the audit log deleted.
    pub entries: u64,
    /// Time until which nothing is destroyed, because the clock jumped; usually `None`.
    pub held_until: Option<Timestamp>,
}

impl Swept {
    fn add(&mut self, other: Self) {
        self.packages += other.packages;
        self.files += other.files;
        self.orphans += other.orphans;
        self.records += other.records;
        self.entries += other.entries;
        self.held_until = other.held_until;
    }
}

impl Ledger {
    /// Makes the ledger of a place, whose records and key the place keeps for it, by the rules that are
    /// configured. Sends what the copy of the audit log lacks.
    pub(crate) fn new(
        records: Box<dyn Records>,
        key: Key,
        place: Box<dyn Place>,
        config: &DropConfig,
        quota: &QuotaConfig,
        audit: &AuditConfig,
    ) -> Self {
        let books = Books {
            records,
            place,
            key,
            slices: Slices::default(),
            drafted: AtomicU64::new(0),
            told: Told::default(),
            unusual_logins: AtomicU64::new(0),
            grace: config.grace,
            keep_records: config.keep_records,
            extension: config.extension,
            lifetime_max: config.lifetime_max,
            extend_expired: config.extend_expired,
            quota: quota.clone(),
            keep_entries: audit.keep,
            addresses: audit.addresses,
            message_ids: audit.message_ids,
            log_copy: Syslog::of(&audit.copy),
        };

        Self {
            books: Arc::new(books),
        }
    }

    /// Returns the records, for threads that may block.
    pub(crate) fn books(&self) -> &Arc<Books> {
        &self.books
    }

    /// Counts one complete download of a file, or of several together.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn count_download(
        &self,
        door: impl Into<Door>,
        files: Range<usize>,
        client: &Requester,
    ) -> Result<(), LedgerError> {
        let (id, client) = (door.into().id, *client);
        self.run(move |books| books.count_download(id, files, client))
            .await
    }

    /// Lets a reader extend a package: it can then be fetched until `drop.extension` from `now`, but
    /// no longer than `drop.lifetime_max` after its deposit, and never for a shorter time than before.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn extend(
        &self,
        door: impl Into<Door>,
        now: Timestamp,
        client: &Requester,
    ) -> Result<Extension, LedgerError> {
        let (door, client) = (door.into(), *client);
        self.run(move |books| books.extend(door, now, client)).await
    }

    /// Writes a reader's complaint into the audit log, made harmless and cut to
    /// [`REPORT_CHARS_MAX`] and [`CONTACT_CHARS_MAX`]. Returns `None` if the door leads to no package.
    /// The caller conceals tokens in it: they are the drop's.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub(crate) async fn report(
        &self,
        door: impl Into<Door>,
        now: Timestamp,
        client: &Requester,
        text: &str,
        contact: &str,
    ) -> Result<Option<Report>, LedgerError> {
        let (door, client) = (door.into(), *client);
        let (text, contact) = (text.to_owned(), contact.to_owned());
        self.run(move |books| books.report(door, now, client, (&text, &contact)))
            .await
    }

    /// Destroys packages past their expiry and grace period, and left-overs older than an hour.
    ///
    /// Handles at most `steps` of each kind (packages, records, drafts, blobs without a record), those that
    /// ended first. A call looks through the blobs of one of their 256 directories, if little else is left to
    /// do. After a jump of the clock, nothing is done for a day (`held_until`).
    ///
    /// # Errors
    /// The database or the directory cannot be changed. What could be done is done, and is reported beside
    /// the error.
    pub async fn sweep(&self, now: Timestamp, steps: usize) -> (Swept, Result<(), LedgerError>) {
        let books = Arc::clone(&self.books);
        let swept = blocking(move || Ok(sweep::sweep(&books, now, steps)));
        swept.await.unwrap_or_else(|e| (Swept::default(), Err(e)))
    }

    /// Sweeps in steps of `steps` until nothing is left to do in any directory, or `go_on` returns false.
    ///
    /// # Errors
    /// As [`Ledger::sweep`]; the first one is returned. The sweep goes on after a file that cannot be removed,
    /// and ends after any other error.
    pub async fn sweep_all(
        &self,
        now: Timestamp,
        steps: usize,
        go_on: impl Fn() -> bool,
    ) -> (Swept, Result<(), LedgerError>) {
        let (mut total, mut first) = (Swept::default(), Ok(()));
        // A call looks through one slice of the blobs: all of them are done after as many quiet calls.
        let mut quiet = 0;
        while quiet < place::SLICES && total.held_until.is_none() && go_on() {
            let (swept, result) = self.sweep(now, steps).await;
            quiet = if swept == Swept::default() {
                quiet + 1
            } else {
                0
            };

            total.add(swept);
            let ends = matches!(&result, Err(error) if !error.is_of_one_file());
            first = first.and(result);
            if ends {
                break;
            }
        }
        (total, first)
    }

    /// Lets the next sweep believe the clock, however long ago the last one was.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn trust_clock(&self, now: Timestamp) -> Result<(), LedgerError> {
        self.run(move |books| sweep::with_spare(books, || books.trust_clock(now)))
            .await
    }

    /// Returns what was kept out of mailboxes in these months, both included. Domains with few messages are
    /// named too: call [`statistics::fold`] before it is shown.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn statistics(
        &self,
        since: Option<Month>,
        until: Option<Month>,
    ) -> Result<Vec<Row>, LedgerError> {
        self.run(move |books| books.records.statistics(since, until))
            .await
    }

    /// Returns the fill level of the drop. Cheap, but it asks the database and the file system.
    ///
    /// # Errors
    /// One of them cannot be asked.
    pub async fn level(&self) -> Result<Level, LedgerError> {
        self.run(quota::level).await
    }

    /// Returns what is noted of sweeps.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn sweep_notes(&self) -> Result<SweepNotes, LedgerError> {
        self.run(Books::sweep_notes).await
    }

    /// Runs work on the records on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Books) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let books = Arc::clone(&self.books);
        blocking(move || work(&books)).await
    }
}

/// Runs work that blocks on disk or database on a thread that may.
pub(crate) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<LedgerError> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(LedgerError::Stopped.into()))
}

/// Returns the time until which a package deposited at `created` can be fetched. Calendar units are added
/// in UTC, to a whole second; past the end of the calendar, its end is returned.
pub fn expires_at(created: Timestamp, retention: &Span) -> Timestamp {
    whole_second(sweep::add(whole_second(created), retention))
}

/// Cuts a time to its second.
pub(crate) fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(Timestamp::MIN)
}
