//! The key under which the ledger knows files, messages and networks without their names.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac,
};

use super::{RecordId, records::Fingerprint};

/// Context that keeps the digests of messages apart from those of files.
const MESSAGE: &[u8] = b"message-id\0";

/// Context that keeps the digests of networks apart from those of files.
const NETWORK: &[u8] = b"network\0";

/// Context that keeps the key of locators apart from all digests.
const LOCATOR_KEY: &[u8] = b"locator key\0";

/// The drop's own key. Its `Debug` shows nothing of it.
#[derive(Debug)]
pub(crate) struct Key(hmac::Key);

impl Key {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Returns the fingerprint of a file with this SHA-256.
    pub(crate) fn file(&self, sha256: &[u8; 32]) -> Fingerprint {
        self.sign(&[], sha256)
    }

    /// Returns the digest by which the records know the message of a Message-ID.
    pub(crate) fn message(&self, message_id: &[u8]) -> Fingerprint {
        self.sign(MESSAGE, message_id)
    }

    /// Returns the digest by which the records know a client's network, given as text.
    pub(crate) fn network(&self, network: &str) -> Fingerprint {
        self.sign(NETWORK, network.as_bytes())
    }

    /// Seals the locators of a package's files: nonce, ciphertext, tag. They can be opened without its link.
    pub(crate) fn seal_locators(&self, id: RecordId, plain: &[u8]) -> Vec<u8> {
        let mut body = plain.to_vec();
        let nonce = self
            .locator_key()
            .seal_in_place_append_tag(Aad::from(id.0), &mut body)
            .expect("locators are shorter than 64 GiB");
        [&nonce.as_ref()[..], &body].concat()
    }

    /// Opens the locators of a package's files; `None` if they were sealed for another, or under another key.
    pub(crate) fn open_locators(&self, id: RecordId, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut body = body.to_vec();
        let opened =
            self.locator_key()
                .open_in_place(Nonce::from(nonce), Aad::from(id.0), &mut body);
        let length = opened.ok()?.len();
        body.truncate(length);
        Some(body)
    }

    fn locator_key(&self) -> RandomizedNonceKey {
        let key = self.sign(LOCATOR_KEY, &[]);
        RandomizedNonceKey::new(&AES_256_GCM, &key).expect("a key of 32 bytes")
    }

    fn sign(&self, context: &[u8], message: &[u8]) -> Fingerprint {
        let mut signing = hmac::Context::with_key(&self.0);
        signing.update(context);
        signing.update(message);
        let tag = signing.sign();
        tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locators_are_opened_for_their_package_and_under_their_key_alone() {
        let (key, other) = (Key::new(&[1; 32]), Key::new(&[2; 32]));
        let (id, stranger) = (RecordId([3; 16]), RecordId([4; 16]));
        let sealed = key.seal_locators(id, b"link, code");
        assert_eq!(key.open_locators(id, &sealed).unwrap(), b"link, code");
        assert_eq!(key.open_locators(stranger, &sealed), None);
        assert_eq!(other.open_locators(id, &sealed), None);
        assert_eq!(key.open_locators(id, &sealed[1..]), None);
        assert_eq!(key.open_locators(id, b""), None);
        assert_ne!(key.seal_locators(id, b"link, code"), sealed);
    }
}
