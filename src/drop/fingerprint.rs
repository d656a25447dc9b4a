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

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::{DropError, blobs::Directory};
use crate::ledger::{Key, Records};

/// The file in the drop's directory that holds the key.
const FILE: &str = "drop.key";
const KEY_BYTES: usize = 32;

/// Reads the drop's own key, or makes one for a drop that has nothing yet.
///
/// # Errors
/// It cannot be read, somebody else may have made it, or it is missing although something is known by it.
pub(super) fn key(directory: &Directory, records: &dyn Records) -> Result<Key, DropError> {
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
pub(super) fn renew(directory: &Directory, records: &dyn Records) -> Result<(), DropError> {
    if directory.has(FILE)? {
        return Err(DropError::Misuse("this drop has its key"));
    }
    // If this is interrupted here, it is done again with another key.
    let bytes = Zeroizing::new(random());
    let key = Key::new(&bytes);
    records.renew_fingerprints(&|sha256| key.file(sha256))?;
    read_or_make(directory, || bytes.to_vec()).map(drop)
}

fn read_or_make(directory: &Directory, make: impl FnOnce() -> Vec<u8>) -> Result<Key, DropError> {
    let bytes = Zeroizing::new(directory.constant(FILE, make)?);
    if bytes.len() != KEY_BYTES {
        let reason = format!("it has {} bytes instead of {KEY_BYTES}", bytes.len());
        return Err(DropError::damaged(&directory.child(FILE), reason));
    }
    Ok(Key::new(&bytes))
}

fn random() -> Vec<u8> {
    let mut bytes = vec![0; KEY_BYTES];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
