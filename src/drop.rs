//! The file drop: encrypted files in a directory, records of them in a database.
//!
//! The secret of a package is its token, which stands in the link and nowhere else: what is stored
//! is only what is derived from it (`drop/vault.rs` says how, byte by byte). Whoever has the directory
//! can read no name and no content, and find no link; whoever has a link needs the directory too.
//!
//! As a rule the web server is shown the token and decrypts. With `drop.end_to_end` the link has it in
//! the fragment, which browsers keep to themselves (`drop/unlock.rs`): the server finds the package by
//! its id, gives out what is stored (`drop/sealed.rs`), and the browser decrypts. What is stored is
//! the same; the record says which of the two holds for a package.
//!
//! # The directory
//!
//! ```text
//! <directory>/                      the drop; 0700 when it was made here
//!   drop.sqlite3                    records: who deposited what size, when, until when (clear);
//!                                   names, types, digests (sealed); digests of messages that somebody's
//!                                   choice kept (`ledger/choices.rs`), for a day those of networks that
//!                                   mail came from (`ledger/quota.rs`). Asked with `sqlite3`.
//!   drop.sqlite3-wal, -shm          SQLite's: part of the database, never to be removed by hand
//!   decisions/                      what was decided of messages, for some days (`decisions.rs`); no part of a
//!                                   backup
//!   drop.postgres                   with records in PostgreSQL, in place of these: the bond to that database
//!                                   (`drop/records.rs`)
//!   drop.key                        32 random bytes, for fingerprints (`drop/fingerprint.rs`)
//!   spare                           4 MiB of nothing, given up when a sweep finds the disk full
//!   blobs/                          the files of committed packages, encrypted
//!     ab/                           the first byte of the record's id
//!       ab…-<n>                     the id (32 hexadecimal digits), and the file's number
//!   drafts/                         files on their way; removed one hour after they were left
//!     draft-<random>
//! ```
//!
//! With `drop.blobs = "s3"` the blobs lie in a bucket instead (`drop/blobs/s3.rs`), as `<prefix>/ab/ab…-<n>`
//! and with the same bytes, beside `<prefix>/owner`, which says whose they are; everything else lies in the
//! directory.
//!
//! Directories are 0700 and files 0600. All of it lies on one file system, since drafts become
//! blobs by renaming. To back up, copy the database first (`sqlite3 drop.sqlite3 ".backup …"`), then
//! `drop.key` and `blobs`: a blob without a record is swept, a record without its blob is a dead link.
//!
//! Blobs and records stand behind two narrow traits (`drop/blobs.rs`, `ledger/records.rs`): another
//! store is one more file that passes the suite in `drop/tests/conformance`.
//!
//! # When a package is durable
//!
//! A commit renames the drafts, syncs contents and names at once (`syncfs`), then commits the record (`synchronous
//! = FULL`), looks once more for every blob, and only then returns. In a bucket, and on a file system on which
//! others' data make `syncfs` slow, the contents are durable when a draft is finished. A process that is killed at
//! any instant leaves drafts, or blobs without a record, which are swept after an hour, or a package that nobody
//! was told of, which expires. Both syncs are shared by all packages that are committed at the same time. No failed
//! sync is ever tried again on the same file: the file is given up. `tests/faults/drop.py` kills a process at each
//! call that changes something, and lets each fail.
//!
//! A file system that takes nothing (full, out of inodes) fails the deposit, and nothing of it is
//! kept; what is stored is served, also by a process that starts then. Before it comes to that,
//! `quota.free_space_min` and `quota.free_inodes_min` refuse.
//!
//! # The end of a package
//!
//! Live until `expires`, to the second, which readers can move within `lifetime_max`, or until an admin ends
//! it; then kept, but not given out, for the grace period, in which an admin can bring it back; then its
//! manifest is overwritten and its blobs are removed. The rest of the record stays for `keep_records`, so
//! that an old link gets an answer. What was done with a package, and by whom, stands in the audit log
//! (`ledger/audit.rs`). A package that is held by order (`ledger/custody/hold.rs`) stays as it is: nobody fetches
//! it, and nothing destroys it. When the clock jumped, nothing is destroyed for a day (`ledger/clock.rs`).
//! Several processes may have one drop open.

mod blobs;
mod commit;
mod draft;
mod elsewhere;
mod error;
mod fingerprint;
mod manifest;
mod migrate;
mod place;
mod reader;
mod records;
mod rescan;
mod sealed;
mod token;
mod unlock;
mod vault;
mod writer;

use std::{
    ops::{Deref, Range},
    sync::Arc,
};

use data_encoding::HEXLOWER;
use jiff::Timestamp;

use self::{
    blobs::{Blobs, Directory, Moving, S3},
    place::BlobPlace,
    rescan::Rescans,
    vault::Vault,
};
use crate::{
    config::{AuditConfig, BlobsKind, Config, DropConfig, QuotaConfig, ScanConfig},
    jirafeau::Jirafeau,
    ledger::{Books, Ledger, LedgerError, Record, Records, blocking},
    scan::VirusScanner,
};

pub use self::{
    draft::{CompleteFile, FileDraft, PackageDraft},
    error::DropError,
    migrate::Moved,
    reader::FileReader,
    rescan::Release,
    sealed::{SealedFile, SealedPackage},
    token::{Token, TokenError},
};
pub use crate::{
    envelope::Origin,
    jirafeau::JirafeauError,
    ledger::{
        Action, Actor, Allotment, AuditQuery, Block, CONTACT_CHARS_MAX, Cause, ChainHead,
        ChainHeadError, Defect, Deposit, DepositedFile, Door, Ending, Entry, Extension,
        FILE_COST_MIN, Hold, Level, PackageState, Query, REPORT_CHARS_MAX, RecordId, RecordIdError,
        Report, RequestOutcome, Requester, Resumed, Right, RightError, Secret, Suspension,
        SweepNotes, Swept, Transferred, Unlock, Uploader, Verification, expires_at,
    },
};

pub(crate) use self::{
    blobs::{BucketTrial, try_out as try_bucket},
    sealed::unseal_first,
    unlock::Link,
};
pub(crate) use crate::ledger::cost;

/// The drop: a directory of encrypted blobs and a database of records. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FileDrop {
    store: Arc<Store>,
}

/// A store of blobs that is open, and the stores between which they are moved, if they are.
type OpenBlobs = (Arc<dyn Blobs>, Option<Moving>);

#[derive(Debug)]
struct Store {
    blobs: Arc<dyn Blobs>,
    /// The stores between which blobs are moved, if they are; they are those of `blobs`.
    moving: Option<Moving>,
    ledger: Ledger,
    /// The side that decrypts packages deposited from now on for their readers.
    unlock: Unlock,
    /// The virus scanner, if one is configured.
    scanner: Option<VirusScanner>,
    /// Times of the scans before files were given out.
    rescans: Rescans,
    /// The Jirafeau that keeps files of packages, if one is configured.
    jirafeau: Option<Jirafeau>,
}

/// A package as seen by somebody who has its link.
#[derive(Debug)]
pub struct Package {
    /// Its files, in the order of the message.
    pub files: Vec<FileEntry>,
    /// Time of the deposit.
    pub created: Timestamp,
    /// Time until which it can be fetched.
    pub expires: Timestamp,
    /// Time until which a reader could extend it now; `None` if that is not allowed, or gains nothing.
    pub extendable: Option<Timestamp>,
    /// Origin of the deposit.
    pub origin: Origin,
    /// The side that decrypts it for those who read it in a browser.
    pub unlock: Unlock,
    /// The number of each file's blob.
    numbers: Vec<u32>,
}

impl Package {
    /// Returns true if somebody else keeps its files: their pages are told, and nothing is read here.
    pub fn is_elsewhere(&self) -> bool {
        self.files.iter().any(|file| file.page.is_some())
    }

    /// Returns true if both give out the same files.
    pub(crate) fn has_the_files_of(&self, other: &Self) -> bool {
        let both = |package: &Self| (package.created, package.expires, package.unlock);
        both(self) == both(other) && self.numbers == other.numbers && self.files == other.files
    }
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name as in the mail: decoded, but not made safe.
    pub name: String,
    /// The media type that the mail declared.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its contents.
    pub sha256: [u8; 32],
    /// CRC-32 (IEEE) of its contents, for ZIP.
    pub crc32: u32,
    /// True if it was no part of the mail, but read out of one that is a file of the package too.
    pub opened: bool,
    /// The address of its page, if somebody else keeps it: it is not read here.
    pub page: Option<String>,
}

/// The result of looking up a token or an id.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for each request, and the usual one is as large"
)]
#[derive(Debug)]
pub enum PackageLookup<P = Package> {
    /// A package that can be fetched.
    Live(P),
    /// A package that can no longer be fetched.
    Gone {
        /// Time of the deposit.
        created: Timestamp,
        /// Time until which it could be fetched.
        expired: Timestamp,
        /// The reason it can no longer be fetched.
        why: Ending,
        /// Time until which a reader could extend it now; `None` if that is not allowed, or gains nothing.
        extendable: Option<Timestamp>,
        /// Origin of the deposit.
        origin: Origin,
        /// The side that decrypted it for those who read it in a browser.
        unlock: Unlock,
    },
    /// No package of this drop, or one whose record is deleted.
    Unknown,
}

impl FileDrop {
    /// Opens the drop as configured, with its quotas, its virus scan and its audit log. Creates its
    /// directories and its database if they are missing; the parent of `directory` must exist. Blocks: call
    /// it before anything is served.
    ///
    /// A drop on a full disk opens with a warning: what is stored can still be fetched.
    ///
    /// # Errors
    /// The directory cannot be used; the message is one clear line.
    pub fn of(config: &Config) -> Result<Self, DropError> {
        let jirafeau = Jirafeau::open(&config.jirafeau)?;
        let rules = (&config.quota, &config.audit, &config.scan);
        Self::open_over(&config.drop, rules, jirafeau, |directory, records| {
            let bucket = config.drop.uses_bucket().then(|| {
                let mark = HEXLOWER.encode(&records::number(records)?.to_be_bytes());
                S3::open(&config.s3, directory.clone(), mark)
            });
            migrate::open(&config.drop, directory, bucket.transpose()?)
        })
    }

    /// Opens a drop in a directory, without quotas and virus scan, otherwise like [`FileDrop::of`].
    ///
    /// # Errors
    /// As [`FileDrop::of`].
    pub fn open(config: &DropConfig) -> Result<Self, DropError> {
        let (quota, audit) = (QuotaConfig::unlimited(), AuditConfig::default());
        Self::open_with(config, &quota, &audit, &ScanConfig::default())
    }

    fn open_with(
        config: &DropConfig,
        quota: &QuotaConfig,
        audit: &AuditConfig,
        scan: &ScanConfig,
    ) -> Result<Self, DropError> {
        Self::open_over(config, (quota, audit, scan), None, |directory, _| {
            Ok((Arc::new(directory), None))
        })
    }

    /// Opens a drop over the stores of blobs that `blobs` opens, and whose files elsewhere are at this Jirafeau.
    fn open_over(
        config: &DropConfig,
        (quota, audit, scan): (&QuotaConfig, &AuditConfig, &ScanConfig),
        jirafeau: Option<Jirafeau>,
        blobs: impl FnOnce(Directory, &dyn Records) -> Result<OpenBlobs, DropError>,
    ) -> Result<Self, DropError> {
        let directory = Directory::open(&config.directory)?;
        let alone = directory.lock()?;
        let records = records::open(&directory, config)?;
        let key = fingerprint::key(&directory, &*records)?;
        let (blobs, moving) = blobs(directory, &*records)?;
        std::mem::drop(alone);

        let place = Box::new(BlobPlace(Arc::clone(&blobs), jirafeau.clone()));
        let store = Store {
            blobs,
            moving,
            ledger: Ledger::new(records, key, place, config, quota, audit),
            unlock: Unlock::of(config.end_to_end),
            scanner: VirusScanner::of(scan),
            rescans: Rescans::default(),
            jirafeau,
        };

        // A bucket is not asked: while it is away, what is in the database can be told and decided all the same.
        if config.blobs == BlobsKind::Directory {
            store.warn_if_full()?;
        }
        store.books().follow_log();
        Ok(Self {
            store: Arc::new(store),
        })
    }

    /// Creates a key in place of a lost one. Blocked files stay blocked; files of existing packages can no
    /// longer be found by their digests. Blocks.
    ///
    /// # Errors
    /// The drop still has its key, or cannot be written.
    pub fn renew_key(config: &DropConfig) -> Result<(), DropError> {
        let directory = Directory::open(&config.directory)?;
        let _alone = directory.lock()?;
        let records = records::open(&directory, config)?;
        fingerprint::renew(&directory, &*records)
    }

    /// Checks that the server that holds the records answers, and that this version knows its tables. Changes
    /// nothing. Blocks.
    ///
    /// # Errors
    /// It does not answer, or does not let this process in.
    pub fn reach_records(config: &DropConfig) -> Result<(), DropError> {
        records::reach(config)
    }

    /// Returns the side that decrypts packages deposited from now on for their readers.
    pub fn unlock(&self) -> Unlock {
        self.store.unlock
    }

    /// Begins a package under a fresh token. Touches neither disk nor database.
    pub fn package(&self, origin: Origin) -> PackageDraft {
        PackageDraft::under(self, Token::random(), origin)
    }

    /// Looks up the package of a token at the time `now`. Counts no download.
    ///
    /// # Errors
    /// The database cannot be read, or the record does not authenticate.
    pub async fn find(&self, token: &Token, now: Timestamp) -> Result<PackageLookup, DropError> {
        let (store, vault) = (Arc::clone(&self.store), Vault::new(token));
        blocking(move || store.find(&vault, now)).await
    }

    /// Finds a package whose files still exist, even if nobody may fetch them any more: for an admin who has
    /// the link.
    ///
    /// # Errors
    /// The database cannot be read, or the names of the files are damaged.
    pub async fn find_kept(&self, token: &Token) -> Result<Option<Package>, DropError> {
        let (store, vault) = (Arc::clone(&self.store), Vault::new(token));
        blocking(move || store.find_kept(&vault)).await
    }

    /// Checks that every blob of a package is in its place; of files that somebody else keeps it knows nothing.
    ///
    /// # Errors
    /// One of them is missing, or cannot be looked at.
    pub(crate) async fn check_whole(
        &self,
        token: &Token,
        package: &Package,
    ) -> Result<(), DropError> {
        if package.is_elsewhere() {
            return Ok(());
        }
        let (id, numbers) = (Vault::new(token).id(), package.numbers.clone());
        self.run(move |store| {
            let mut numbers = numbers.iter();
            numbers.try_for_each(|&number| store.blobs.length(id, number).map(drop))
        })
        .await
    }

    /// Returns the files of a package that is not destroyed, for somebody who has its link: of expired and
    /// revoked ones, too. `None` if there is no such package any more.
    ///
    /// # Errors
    /// The database cannot be read, or the record does not authenticate.
    pub async fn names(&self, token: &Token) -> Result<Option<Vec<FileEntry>>, DropError> {
        let vault = Vault::new(token);
        self.run(move |store| {
            let record = store.books().records.find(vault.id())?;
            let sealed = record.and_then(|record| record.manifest);
            let open = |sealed| manifest::open(&vault, sealed, &*store.books().records);
            Ok(sealed.map(open).transpose()?.map(|(files, _)| files))
        })
        .await
    }

    /// Opens a file of a package for reading a range of its bytes.
    ///
    /// # Errors
    /// The blob is missing or damaged, or the range reaches past the end.
    pub async fn read(
        &self,
        token: &Token,
        package: &Package,
        index: usize,
        range: Range<u64>,
    ) -> Result<FileReader, DropError> {
        let (Some(file), Some(&number)) = (package.files.get(index), package.numbers.get(index))
        else {
            return Err(DropError::Misuse("a package has no file of this index"));
        };
        let (store, vault, size) = (Arc::clone(&self.store), Vault::new(token), file.size);
        blocking(move || FileReader::open(&store, &vault, number, size, range)).await
    }

    /// Writes a reader's complaint into the audit log, made harmless and cut to
    /// [`REPORT_CHARS_MAX`] and [`CONTACT_CHARS_MAX`], with any token in it concealed. Returns `None` if the
    /// door leads to no package.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn report(
        &self,
        door: impl Into<Door>,
        now: Timestamp,
        client: &Requester,
        text: &str,
        contact: &str,
    ) -> Result<Option<Report>, LedgerError> {
        let (text, contact) = (Token::conceal(text), Token::conceal(contact));
        let reported = self.ledger().report(door, now, client, &text, &contact);
        reported.await
    }

    /// Returns the ledger of this drop.
    pub fn ledger(&self) -> &Ledger {
        &self.store.ledger
    }

    /// Checks that a package could be deposited: writes and removes a small file, and probes the database.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub async fn probe(&self) -> Result<(), DropError> {
        let store = Arc::clone(&self.store);
        blocking(move || {
            store.blobs.probe()?;
            Ok(store.books().records.probe()?)
        })
        .await
    }

    /// Begins a package under a token that the uploader chose. Returns `None` if the package is another's.
    pub(crate) async fn begin_upload(
        &self,
        uploader: &Uploader,
        token: &Token,
        mut origin: Origin,
    ) -> Result<Option<PackageDraft>, DropError> {
        origin.uploader = Some(uploader.name.clone());
        let is_ours = self.claim_upload(uploader, token.into()).await?;
        Ok(is_ours.then(|| PackageDraft::under(self, token.clone(), origin)))
    }

    /// Runs work of the store on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, DropError> + Send + 'static,
    ) -> Result<T, DropError> {
        let store = Arc::clone(&self.store);
        blocking(move || work(&store)).await
    }
}

impl Deref for FileDrop {
    type Target = Ledger;

    /// Returns the ledger of this drop: what is asked of a package is asked there, unless it takes the link.
    fn deref(&self) -> &Ledger {
        self.ledger()
    }
}

impl Store {
    fn books(&self) -> &Arc<Books> {
        self.ledger.books()
    }

    /// Warns of a full disk. It is no error: what is stored can still be served.
    fn warn_if_full(&self) -> Result<(), DropError> {
        match self.blobs.probe() {
            Err(error @ DropError::Full { .. }) => {
                tracing::warn!("the drop takes nothing until there is room: {error}");
                Ok(())
            }
            probed => probed,
        }
    }

    fn find(&self, vault: &Vault, now: Timestamp) -> Result<PackageLookup, DropError> {
        let record = self.books().records.find(vault.id())?;
        self.look(record, now, |record, sealed, extendable| {
            self.open_package(vault, record, sealed, extendable)
        })
    }

    fn find_kept(&self, vault: &Vault) -> Result<Option<Package>, DropError> {
        let Some(mut record) = self.books().records.find(vault.id())? else {
            return Ok(None);
        };
        let sealed = record.manifest.take();
        let open = |sealed| self.open_package(vault, record, sealed, None);
        sealed.map(open).transpose()
    }

    fn open_package(
        &self,
        vault: &Vault,
        record: Record,
        sealed: Vec<u8>,
        extendable: Option<Timestamp>,
    ) -> Result<Package, DropError> {
        let (files, numbers) = manifest::open(vault, sealed, &*self.books().records)?;
        Ok(Package {
            files,
            created: record.created,
            expires: record.term.end(),
            extendable,
            origin: record.origin,
            unlock: record.unlock,
            numbers,
        })
    }

    /// Looks at a record at the time `now`. `live` makes the package of one that can be fetched, from the
    /// record without its manifest, the manifest, and the time until which it could be extended.
    fn look<P>(
        &self,
        record: Option<Record>,
        now: Timestamp,
        live: impl FnOnce(Record, Vec<u8>, Option<Timestamp>) -> Result<P, DropError>,
    ) -> Result<PackageLookup<P>, DropError> {
        let Some(mut record) = record else {
            return Ok(PackageLookup::Unknown);
        };
        let extendable = self.books().extendable(&record, now);
        let why = record.ending(now);
        match (why, record.manifest.take()) {
            (None, Some(sealed)) => Ok(PackageLookup::Live(live(record, sealed, extendable)?)),
            (why, _) => Ok(PackageLookup::Gone {
                created: record.created,
                expired: record.term.end(),
                why: why.unwrap_or(Ending::Expired),
                extendable,
                origin: record.origin,
                unlock: record.unlock,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
