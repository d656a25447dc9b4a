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
//!                                   choice kept (`drop/choices.rs`), for a day those of networks that
//!                                   mail came from (`drop/quota.rs`). Asked with `sqlite3`.
//!   drop.sqlite3-wal, -shm          SQLite's: part of the database, never to be removed by hand
//!   decisions/                      what was decided of messages, for some days (`decisions.rs`); no part of a
//!                                   backup
//!   drop.key                        32 random bytes, for fingerprints (`drop/fingerprint.rs`)
//!   spare                           4 MiB of nothing, given up when a sweep finds the disk full
//!   blobs/                          the files of committed packages, encrypted
//!     ab/                           the first byte of the record's id
//!       ab…-<n>                     the id (32 hexadecimal digits), and the file's number
//!   drafts/                         files on their way; removed one hour after they were left
//!     draft-<random>
//! ```
//!
//! Directories are 0700 and files 0600. All of it lies on one file system, since drafts become
//! blobs by renaming. To back up, copy the database first (`sqlite3 drop.sqlite3 ".backup …"`), then
//! `drop.key` and `blobs`: a blob without a record is swept, a record without its blob is a dead link.
//!
//! Blobs and records stand behind two narrow traits (`drop/blobs.rs`, `drop/records.rs`): another
//! store is one more file that passes the suite in `drop/tests/conformance`.
//!
//! # When a package is durable
//!
//! Each draft is synced when it is finished. A commit renames the drafts, syncs both directories,
//! then commits the record (`synchronous = FULL`), and only then returns: a process that is killed
//! at any instant leaves drafts, or blobs without a record, which are swept after an hour, or a
//! package that nobody was told of, which expires. No failed sync is ever tried again on the same
//! file: the file is given up. `tests/faults/drop.py` kills a process at each call that changes something,
//! and lets each fail.
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
//! (`drop/audit.rs`). A package that is held by order (`drop/custody/hold.rs`) stays as it is: nobody fetches
//! it, and nothing destroys it. When the clock jumped, nothing is destroyed for a day (`drop/clock.rs`).
//! Several processes may have one drop open.

mod audit;
mod blobs;
mod choices;
mod clock;
mod custody;
mod draft;
mod error;
mod fingerprint;
mod manifest;
mod quota;
mod reader;
mod records;
mod rescan;
mod sealed;
mod sweep;
mod token;
mod unlock;
mod uploaders;
mod vault;

use std::{
    net::IpAddr,
    ops::Range,
    sync::{Arc, atomic::AtomicU64},
};

use aws_lc_rs::hmac;
use jiff::{Span, Timestamp};

use self::{
    audit::Syslog,
    blobs::{Blobs, Directory},
    quota::Told,
    records::{Record, Records, Sqlite},
    rescan::Rescans,
    sweep::Slices,
    vault::Vault,
};
pub use self::{
    audit::{
        Action, Actor, CONTACT_CHARS_MAX, ChainHead, ChainHeadError, Client, Defect, Entry,
        REPORT_CHARS_MAX, Verification,
    },
    custody::{
        AuditQuery, Block, Cause, Deposit, DepositedFile, Ending, Extension, Hold, Outcome, Query,
        Report, Resumed, State, Suspension,
    },
    draft::{DurableFile, FileDraft, PackageDraft},
    error::{Allotment, DropError},
    quota::FILE_COST_MIN,
    reader::FileReader,
    rescan::Release,
    sealed::{SealedFile, SealedPackage},
    token::{Token, TokenError},
    unlock::{Door, Unlock},
    uploaders::{Right, RightError, Secret, Uploader},
    vault::{RecordId, RecordIdError},
};
pub(crate) use self::{quota::cost, sealed::unseal_first, unlock::Link};
use crate::{
    config::{AuditConfig, Config, DropConfig, QuotaConfig, ScanConfig},
    filter::Direction,
    scan::Scanner,
    stats::{Domains, Month, Row},
};

/// The drop: a directory of encrypted blobs and a database of records. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Drop {
    store: Arc<Store>,
}

#[derive(Debug)]
struct Store {
    blobs: Box<dyn Blobs>,
    records: Box<dyn Records>,
    /// The drop's own key, for fingerprints.
    key: hmac::Key,
    slices: Slices,
    /// Quota cost of the files that are not part of a record yet.
    drafted: AtomicU64,
    /// The warnings of the last day; each is given once a day.
    told: Told,
    /// Number of times that a login deposited many times its usual.
    unusual_logins: AtomicU64,
    /// The side that decrypts packages deposited from now on for their readers.
    unlock: Unlock,
    grace: Span,
    keep_records: Span,
    extension: Option<Span>,
    lifetime_max: Span,
    extend_expired: bool,
    quota: QuotaConfig,
    /// The virus scanner, if one is configured.
    scanner: Option<Scanner>,
    /// Times of the scans before files were given out.
    rescans: Rescans,
    /// Retention time of the entries of the audit log.
    keep_entries: Span,
    /// True if the addresses of readers and of clients that send mail are recorded.
    addresses: bool,
    /// True if the Message-IDs of messages are recorded.
    message_ids: bool,
    /// The receiver of a copy of the audit log, if one is configured.
    log_copy: Option<Syslog>,
}

/// The message that a package came with, and its sender; stored in clear, so that an admin can answer for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Postfix's queue id.
    pub queue_id: String,
    /// The envelope sender, without angle brackets; empty for bounces.
    pub sender: String,
    /// The verified part of the sender: the address, or a domain. Readers are shown nothing else of the
    /// sender.
    pub verified: Option<String>,
    /// The login name, if the client authenticated.
    pub login: Option<String>,
    /// The direction of the message.
    pub direction: Direction,
    /// Number of recipients of the message.
    pub recipients: u32,
    /// Address of the client that sent the message; `None` for local mail, if it is not recorded, and in
    /// records of earlier versions.
    pub client: Option<IpAddr>,
    /// The name of the token with which another host deposited it.
    pub uploader: Option<String>,
    /// The message's Message-ID with its angle brackets; `None` if it has none, if it is not recorded, and in
    /// records of earlier versions.
    pub message_id: Option<String>,
    /// Number of recipients in each domain of incoming mail, for the statistics; otherwise empty.
    pub domains: Domains,
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
}

/// The result of looking up a token or an id.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for each request, and the usual one is as large"
)]
#[derive(Debug)]
pub enum Lookup<P = Package> {
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

impl Drop {
    /// Opens the drop as configured, with its quotas, its virus scan and its audit log. Creates its
    /// directories and its database if they are missing; the parent of `directory` must exist. Blocks: call
    /// it before anything is served.
    ///
    /// A drop on a full disk opens with a warning: what is stored can still be fetched.
    ///
    /// # Errors
    /// The directory cannot be used; the message is one clear line.
    pub fn of(config: &Config) -> Result<Self, DropError> {
        Self::open_with(&config.drop, &config.quota, &config.audit, &config.scan)
    }

    /// Opens a drop without quotas and virus scan, otherwise like [`Drop::of`].
    ///
    /// # Errors
    /// As [`Drop::of`].
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
        let directory = Directory::open(&config.directory)?;
        let alone = directory.lock()?;
        let records = Sqlite::open(directory.database()?)?;
        let key = fingerprint::key(&directory, &records)?;
        std::mem::drop(alone);

        let store = Store {
            blobs: Box::new(directory),
            records: Box::new(records),
            key,
            slices: Slices::default(),
            drafted: AtomicU64::new(0),
            told: Told::default(),
            unusual_logins: AtomicU64::new(0),
            unlock: Unlock::of(config.end_to_end),
            grace: config.grace,
            keep_records: config.keep_records,
            extension: config.extension,
            lifetime_max: config.lifetime_max,
            extend_expired: config.extend_expired,
            quota: quota.clone(),
            scanner: Scanner::of(scan),
            rescans: Rescans::default(),
            keep_entries: audit.keep,
            addresses: audit.addresses,
            message_ids: audit.message_ids,
            log_copy: Syslog::of(&audit.copy),
        };

        store.warn_if_full()?;
        store.follow_log();
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
        let records = Sqlite::open(directory.database()?)?;
        fingerprint::renew(&directory, &records)
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
    pub async fn find(&self, token: &Token, now: Timestamp) -> Result<Lookup, DropError> {
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

    /// Counts one complete download of a file, or of several together.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn count_download(
        &self,
        door: impl Into<Door>,
        files: Range<usize>,
        client: &Client,
    ) -> Result<(), DropError> {
        let (id, client) = (door.into().id, *client);
        self.run(move |store| store.count_download(id, files, client))
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
        client: &Client,
    ) -> Result<Extension, DropError> {
        let (door, client) = (door.into(), *client);
        self.run(move |store| store.extend(door, now, client)).await
    }

    /// Writes a reader's complaint into the audit log, made harmless and cut to
    /// [`REPORT_CHARS_MAX`] and [`CONTACT_CHARS_MAX`]. Returns `None` if the door leads to no package.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn report(
        &self,
        door: impl Into<Door>,
        now: Timestamp,
        client: &Client,
        text: &str,
        contact: &str,
    ) -> Result<Option<Report>, DropError> {
        let (door, client) = (door.into(), *client);
        let (text, contact) = (text.to_owned(), contact.to_owned());
        self.run(move |store| store.report(door, now, client, (&text, &contact)))
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
    pub async fn sweep(&self, now: Timestamp, steps: usize) -> (Swept, Result<(), DropError>) {
        let store = Arc::clone(&self.store);
        let swept = blocking(move || Ok(sweep::sweep(&store, now, steps)));
        swept.await.unwrap_or_else(|e| (Swept::default(), Err(e)))
    }

    /// Sweeps in steps of `steps` until nothing is left to do in any directory, or `go_on` returns false.
    ///
    /// # Errors
    /// As [`Drop::sweep`]; the first one is returned. The sweep goes on after a file that cannot be removed,
    /// and ends after any other error.
    pub async fn sweep_all(
        &self,
        now: Timestamp,
        steps: usize,
        go_on: impl Fn() -> bool,
    ) -> (Swept, Result<(), DropError>) {
        let (mut total, mut first) = (Swept::default(), Ok(()));
        // A call looks through one slice of the blobs: all of them are done after as many quiet calls.
        let mut quiet = 0;
        while quiet < blobs::SLICES && total.held_until.is_none() && go_on() {
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
    pub async fn trust_clock(&self, now: Timestamp) -> Result<(), DropError> {
        self.run(move |store| sweep::with_spare(store, || store.trust_clock(now)))
            .await
    }

    /// Returns what was kept out of mailboxes in these months, both included. Domains with few messages are
    /// named too: call [`stats::fold`](crate::stats::fold) before it is shown.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn statistics(
        &self,
        since: Option<Month>,
        until: Option<Month>,
    ) -> Result<Vec<Row>, DropError> {
        self.run(move |store| store.records.statistics(since, until))
            .await
    }

    /// Returns the fill level of the drop. Cheap, but it asks the database and the file system.
    ///
    /// # Errors
    /// One of them cannot be asked.
    pub async fn level(&self) -> Result<Level, DropError> {
        let store = Arc::clone(&self.store);
        blocking(move || quota::level(&store)).await
    }

    /// Checks that a package could be deposited: writes and removes a small file, and probes the database.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub async fn probe(&self) -> Result<(), DropError> {
        let store = Arc::clone(&self.store);
        blocking(move || {
            store.blobs.probe()?;
            store.records.probe()
        })
        .await
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

impl Store {
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

    fn find(&self, vault: &Vault, now: Timestamp) -> Result<Lookup, DropError> {
        let record = self.records.find(vault.id())?;
        self.look(record, now, |record, sealed, extendable| {
            self.open_package(vault, record, sealed, extendable)
        })
    }

    fn find_kept(&self, vault: &Vault) -> Result<Option<Package>, DropError> {
        let Some(mut record) = self.records.find(vault.id())? else {
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
        let (files, numbers) = manifest::open(vault, sealed, self.records.path())?;
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
    ) -> Result<Lookup<P>, DropError> {
        let Some(mut record) = record else {
            return Ok(Lookup::Unknown);
        };
        let extendable = self.extendable(&record, now);
        let why = record.ending(now);
        match (why, record.manifest.take()) {
            (None, Some(sealed)) => Ok(Lookup::Live(live(record, sealed, extendable)?)),
            (why, _) => Ok(Lookup::Gone {
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

/// Runs work that blocks on disk or database on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DropError> + Send + 'static,
) -> Result<T, DropError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(DropError::Stopped))
}

/// Returns the time until which a package deposited at `created` can be fetched. Calendar units are added
/// in UTC, to a whole second; past the end of the calendar, its end is returned.
pub fn expires_at(created: Timestamp, retention: &Span) -> Timestamp {
    whole_second(sweep::add(whole_second(created), retention))
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests;
