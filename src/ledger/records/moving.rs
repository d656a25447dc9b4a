//! Records while they are moved from one database to another (`ledger/records/transfer.rs`).
//!
//! All verbs go to the source until it says that its records were moved ([`FaultKind::Moved`]); then the target is
//! opened, and they go there, the one that was told so first. So no process needs to be restarted at that moment,
//! and none reads what is not true any more.

use std::{
    collections::HashSet,
    fmt,
    ops::{Range, RangeInclusive},
    sync::{Mutex, OnceLock},
};

use jiff::Timestamp;

use super::{
    AuditQuery, BlockRow, ChainHead, Check, Depositor, Entry, Fingerprint, Hold, LedgerError, Note,
    Query, Record, RecordFile, RecordId, Records, Result, Suspension, Tables, Term, Uploads,
    Verification,
};
use crate::{
    ledger::{
        Uploader,
        error::FaultKind,
        statistics::{Month, Row},
    },
    lock::lock,
};

/// Opens the target.
type OpenTarget = Box<dyn Fn() -> Result<Box<dyn Records>> + Send + Sync>;

/// The database from which records are moved, and the one to which they are.
pub(crate) struct MovingRecords {
    source: Box<dyn Records>,
    target: OnceLock<Box<dyn Records>>,
    open: Mutex<OpenTarget>,
}

impl MovingRecords {
    pub(crate) fn new(
        source: Box<dyn Records>,
        open: impl Fn() -> Result<Box<dyn Records>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            source,
            target: OnceLock::new(),
            open: Mutex::new(Box::new(open)),
        }
    }

    fn records(&self) -> &dyn Records {
        let target = self.target.get().unwrap_or(&self.source);
        &**target
    }

    /// Does it where the records are; if they were moved meanwhile, once more. What failed there has done nothing.
    fn there<T>(&self, mut verb: impl FnMut(&dyn Records) -> Result<T>) -> Result<T> {
        let done = verb(self.records());
        match done {
            Err(error) if self.target.get().is_none() && is_moved(&error) => verb(self.follow()?),
            done => done,
        }
    }

    /// Opens the target, unless another thread has done so.
    fn follow(&self) -> Result<&dyn Records> {
        let open = lock(&self.open);
        if self.target.get().is_none() {
            let target = open()?;
            tracing::info!("the records were moved: they are asked where they are now");
            let _ = self.target.set(target);
        }
        Ok(self.records())
    }
}

impl fmt::Debug for MovingRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovingRecords")
            .field("source", &self.source)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

fn is_moved(error: &LedgerError) -> bool {
    error.fault() == Some(FaultKind::Moved)
}

/// Implements verbs, each by that of the database where the records are.
macro_rules! there {
    ($(fn $verb:ident($($name:ident: $kind:ty),*) -> $result:ty;)*) => {
        $(fn $verb(&self, $($name: $kind),*) -> $result {
            self.there(|records| records.$verb($(Clone::clone(&$name)),*))
        })*
    };
}

impl Records for MovingRecords {
    fn damaged(&self, reason: &str) -> LedgerError {
        self.records().damaged(reason)
    }

    fn tables(&self) -> Result<Box<dyn Tables + '_>> {
        self.records().tables()
    }

    fn renew_fingerprints(&self, of: &dyn Fn(&[u8; 32]) -> Fingerprint) -> Result<()> {
        self.there(|records| records.renew_fingerprints(of))
    }

    fn remove_orphan(&self, id: RecordId, remove: Check<'_>) -> Result<bool> {
        self.there(|records| records.remove_orphan(id, &mut *remove))
    }

    there! {
        fn probe() -> Result<()>;
        fn has_no_fingerprint() -> Result<bool>;
        fn insert(
            id: RecordId,
            record: &Record,
            files: &[RecordFile],
            networks: &[Fingerprint],
            entry: &Entry
        ) -> Result<()>;
        fn withdraw(id: RecordId, entry: &Entry) -> Result<bool>;
        fn find(id: RecordId) -> Result<Option<Record>>;
        fn files(id: RecordId) -> Result<Vec<RecordFile>>;
        fn list(query: &Query) -> Result<Vec<(RecordId, Record)>>;
        fn change_term(id: RecordId, was: &Term, is: &Term, entry: &Entry) -> Result<bool>;
        fn count_download(id: RecordId, files: Range<usize>, entry: &Entry) -> Result<bool>;
        fn ended(now: Timestamp, limit: usize) -> Result<Vec<(RecordId, Timestamp)>>;
        fn doom(packages: &[(RecordId, Timestamp)]) -> Result<()>;
        fn doomed(limit: usize) -> Result<Vec<(RecordId, Vec<u32>)>>;
        fn destroyed(packages: &[RecordId], entries: &[Entry]) -> Result<()>;
        fn forgettable(now: Timestamp, limit: usize) -> Result<Vec<(RecordId, Timestamp)>>;
        fn forget(packages: &[RecordId]) -> Result<()>;
        fn is_needed(id: RecordId) -> Result<bool>;
        fn has_unknown_files() -> Result<bool>;
        fn needed(slice: u8) -> Result<HashSet<RecordId>>;
        fn forget_overwritten() -> Result<()>;
        fn log(entry: &Entry) -> Result<()>;
        fn entries(query: &AuditQuery) -> Result<Vec<Entry>>;
        fn forget_entries(before: Timestamp, now: Timestamp, limit: usize) -> Result<u64>;
        fn chained(after: i64, limit: usize) -> Result<Vec<(ChainHead, Entry)>>;
        fn chain_head() -> Result<ChainHead>;
        fn verify_chain(known: Option<ChainHead>) -> Result<Verification>;
        fn hold(id: RecordId, hold: &Hold, entry: &Entry) -> Result<bool>;
        fn release(id: RecordId, entry: &Entry) -> Result<bool>;
        fn block(row: &BlockRow, entry: &Entry) -> Result<bool>;
        fn unblock(fingerprint: &Fingerprint, entry: &Entry) -> Result<bool>;
        fn blocks() -> Result<Vec<BlockRow>>;
        fn is_blocked(fingerprints: &[Fingerprint]) -> Result<bool>;
        fn suspend(suspension: &Suspension, entry: &Entry) -> Result<bool>;
        fn resume(login: &str, entry: &Entry) -> Result<bool>;
        fn suspensions() -> Result<Vec<Suspension>>;
        fn is_suspended(login: &str) -> Result<bool>;
        fn part_from_suspension(id: RecordId) -> Result<()>;
        fn suspended_packages(login: &str) -> Result<Vec<RecordId>>;
        fn deposited(
            by: Depositor<'_>,
            uploader: Option<&str>,
            created: RangeInclusive<Timestamp>
        ) -> Result<u64>;
        fn incoming(uploader: Option<&str>, created: RangeInclusive<Timestamp>) -> Result<u64>;
        fn of_network(network: &Fingerprint, created: RangeInclusive<Timestamp>) -> Result<u64>;
        fn forget_networks(before: Timestamp, limit: usize) -> Result<()>;
        fn stored_bytes() -> Result<u64>;
        fn stored_cost() -> Result<u64>;
        fn statistics(since: Option<Month>, until: Option<Month>) -> Result<Vec<Row>>;
        fn fold_statistics(before: Month) -> Result<()>;
        fn keep_message(digest: &Fingerprint, until: Timestamp, now: Timestamp) -> Result<()>;
        fn is_kept_message(digest: &Fingerprint, now: Timestamp) -> Result<bool>;
        fn forget_kept_messages(now: Timestamp, limit: usize) -> Result<()>;
        fn note(note: Note) -> Result<Option<i64>>;
        fn set_notes(notes: &[(Note, i64)]) -> Result<()>;
    }
}

impl Uploads for MovingRecords {
    there! {
        fn add_uploader(uploader: &Uploader, secret: &[u8; 32]) -> Result<bool>;
        fn find_uploader(secret: &[u8; 32], day: i64) -> Result<Option<Uploader>>;
        fn uploaders(day: i64) -> Result<Vec<Uploader>>;
        fn remove_uploader(name: &str) -> Result<bool>;
        fn note_use(uploader: i64, now: Timestamp) -> Result<()>;
        fn claim(id: RecordId, name: &str, now: Timestamp, before: Timestamp) -> Result<()>;
        fn is_claimed(id: RecordId, name: &str) -> Result<bool>;
        fn book(uploader: i64, day: i64, bytes: u64) -> Result<bool>;
        fn unbook(uploader: i64, day: i64, bytes: u64) -> Result<()>;
    }
}
