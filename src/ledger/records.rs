//! The records of packages, apart from their contents: the seam behind which a database stands.
//!
//! Another database is one more file that implements [`Records`] and passes the suite in
//! `drop/tests/conformance/records.rs`. Its verbs block and are called from blocking threads only. Each is one
//! short transaction: when it returns, it is on stable storage. Other processes may have the database open
//! too, so an orphan is looked up and removed inside a transaction that nobody else can write beside
//! ([`Records::remove_orphan`]), and a record counts for it as soon as its insertion has returned: whoever
//! looks at the blobs after that knows that they stay.

#[cfg(test)]
mod costs;
mod moving;
mod postgres;
mod sqlite;
mod transfer;

use std::{
    collections::HashSet,
    fmt,
    ops::{Range, RangeInclusive},
};

use jiff::Timestamp;

#[cfg(test)]
pub(crate) use self::postgres::lab;
#[cfg(test)]
pub(crate) use self::sqlite::{SCHEMA_1, schemas_before_the_chain};
use self::transfer::Tables;
pub use self::transfer::Transferred;
pub(crate) use self::{
    moving::MovingRecords,
    postgres::Postgres,
    sqlite::Sqlite,
    transfer::{rows, transfer},
};
use super::{
    LedgerError, RecordId, Unlock,
    audit::{ChainHead, Entry, Verification},
    custody::{AuditQuery, Cause, Hold, Query, Suspension},
    statistics::{Month, Row},
    uploaders::Uploads,
};
use crate::envelope::{Direction, Origin};

pub(crate) type Result<T, E = LedgerError> = std::result::Result<T, E>;

/// HMAC-SHA256 of a file's SHA-256 under the drop's own key.
pub(crate) type Fingerprint = [u8; 32];

/// A check that is made inside a transaction, which fails with it.
pub(crate) type Check<'a> = &'a mut dyn FnMut() -> Result<()>;

/// A package as the database knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) created: Timestamp,
    pub(crate) term: Term,
    pub(crate) origin: Origin,
    pub(crate) unlock: Unlock,
    /// `None` if its blobs are destroyed, or about to be.
    pub(crate) manifest: Option<Vec<u8>>,
    /// Number of files that it has or had.
    pub(crate) files: u32,
    /// Size of these files in bytes, before encryption.
    pub(crate) bytes: u64,
    /// Complete downloads of its files.
    pub(crate) downloads: u64,
    /// The order by which it is held, if any.
    pub(crate) held: Option<Hold>,
    /// Where its files lie, if not here.
    pub(crate) elsewhere: Option<Elsewhere>,
}

/// Files that lie at somebody else's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// The time at which that store ends them by itself.
    pub(crate) kept_until: Timestamp,
    /// What is needed to remove them there, sealed under the drop's key; empty when that was done.
    pub(crate) locators: Vec<u8>,
}

/// The term of a package: the time in which it can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) expires: Timestamp,
    /// Time and cause of an end before that.
    pub(crate) ended: Option<(Timestamp, Cause)>,
}

/// A file of a package. Its place in the list is its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordFile {
    /// The number in the name of its blob.
    pub(crate) number: u32,
    /// Its size in bytes, not encrypted.
    pub(crate) size: u64,
    /// `None` if it was stored before there were fingerprints, or is destroyed.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Complete downloads.
    pub(crate) downloads: u64,
}

/// A file that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockRow {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) sha256: [u8; 32],
    pub(crate) created: Timestamp,
    pub(crate) reason: String,
}

/// The party whose deposits are added up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Depositor<'a> {
    /// By login name.
    Login(&'a str),
    /// By envelope sender, of mail that came without a login, in this direction (`None`: in both).
    Sender(&'a str, Option<Direction>),
}

/// A number that the drop remembers of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// Time of the last sweep, in seconds since 1970.
    LastSweep,
    /// Time until which nothing is destroyed because the clock jumped, in seconds since 1970.
    HeldUntil,
    /// The number of the last entry of the audit log that was copied elsewhere.
    AuditCopied,
    /// The number of the records: of those in a database elsewhere it stands in the directory, too. Written once.
    Directory,
    /// The number of the last move of all records, which brought them here.
    Arrival,
}

/// A database of packages.
pub(crate) trait Records: Uploads + fmt::Debug + Send + Sync {
    /// Makes the error of a record that is not what was written.
    fn damaged(&self, reason: &str) -> LedgerError;

    /// Opens its tables for a move of all records.
    fn tables(&self) -> Result<Box<dyn Tables + '_>>;

    /// Checks that it can be written. Changes nothing.
    fn probe(&self) -> Result<()>;

    /// Returns true if no file is known by a fingerprint, not even a blocked one.
    fn has_no_fingerprint(&self) -> Result<bool>;

    /// Gives blocked files new fingerprints of their SHA-256, and forgets those of all other files, of
    /// messages and of networks.
    fn renew_fingerprints(&self, of: &dyn Fn(&[u8; 32]) -> Fingerprint) -> Result<()>;

    /// Inserts a package with its files and counts it in the statistics, unless one of the files is blocked
    /// ([`LedgerError::Blocked`]) or the login is suspended ([`LedgerError::Suspended`]). `networks` are those of
    /// the client that sent it, as far as they count. From then on nobody takes its blobs for left-overs
    /// ([`Records::remove_orphan`]): whoever looks for them now finds what stays.
    fn insert(
        &self,
        id: RecordId,
        record: &Record,
        files: &[RecordFile],
        networks: &[Fingerprint],
        entry: &Entry,
    ) -> Result<()>;

    /// Removes a package altogether, as if it had never been, even if its insertion failed at the last
    /// moment: once this returns without an error, it will not come back. Returns true if it was there. A
    /// package that is held stays ([`LedgerError::Held`]).
    fn withdraw(&self, id: RecordId, entry: &Entry) -> Result<bool>;

    fn find(&self, id: RecordId) -> Result<Option<Record>>;

    /// Returns the files of a package in order.
    fn files(&self, id: RecordId) -> Result<Vec<RecordFile>>;

    /// Lists packages, the last deposited first.
    fn list(&self, query: &Query) -> Result<Vec<(RecordId, Record)>>;

    /// Changes the term of a package that is not destroyed, if it still is `was`. Returns false if somebody
    /// was faster, or destroyed it.
    fn change_term(&self, id: RecordId, was: &Term, is: &Term, entry: &Entry) -> Result<bool>;

    /// Counts a complete download of the files with these indices. Returns false if there are none of them.
    fn count_download(&self, id: RecordId, files: Range<usize>, entry: &Entry) -> Result<bool>;

    /// Lists the packages whose blobs are stored, that nobody can fetch any more at `now`, and that are not
    /// held, in the order of their end, with its time.
    fn ended(&self, now: Timestamp, limit: usize) -> Result<Vec<(RecordId, Timestamp)>>;

    /// Erases the manifests of those packages that still end at the time given with them and are not held.
    /// Nobody needs their blobs from then on.
    fn doom(&self, packages: &[(RecordId, Timestamp)]) -> Result<()>;

    /// Lists doomed packages whose blobs have yet to be removed, with the numbers of their files: any of
    /// them, not always the same.
    fn doomed(&self, limit: usize) -> Result<Vec<(RecordId, Vec<u32>)>>;

    /// Records that the blobs of these doomed packages are removed: the packages are destroyed. Each entry is about
    /// one of them; it is left out if another process recorded that before.
    fn destroyed(&self, packages: &[RecordId], entries: &[Entry]) -> Result<()>;

    /// Lists the packages that are destroyed and ended at `now` or before, longest ago first.
    fn forgettable(&self, now: Timestamp, limit: usize) -> Result<Vec<(RecordId, Timestamp)>>;

    /// Deletes the records of destroyed packages.
    fn forget(&self, packages: &[RecordId]) -> Result<()>;

    /// Returns true if a blob of this package may be needed.
    fn is_needed(&self, id: RecordId) -> Result<bool>;

    /// Returns true if a stored file has no known fingerprint: it is from before the drop got its present key.
    fn has_unknown_files(&self) -> Result<bool>;

    /// Lists the packages whose id begins with this byte and of which a blob may be needed.
    fn needed(&self, slice: u8) -> Result<HashSet<RecordId>>;

    /// Runs `remove` while nobody can commit, if no blob of this package is needed. Returns false if one is.
    fn remove_orphan(&self, id: RecordId, remove: Check<'_>) -> Result<bool>;

    /// Makes sure that data erased since the last call is stored nowhere any more.
    fn forget_overwritten(&self) -> Result<()>;

    /// Adds an entry to the log.
    fn log(&self, entry: &Entry) -> Result<()>;

    /// Lists entries of the log, oldest first.
    fn entries(&self, query: &AuditQuery) -> Result<Vec<Entry>>;

    /// Deletes at most `limit` entries older than `before`, from the beginning of the chain. One that stands
    /// behind a younger one waits for it, unless that one is dated after `now`. Returns how many.
    fn forget_entries(&self, before: Timestamp, now: Timestamp, limit: usize) -> Result<u64>;

    /// Lists the entries of the chain behind this number, oldest first, each with its place.
    fn chained(&self, after: i64, limit: usize) -> Result<Vec<(ChainHead, Entry)>>;

    /// Returns the last entry of the chain, as the database remembers it.
    fn chain_head(&self) -> Result<ChainHead>;

    /// Verifies the whole chain. `known` is a head that was noted elsewhere.
    fn verify_chain(&self, known: Option<ChainHead>) -> Result<Verification>;

    /// Holds a package that is not destroyed. Returns false if it was held, or there is none.
    fn hold(&self, id: RecordId, hold: &Hold, entry: &Entry) -> Result<bool>;

    /// Lets go of a held package. Returns false if it was not held.
    fn release(&self, id: RecordId, entry: &Entry) -> Result<bool>;

    /// Blocks a file. Returns false if it was blocked before.
    fn block(&self, row: &BlockRow, entry: &Entry) -> Result<bool>;

    /// Unblocks a file. Returns false if it was not blocked.
    fn unblock(&self, fingerprint: &Fingerprint, entry: &Entry) -> Result<bool>;

    /// Lists the blocked files, oldest first.
    fn blocks(&self) -> Result<Vec<BlockRow>>;

    /// Returns true if one of these is blocked.
    fn is_blocked(&self, fingerprints: &[Fingerprint]) -> Result<bool>;

    /// Suspends a login, and remembers which of its packages that ends. Returns false if it was suspended
    /// before.
    fn suspend(&self, suspension: &Suspension, entry: &Entry) -> Result<bool>;

    /// Lifts the suspension of a login, and forgets which of its packages were ended. Returns false if it was
    /// not suspended.
    fn resume(&self, login: &str, entry: &Entry) -> Result<bool>;

    /// Lists the suspended logins, oldest first.
    fn suspensions(&self) -> Result<Vec<Suspension>>;

    /// Returns true if a login is suspended.
    fn is_suspended(&self, login: &str) -> Result<bool>;

    /// Forgets that a package was ended when its login was suspended.
    fn part_from_suspension(&self, id: RecordId) -> Result<()>;

    /// Lists the packages that were ended when a login was suspended.
    fn suspended_packages(&self, login: &str) -> Result<Vec<RecordId>>;

    /// Returns the quota cost of the deposits of a party in this time, whatever became of them, as far as
    /// they came by this uploader (`None`: from this host).
    fn deposited(
        &self,
        by: Depositor<'_>,
        uploader: Option<&str>,
        created: RangeInclusive<Timestamp>,
    ) -> Result<u64>;

    /// Returns the quota cost of the incoming mail of these hours that came by this uploader (`None`: from
    /// this host); two days are known.
    fn incoming(&self, uploader: Option<&str>, created: RangeInclusive<Timestamp>) -> Result<u64>;

    /// Returns the quota cost of the mail of a network in this time.
    fn of_network(&self, network: &Fingerprint, created: RangeInclusive<Timestamp>) -> Result<u64>;

    /// Forgets the network of origin of at most `limit` packages older than `before`.
    fn forget_networks(&self, before: Timestamp, limit: usize) -> Result<()>;

    /// Returns the bytes of all packages that are not destroyed.
    fn stored_bytes(&self) -> Result<u64>;

    /// Returns the quota cost of all packages that are not destroyed.
    fn stored_cost(&self) -> Result<u64>;

    /// Returns what was kept out of mailboxes in these months, both included, as [`Records::insert`] counted
    /// it and [`Records::withdraw`] took it back. Neither the end of a package nor that of its record changes
    /// it.
    fn statistics(&self, since: Option<Month>, until: Option<Month>) -> Result<Vec<Row>>;

    /// Adds domains with fewer than [`DOMAIN_MESSAGES_MIN`](super::statistics::DOMAIN_MESSAGES_MIN)
    /// messages to the others, in the months before this one.
    fn fold_statistics(&self, before: Month) -> Result<()>;

    /// Remembers until `until` that a message is to be kept as it is; of two times for one message, the later
    /// one holds. Forgets some of those whose time is over.
    fn keep_message(&self, digest: &Fingerprint, until: Timestamp, now: Timestamp) -> Result<()>;

    /// Returns true if a message is remembered at `now`.
    fn is_kept_message(&self, digest: &Fingerprint, now: Timestamp) -> Result<bool>;

    /// Forgets at most `limit` messages whose time is over.
    fn forget_kept_messages(&self, now: Timestamp, limit: usize) -> Result<()>;

    fn note(&self, note: Note) -> Result<Option<i64>>;

    fn set_notes(&self, notes: &[(Note, i64)]) -> Result<()>;
}

impl Term {
    /// Returns the time at which the package ended, or will end.
    pub(crate) fn end(&self) -> Timestamp {
        self.ended
            .map_or(self.expires, |(at, _)| at.min(self.expires))
    }
}

impl Note {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LastSweep => "last_sweep",
            Self::HeldUntil => "held_until",
            Self::AuditCopied => "audit_copied",
            Self::Directory => "directory",
            Self::Arrival => "arrival",
        }
    }
}
