//! Fingerprints, by which a file is recognised without its digest: HMAC-SHA256 of its SHA-256 under the
//! drop's own key.
//!
//! Digests are sealed with the names, and still a file that an admin blocks must be found everywhere
//! and refused at the next deposit. So the record of each file holds
//!
//! ```text
//! fingerprint   32 bytes = HMAC-SHA256(key = the 32 bytes of drop.key, message = SHA-256 of the file)
//! ```
//!
//! What this gives away: whoever has the database *and* `drop.key` can test whether a file already known
//! to him was stored, by whom and when; whoever has the database alone sees which packages hold the
//! same file, but not which file it is. Neither learns a name, a link, or a byte of a file that he
//! does not have. Fingerprints are erased when the files are destroyed.

use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

use super::{
    DropError, Store,
    blobs::Directory,
    records::{Fingerprint, Records},
};

/// The file in the drop's directory that holds the key.
const FILE: &str = "drop.key";
const KEY_BYTES: usize = 32;

/// Reads the drop's own key, or makes one for a drop that has nothing yet.
///
/// # Errors
/// It cannot be read, somebody else may have made it, or it is missing although something is known by it.
pub(crate) fn key(directory: &Directory, records: &dyn Records) -> Result<hmac::Key, DropError> {
    if !directory.has(FILE)? && !records.has_no_fingerprint()? {
        let reason = "it is missing, and files that are blocked are known by it; \
                      put it back from the backup, or type: depollueur drop rekey";
        return Err(DropError::damaged(&directory.child(FILE), reason));
    }
    let key = read_or_make(directory, random)?;
    directory.refuse_planted(FILE)?;
    Ok(key)
}

/// Makes a key in place of a lost one. Blocked files are known by the new key at once; files that were
/// deposited before are no longer known.
///
/// # Errors
/// The key is not lost, or the database or the directory cannot be written.
pub(crate) fn renew(directory: &Directory, records: &dyn Records) -> Result<(), DropError> {
    if directory.has(FILE)? {
        return Err(DropError::Misuse("this drop has its key"));
    }
    // If this is interrupted here, it is done again with another key.
    let bytes = Zeroizing::new(random());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
    records.renew_fingerprints(&|sha256| sign(&key, sha256))?;
    read_or_make(directory, || bytes.to_vec()).map(drop)
}

fn read_or_make(
    directory: &Directory,
    make: impl FnOnce() -> Vec<u8>,
) -> Result<hmac::Key, DropError> {
    let bytes = Zeroizing::new(directory.constant(FILE, make)?);
    if bytes.len() != KEY_BYTES {
        let reason = format!("it has {} bytes instead of {KEY_BYTES}", bytes.len());
        return Err(DropError::damaged(&directory.child(FILE), reason));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

impl Store {
    pub(crate) fn fingerprint(&self, sha256: &[u8; 32]) -> Fingerprint {
        sign(&self.key, sha256)
    }

    /// Returns the digest by which the records know a client's network: HMAC-SHA256 of `"network\0"` and its
    /// text.
    pub(crate) fn network_digest(&self, network: &str) -> Fingerprint {
        sign(&self.key, format!("network\0{network}").as_bytes())
    }
}

fn sign(key: &hmac::Key, message: &[u8]) -> Fingerprint {
    let tag = hmac::sign(key, message);
    tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
}

fn random() -> Vec<u8> {
    let mut bytes = vec![0; KEY_BYTES];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
