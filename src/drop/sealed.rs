//! Packages as seen without the token: ciphertext, lengths, times.
//!
//! This is all that the web server knows of a package that browsers unlock. The head of `drop/vault.rs`
//! says what a browser needs to do that.

use std::ops::Range;

use jiff::Timestamp;

use super::{
    DropError, FileDrop, FileReader, PackageLookup, RecordId, Store, Unlock, blocking,
    token::Token,
    vault::{Layout, Vault},
};
use crate::{envelope::Origin, ledger::RecordFile};

/// A live package that browsers unlock.
#[derive(Debug)]
pub struct SealedPackage {
    /// The id of its record.
    pub id: RecordId,
    /// Names, types and digests, encrypted.
    pub manifest: Vec<u8>,
    /// Its files, in the order of the message.
    pub files: Vec<SealedFile>,
    /// Time of the deposit.
    pub created: Timestamp,
    /// Time until which it can be fetched.
    pub expires: Timestamp,
    /// Time until which a reader could extend it now; `None` if that is not allowed, or gains nothing.
    pub extendable: Option<Timestamp>,
    /// Origin of the deposit.
    pub origin: Origin,
}

/// A file of a sealed package.
#[derive(Clone, Copy, Debug)]
pub struct SealedFile {
    /// Its size in bytes, decrypted.
    pub size: u64,
    /// Its size in bytes, encrypted.
    pub sealed_bytes: u64,
    /// The number of its blob.
    number: u32,
}

impl SealedPackage {
    /// Returns the number of bytes that its lists take in memory, approximately.
    pub(crate) fn weight(&self) -> usize {
        self.manifest.capacity() + self.files.capacity() * size_of::<SealedFile>()
    }
}

impl FileDrop {
    /// Finds a package that browsers unlock by its id, at the time `now`. Counts no download. Packages
    /// that the server unlocks are unknown here.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn find_sealed(
        &self,
        id: RecordId,
        now: Timestamp,
    ) -> Result<PackageLookup<SealedPackage>, DropError> {
        self.run(move |store| store.find_sealed(id, now)).await
    }

    /// Opens the ciphertext of a file for reading a range of it.
    ///
    /// # Errors
    /// The blob is missing or has another length, or the range reaches past its end.
    pub async fn read_sealed(
        &self,
        package: &SealedPackage,
        index: usize,
        range: Range<u64>,
    ) -> Result<FileReader, DropError> {
        let file = package.files.get(index).copied();
        let file = file.ok_or(DropError::Misuse("a package has no file of this index"))?;
        let (store, id) = (std::sync::Arc::clone(&self.store), package.id);
        blocking(move || FileReader::sealed(&store, id, (file.number, file.sealed_bytes), range))
            .await
    }
}

/// Decrypts the first file of a package, of `size` bytes, as a browser does: a check that it can be done.
/// Returns `None` if it cannot, and for a file of more than one segment.
pub(crate) fn unseal_first(token: &Token, size: u64, blob: &[u8]) -> Option<Vec<u8>> {
    let layout = Layout::new(size).filter(|layout| layout.sealed_bytes() == blob.len() as u64)?;
    let (header, segment) = blob.split_first_chunk()?;
    let opener = Vault::new(token).open_file(0, layout, header).ok()?;
    let plain = opener.open(0, &mut segment.to_vec()).ok()?.to_vec();
    (plain.len() as u64 == size).then_some(plain)
}

impl Store {
    fn find_sealed(
        &self,
        id: RecordId,
        now: Timestamp,
    ) -> Result<PackageLookup<SealedPackage>, DropError> {
        let record = self.books().records.find(id)?;
        let record = record.filter(|record| record.unlock == Unlock::Browser);
        self.look(record, now, |record, manifest, extendable| {
            let files = self.books().records.files(id)?;
            Ok(SealedPackage {
                id,
                manifest,
                files: files.iter().map(sealed_file).collect::<Result<_, _>>()?,
                created: record.created,
                expires: record.term.end(),
                extendable,
                origin: record.origin,
            })
        })
    }
}

fn sealed_file(file: &RecordFile) -> Result<SealedFile, DropError> {
    let layout = Layout::new(file.size);
    let layout = layout.ok_or(DropError::Misuse("a file is larger than 256 TiB"))?;
    Ok(SealedFile {
        size: file.size,
        sealed_bytes: layout.sealed_bytes(),
        number: file.number,
    })
}
