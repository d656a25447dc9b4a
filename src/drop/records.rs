//! What is known of packages, apart from their contents: the seam behind which a database stands.
//!
//! A database is one more file that implements [`Records`] and passes the suite in
//! `tests/conformance/records.rs`. Its verbs block and are called from blocking threads only. Each
//! is one short transaction: when it returns, it is on stable storage. Other processes may have the
//! database open too, so whatever is decided about a blob is decided inside a transaction
//! that nobody else can write beside.

mod sqlite;

use std::{
    collections::HashSet,
    fmt,
    ops::{Range, RangeInclusive},
    path::Path,
};

use jiff::Timestamp;

pub(super) use self::sqlite::Sqlite;
#[cfg(test)]
pub(super) use self::sqlite::{SCHEMA_1, schemas_before_the_chain};
use super::{
    DropError, Origin, RecordId, Unlock,
    audit::{ChainHead, Entry, Verification},
    custody::{AuditQuery, Cause, Hold, Query, Suspension},
    uploaders::Uploads,
};
use crate::{
    filter::Direction,
    stats::{Month, Row},
};

pub(super) type Result<T, E = DropError> = std::result::Result<T, E>;

/// HMAC-SHA256 of a file's SHA-256 under the drop's own key.
pub(super) type Fingerprint = [u8; 32];

/// What is asked inside a transaction; the transaction fails with it.
pub(super) type Check<'a> = &'a mut dyn FnMut() -> Result<()>;

/// A package as the database knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) created: Timestamp,
    pub(super) term: Term,
    pub(super) origin: Origin,
    pub(super) unlock: Unlock,
    /// `None` when its blobs are destroyed, or about to be.
    pub(super) manifest: Option<Vec<u8>>,
    /// How many files it has or had.
    pub(super) files: u32,
    /// Their bytes, before encryption.
    pub(super) bytes: u64,
    /// Complete downloads of its files.
    pub(super) downloads: u64,
    /// Since when, and why, it is kept by order.
    pub(super) held: Option<Hold>,
}

/// Until when a package can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) expires: Timestamp,
    /// When and why it was ended before that.
    pub(super) ended: Option<(Timestamp, Cause)>,
}

/// A file of a package. Its place in the list is its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordFile {
    /// The number in the name of its blob.
    pub(super) number: u32,
    /// Its size in bytes, not encrypted.
    pub(super) size: u64,
    /// `None` when it was stored before there were fingerprints, or is destroyed.
    pub(super) fingerprint: Option<Fingerprint>,
    /// Complete downloads.
    pub(super) downloads: u64,
}

/// A file that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockRow {
    pub(super) fingerprint: Fingerprint,
    pub(super) sha256: [u8; 32],
    pub(super) created: Timestamp,
    pub(super) reason: String,
}

/// Whose deposits are added up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Depositor<'a> {
    /// By login name.
    Login(&'a str),
    /// By envelope sender, of mail that came without a login, in this direction (`None`: in both).
    Sender(&'a str, Option<Direction>),
}

/// What the drop remembers of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// When the last sweep was, in seconds since 1970.
    LastSweep,
    /// Until when nothing is destroyed because the clock jumped.
    HeldUntil,
    /// The number of the last entry of the audit log that was copied elsewhere.
    AuditCopied,
}

/// A database of packages.
pub(super) trait Records: Uploads + fmt::Debug + Send + Sync {
    /// Where it is, for messages.
    fn path(&self) -> &Path;

    /// Can it be written? Changes nothing.
    fn probe(&self) -> Result<()>;

    /// Whether no file is known by a fingerprint.
    fn has_no_fingerprint(&self) -> Result<bool>;

    /// Knows blocked files by other fingerprints of their SHA-256, and all other files, messages and networks not at all.
    fn renew_fingerprints(&self, of: &dyn Fn(&[u8; 32]) -> Fingerprint) -> Result<()>;

    /// Inserts a package with its files and counts it in the statistics, unless one of them is blocked
    /// ([`DropError::Blocked`]) or its login suspended ([`DropError::Suspended`]).
    /// `networks` are those of the client that sent it, as far as they count. `stored` is asked inside the
    /// transaction whether all blobs are in their place.
    fn insert(
        &self,
        id: RecordId,
        record: &Record,
        files: &[RecordFile],
        networks: &[Fingerprint],
        entry: &Entry,
        stored: Check<'_>,
    ) -> Result<()>;

    /// Removes a package altogether, as if it had never been, also one whose insertion failed at
    /// the last moment: when this returns without an error, it will not come back. True if it was
    /// there. A package that is held stays ([`DropError::Held`]).
    fn withdraw(&self, id: RecordId, entry: &Entry) -> Result<bool>;

    fn find(&self, id: RecordId) -> Result<Option<Record>>;

    /// A package's files in order.
    fn files(&self, id: RecordId) -> Result<Vec<RecordFile>>;

    /// Packages, those deposited last first.
    fn list(&self, query: &Query) -> Result<Vec<(RecordId, Record)>>;

    /// Changes the term of a package that is not destroyed, if it still is what it `was`. False when
    /// somebody was faster, or destroyed it.
    fn change_term(&self, id: RecordId, was: &Term, is: &Term, entry: &Entry) -> Result<bool>;

    /// Counts a complete download of the files with these indices. False when there is none of them.
    fn count_download(&self, id: RecordId, files: Range<usize>, entry: &Entry) -> Result<bool>;

    /// The packages whose blobs are stored, that nobody could fetch any more at `now`, and that are not held, those
    /// that ended first first, with the time of their end.
    fn ended(&self, now: Timestamp, limit: usize) -> Result<Vec<(RecordId, Timestamp)>>;

    /// Erases the manifests of those packages that still end at the time given with them and are not held. Their
    /// blobs are needed by nobody from then on.
    fn doom(&self, packages: &[(RecordId, Timestamp)]) -> Result<()>;

    /// Doomed packages whose blobs have yet to be removed, with the numbers of their files; any of
    /// them, not always the same.
    fn doomed(&self, limit: usize) -> Result<Vec<(RecordId, Vec<u32>)>>;

    /// Says that the blobs of these doomed packages are removed: they are destroyed.
    fn destroyed(&self, packages: &[RecordId], entries: &[Entry]) -> Result<()>;

    /// The packages that are destroyed and ended before `now`, longest ago first.
    fn forgettable(&self, now: Timestamp, limit: usize) -> Result<Vec<(RecordId, Timestamp)>>;

    /// Deletes the records of destroyed packages.
    fn forget(&self, packages: &[RecordId]) -> Result<()>;

    /// True when a blob of this package may be needed.
    fn is_needed(&self, id: RecordId) -> Result<bool>;

    /// Returns true if a file is there whose fingerprint is not known: of before the drop had its key.
    fn has_unknown_files(&self) -> Result<bool>;

    /// The packages whose id begins with this byte and of which a blob may be needed.
    fn needed(&self, slice: u8) -> Result<HashSet<RecordId>>;

    /// Runs `remove` while nobody can commit, if no blob of this package is needed.
    fn remove_orphan(&self, id: RecordId, remove: Check<'_>) -> Result<bool>;

    /// Sees to it that what was erased since the last call stands nowhere any more.
    fn forget_overwritten(&self) -> Result<()>;

    /// Adds an entry to the log.
    fn log(&self, entry: &Entry) -> Result<()>;

    /// Entries of the log, oldest first.
    fn entries(&self, query: &AuditQuery) -> Result<Vec<Entry>>;

    /// Deletes at most `limit` entries that are older than `before`, from the beginning of the chain: one that stands
    /// behind a younger one waits for it, unless that is of after `now`. Returns how many.
    fn forget_entries(&self, before: Timestamp, now: Timestamp, limit: usize) -> Result<u64>;

    /// Entries of the chain behind this number, oldest first, each with its place.
    fn chained(&self, after: i64, limit: usize) -> Result<Vec<(ChainHead, Entry)>>;

    /// The last entry of the chain, as the database remembers it.
    fn chain_head(&self) -> Result<ChainHead>;

    /// Looks through the whole chain. `known` is a head that was noted elsewhere.
    fn verify_chain(&self, known: Option<ChainHead>) -> Result<Verification>;

    /// Keeps a package that is not destroyed. False if it was held, or there is none.
    fn hold(&self, id: RecordId, hold: &Hold, entry: &Entry) -> Result<bool>;

    /// Keeps a package no longer. False if it was not held.
    fn release(&self, id: RecordId, entry: &Entry) -> Result<bool>;

    /// Blocks a file. False if it was.
    fn block(&self, row: &BlockRow, entry: &Entry) -> Result<bool>;

    /// Unblocks a file. False if it was not blocked.
    fn unblock(&self, fingerprint: &Fingerprint, entry: &Entry) -> Result<bool>;

    /// What is blocked, oldest first.
    fn blocks(&self) -> Result<Vec<BlockRow>>;

    /// True when one of these is blocked.
    fn is_blocked(&self, fingerprints: &[Fingerprint]) -> Result<bool>;

    /// Takes nothing of a login any more, and remembers which of its packages that ends. False if it was so.
    fn suspend(&self, suspension: &Suspension, entry: &Entry) -> Result<bool>;

    /// Takes what a login sends again, and forgets which of its packages were ended. False if it was so.
    fn resume(&self, login: &str, entry: &Entry) -> Result<bool>;

    /// Who is suspended, oldest first.
    fn suspensions(&self) -> Result<Vec<Suspension>>;

    /// Whether a login is suspended.
    fn is_suspended(&self, login: &str) -> Result<bool>;

    /// Forgets that a package was ended when its login was suspended.
    fn part_from_suspension(&self, id: RecordId) -> Result<()>;

    /// The packages that were ended when a login was suspended.
    fn suspended_packages(&self, login: &str) -> Result<Vec<RecordId>>;

    /// What somebody's deposits since then cost, whatever became of them, as far as they came by this
    /// uploader (`None`: from this host).
    fn deposited(
        &self,
        by: Depositor<'_>,
        uploader: Option<&str>,
        created: RangeInclusive<Timestamp>,
    ) -> Result<u64>;

    /// Returns what incoming mail of these hours cost that came by this uploader (`None`: from this
    /// host); two days are known.
    fn incoming(&self, uploader: Option<&str>, created: RangeInclusive<Timestamp>) -> Result<u64>;

    /// Returns what the mail of a network cost in this time.
    fn of_network(&self, network: &Fingerprint, created: RangeInclusive<Timestamp>) -> Result<u64>;

    /// Forgets at most `limit` times from which network a package came that is older than `before`.
    fn forget_networks(&self, before: Timestamp, limit: usize) -> Result<()>;

    /// Bytes of all packages that are not destroyed.
    fn stored_bytes(&self) -> Result<u64>;

    /// What all packages that are not destroyed cost the quotas.
    fn stored_cost(&self) -> Result<u64>;

    /// What was kept out of mailboxes in these months, both included, as [`Records::insert`] counted it
    /// and [`Records::withdraw`] took it back. Neither the end of a package nor of its record changes it.
    fn statistics(&self, since: Option<Month>, until: Option<Month>) -> Result<Vec<Row>>;

    /// Adds domains with fewer than [`DOMAIN_MESSAGES_MIN`](crate::stats::DOMAIN_MESSAGES_MIN)
    /// messages to the others, in the months before this one.
    fn fold_statistics(&self, before: Month) -> Result<()>;

    /// Remembers a message that is to be kept as it is, until then; one that is known as long as the
    /// longer of the two. Forgets those whose time is over.
    fn keep_message(&self, digest: &Fingerprint, until: Timestamp, now: Timestamp) -> Result<()>;

    /// Whether a message is remembered at `now`.
    fn is_kept_message(&self, digest: &Fingerprint, now: Timestamp) -> Result<bool>;

    /// Forgets at most `limit` messages whose time is over.
    fn forget_kept_messages(&self, now: Timestamp, limit: usize) -> Result<()>;

    fn note(&self, note: Note) -> Result<Option<i64>>;

    fn set_notes(&self, notes: &[(Note, i64)]) -> Result<()>;
}

impl Term {
    /// When the package could no longer be fetched, or will be.
    pub(super) fn end(&self) -> Timestamp {
        self.ended
            .map_or(self.expires, |(at, _)| at.min(self.expires))
    }
}

impl Note {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LastSweep => "last_sweep",
            Self::HeldUntil => "held_until",
            Self::AuditCopied => "audit_copied",
        }
    }
}
