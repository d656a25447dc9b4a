//! The file drop: encrypted files in a directory, records of them in a database.
//!
//! The secret of a package is its token, which stands in the link and nowhere else: what is stored
//! is only what is derived from it (`drop/vault.rs` says how, byte by byte). Who has the directory
//! reads no name and no content, and finds no link; who has a link needs the directory too.
//!
//! # The directory
//!
//! ```text
//! <directory>/                      the drop; 0700 when it was made here
//!   drop.sqlite3                    records: who deposited what size, when, until when (clear);
//!                                   names, types, digests (sealed). Asked with `sqlite3`.
//!   drop.sqlite3-wal, -shm          SQLite's: part of the database, never to be removed by hand
//!   blobs/                          the files of committed packages, encrypted
//!     ab/                           the first byte of the record's id
//!       ab…-<n>                     the id (32 hexadecimal digits), and the file's number
//!   drafts/                         files on their way; removed one hour after they were left
//!     draft-<random>
//! ```
//!
//! Directories are 0700 and files 0600. All of it lies on one file system, since drafts become
//! blobs by renaming. To back up, copy the database first (`sqlite3 drop.sqlite3 ".backup …"`), then
//! `blobs`: a blob without a record is swept, a record without its blob is a dead link.
//!
//! # When a package is durable
//!
//! Each draft is synced when it is finished. A commit renames the drafts, syncs both directories,
//! then commits the record (`synchronous = FULL`), and only then returns: a process that is killed
//! at any instant leaves drafts, or blobs without a record, which are swept after an hour, or a
//! package that nobody was told of, which expires. No failed sync is ever tried again on the same
//! file: the file is given up.
//!
//! # The end of a package
//!
//! Live until `expires`, to the second; then kept, but not given out, for the grace period; then its
//! blobs are removed and its manifest is overwritten. The rest of the record stays for
//! `keep_records`, so that an old link gets an answer. Several processes may have one drop open.

mod blobs;
mod draft;
mod error;
mod manifest;
mod reader;
mod records;
mod sweep;
mod token;
mod vault;

use std::{ops::Range, sync::Arc};

use jiff::{Span, Timestamp};

use self::{
    blobs::Blobs,
    records::{Record, Records},
    sweep::Shards,
    vault::{RecordId, Vault},
};
pub use self::{
    draft::{DurableFile, FileDraft, PackageDraft},
    error::DropError,
    reader::FileReader,
    token::{Token, TokenError},
};
use crate::{config::DropConfig, filter::Direction};

/// The drop: a directory of encrypted blobs and a database of records. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Drop {
    store: Arc<Store>,
}

#[derive(Debug)]
struct Store {
    blobs: Blobs,
    records: Records,
    shards: Shards,
    expiry: Span,
    grace: Span,
    keep_records: Span,
}

/// Who deposited a package; stored in clear, so that an admin can answer for it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Postfix's queue id.
    pub queue_id: String,
    /// The envelope sender, without angle brackets; empty for bounces.
    pub sender: String,
    /// The login name, if the client authenticated.
    pub login: Option<String>,
    /// Which way the message went.
    pub direction: Direction,
    /// How many recipients the message had.
    pub recipients: u32,
}

/// A package that somebody with its link may see.
#[derive(Debug)]
pub struct Package {
    /// Its files, in the order of the message.
    pub files: Vec<FileEntry>,
    /// When it was deposited.
    pub created: Timestamp,
    /// Until when it can be fetched.
    pub expires: Timestamp,
    /// Who deposited it.
    pub origin: Origin,
    /// The number of each file's blob.
    numbers: Vec<u32>,
}

/// A file of a package.
#[derive(Clone, Debug)]
pub struct FileEntry {
    /// Its name as in the mail, decoded, not made safe.
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

/// What a token leads to.
#[derive(Debug)]
pub enum Lookup {
    /// A package that can be fetched.
    Live(Package),
    /// A package that can no longer be fetched.
    Gone {
        /// When it was deposited.
        created: Timestamp,
        /// Until when it could be fetched.
        expired: Timestamp,
        /// Who deposited it.
        origin: Origin,
    },
    /// Nothing that ever was here.
    Unknown,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Packages whose ciphertext was destroyed.
    pub packages: u64,
    /// Files of theirs.
    pub files: u64,
    /// Left-overs without a record: drafts of a killed process, blobs never committed.
    pub orphans: u64,
    /// Records deleted because nobody need be answered any more.
    pub records: u64,
}

impl Swept {
    fn add(&mut self, other: Self) {
        self.packages += other.packages;
        self.files += other.files;
        self.orphans += other.orphans;
        self.records += other.records;
    }
}

impl Drop {
    /// Opens the drop, making its directories and its database if they are missing; the parent of
    /// `directory` must exist. Blocks: call it before anything is served.
    ///
    /// # Errors
    /// One clear line when the directory cannot be used.
    pub fn open(config: &DropConfig) -> Result<Self, DropError> {
        let blobs = Blobs::open(&config.directory)?;
        let alone = blobs.lock()?;
        let records = Records::open(blobs.database()?)?;
        std::mem::drop(alone);
        let store = Store {
            blobs,
            records,
            shards: Shards::default(),
            expiry: config.expiry,
            grace: config.grace,
            keep_records: config.keep_records,
        };
        Ok(Self {
            store: Arc::new(store),
        })
    }

    /// Until when a package that is deposited at `created` can be fetched: calendar units are
    /// added in UTC, to a whole second.
    pub fn expires_at(&self, created: Timestamp) -> Timestamp {
        whole_second(sweep::add(whole_second(created), &self.store.expiry))
    }

    /// Begins a package under a fresh token. Touches neither disk nor database.
    pub fn package(&self, origin: Origin) -> PackageDraft {
        PackageDraft::new(self, origin)
    }

    /// Finds the package that a token leads to, at the time `now`. Counts nothing.
    ///
    /// # Errors
    /// The database cannot be read, or the record does not authenticate.
    pub async fn find(&self, token: &Token, now: Timestamp) -> Result<Lookup, DropError> {
        let (store, vault) = (Arc::clone(&self.store), Vault::new(token));
        blocking(move || store.find(&vault, now)).await
    }

    /// Opens a file of a live package for reading a range of its bytes.
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

    /// Takes a package out as if it had never been, before anybody was told of it: contents,
    /// names and record. False when there is no live one.
    ///
    /// # Errors
    /// The directory or the database cannot be changed.
    pub async fn retract(&self, token: &Token) -> Result<bool, DropError> {
        let (store, id) = (Arc::clone(&self.store), Vault::new(token).id());
        blocking(move || store.retract(id)).await
    }

    /// Counts one complete download of a file.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn count_download(&self, token: &Token, index: usize) -> Result<(), DropError> {
        let (store, id) = (Arc::clone(&self.store), Vault::new(token).id());
        blocking(move || store.records.count_download(id, index)).await
    }

    /// Destroys what is past its expiry and grace period, and left-overs of more than an hour.
    ///
    /// Of each kind (packages, records, drafts, blobs without a record) at most `steps`, those that
    /// expired first. Blobs are looked through in one of their 256 directories a call.
    ///
    /// # Errors
    /// The database or the directory cannot be changed.
    pub async fn sweep(&self, now: Timestamp, steps: usize) -> Result<Swept, DropError> {
        let store = Arc::clone(&self.store);
        blocking(move || sweep::sweep(&store, now, steps)).await
    }

    /// Sweeps in steps of `steps` until nothing is left to do in any directory, or `go_on` says no.
    ///
    /// # Errors
    /// As [`Drop::sweep`]; what was done until then stays done.
    pub async fn sweep_all(
        &self,
        now: Timestamp,
        steps: usize,
        go_on: impl Fn() -> bool,
    ) -> Result<Swept, DropError> {
        let mut total = Swept::default();
        let mut quiet = 0;
        while quiet < blobs::SHARDS && go_on() {
            let swept = self.sweep(now, steps).await?;
            quiet = if swept == Swept::default() {
                quiet + 1
            } else {
                0
            };
            total.add(swept);
        }
        Ok(total)
    }

    /// Writes and removes a small file and asks the database: can a package be deposited?
    ///
    /// # Errors
    /// It cannot.
    pub async fn probe(&self) -> Result<(), DropError> {
        let store = Arc::clone(&self.store);
        blocking(move || {
            store.blobs.probe()?;
            store.records.probe()
        })
        .await
    }
}

impl Store {
    fn retract(&self, id: RecordId) -> Result<bool, DropError> {
        let Some(record) = self.records.find(id)? else {
            return Ok(false);
        };
        let remove = |number| self.blobs.remove(id, number);
        if self.records.destroy(id, record.expires, remove)?.is_none() {
            return Ok(false);
        }
        self.records.remove(id)?;
        self.records.forget_overwritten()?;
        Ok(true)
    }

    fn find(&self, vault: &Vault, now: Timestamp) -> Result<Lookup, DropError> {
        let Some(record) = self.records.find(vault.id())? else {
            return Ok(Lookup::Unknown);
        };
        let Record {
            created,
            expires,
            origin,
            manifest,
        } = record;
        match manifest {
            Some(sealed) if now < expires => {
                let (files, numbers) = manifest::open(vault, sealed, self.records.path())?;
                Ok(Lookup::Live(Package {
                    files,
                    created,
                    expires,
                    origin,
                    numbers,
                }))
            }
            _ => Ok(Lookup::Gone {
                created,
                expired: expires,
                origin,
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

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests;
