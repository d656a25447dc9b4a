//! How a file is known again without its digest: HMAC-SHA256 of its SHA-256 under the drop's own key.
//!
//! Digests are sealed with the names, and still a file that an admin blocks must be found everywhere
//! and refused at the next deposit. So the record of each file holds
//!
//! ```text
//! fingerprint   32 bytes = HMAC-SHA256(key = the 32 bytes of drop.key, message = SHA-256 of the file)
//! ```
//!
//! What this gives away: who has the database *and* `drop.key` can test whether a file that he knows
//! already was stored, by whom and when; who has the database alone sees which packages hold the
//! same file, and nothing of which one it is. Neither learns a name, a link, or a byte of what
//! he does not have. Fingerprints are erased when the files are destroyed.

use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

use super::{DropError, Store, blobs::Directory, records::Fingerprint};

/// The file in the drop's directory that holds the key.
const FILE: &str = "drop.key";
const KEY_BYTES: usize = 32;

/// Reads the drop's own key, or makes it.
pub(super) fn key(directory: &Directory) -> Result<hmac::Key, DropError> {
    let bytes = Zeroizing::new(directory.constant(FILE, random)?);
    if bytes.len() != KEY_BYTES {
        let reason = format!("it has {} bytes instead of {KEY_BYTES}", bytes.len());
        return Err(DropError::damaged(&directory.child(FILE), reason));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

impl Store {
    pub(super) fn fingerprint(&self, sha256: &[u8; 32]) -> Fingerprint {
        let tag = hmac::sign(&self.key, sha256);
        tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    }
}

fn random() -> Vec<u8> {
    let mut bytes = vec![0; KEY_BYTES];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
