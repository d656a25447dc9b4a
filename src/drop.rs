//! The file drop.

use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;

use crate::{config::DropConfig, filter::Direction};

/// The drop: a directory of encrypted blobs and a database of records. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Drop {}

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

/// The secret in a link: 128 random bits. Its `Debug` shows nothing; its `Display` is what stands
/// in the link.
#[derive(Clone)]
pub struct Token([u8; 16]);

/// A package on its way into the drop. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct PackageDraft {}

/// A file on its way into the drop. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct FileDraft {}

/// A file whose contents are durable, though it has no name in the drop yet.
#[derive(Debug)]
pub struct DurableFile {}

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

/// What went wrong in the drop.
#[derive(Debug, thiserror::Error)]
pub enum DropError {
    /// Placeholder of the skeleton.
    #[error("{0}")]
    Other(String),
}

impl Drop {
    /// Opens the drop, making its directories and its database if they are missing.
    ///
    /// # Errors
    /// One clear line when the directory cannot be used.
    pub fn open(_config: &DropConfig) -> Result<Self, DropError> {
        unimplemented!()
    }

    /// Begins a package under a fresh token. Touches neither disk nor database.
    pub fn package(&self, _origin: Origin) -> PackageDraft {
        unimplemented!()
    }

    /// Finds the package that a token leads to, at the time `now`. Counts nothing.
    ///
    /// # Errors
    /// The database cannot be read, or the record does not authenticate.
    pub async fn find(&self, _token: &Token, _now: Timestamp) -> Result<Lookup, DropError> {
        unimplemented!()
    }

    /// Opens a file of a live package for reading a range of its bytes.
    ///
    /// # Errors
    /// The blob is missing or damaged.
    pub async fn read(
        &self,
        _token: &Token,
        _package: &Package,
        _index: usize,
        _range: Range<u64>,
    ) -> Result<FileReader, DropError> {
        unimplemented!()
    }

    /// Counts one complete download of a file.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn count_download(&self, _token: &Token, _index: usize) -> Result<(), DropError> {
        unimplemented!()
    }

    /// Destroys what is past its expiry and grace period, and left-overs; at most `steps` packages.
    ///
    /// # Errors
    /// The database or the directory cannot be changed.
    pub async fn sweep(&self, _now: Timestamp, _steps: usize) -> Result<Swept, DropError> {
        unimplemented!()
    }

    /// Writes and removes a small file and asks the database: can a package be deposited?
    ///
    /// # Errors
    /// It cannot.
    pub async fn probe(&self) -> Result<(), DropError> {
        unimplemented!()
    }
}

impl PackageDraft {
    /// The token of the link.
    pub fn token(&self) -> &Token {
        unimplemented!()
    }

    /// Opens a draft for the next file.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub async fn file(&mut self, _name: &str, _media_type: &str) -> Result<FileDraft, DropError> {
        unimplemented!()
    }

    /// Makes the package durable and visible: from its return on, the link works.
    /// `files` in the order in which they are shown.
    ///
    /// # Errors
    /// Nothing is kept then.
    pub async fn commit(
        self,
        _files: Vec<DurableFile>,
        _created: Timestamp,
        _expires: Timestamp,
    ) -> Result<Token, DropError> {
        unimplemented!()
    }
}

impl FileDraft {
    /// Takes the next bytes. Waits while the disk is slow. Errors come here or at `finish`.
    ///
    /// # Errors
    /// The draft cannot be written: drop it.
    pub async fn write(&mut self, _bytes: Bytes) -> Result<(), DropError> {
        unimplemented!()
    }

    /// Ends the file: when this returns, its contents are on stable storage.
    ///
    /// # Errors
    /// The draft cannot be written: nothing is kept.
    pub async fn finish(self) -> Result<DurableFile, DropError> {
        unimplemented!()
    }
}

/// Reads a range of a file, segment by segment.
#[derive(Debug)]
pub struct FileReader {}

impl FileReader {
    /// The next bytes, `None` at the end of the range. No thread waits between two calls.
    ///
    /// # Errors
    /// The blob is damaged: what was given out so far is right, nothing follows.
    pub async fn next(&mut self) -> Result<Option<Bytes>, DropError> {
        unimplemented!()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}
