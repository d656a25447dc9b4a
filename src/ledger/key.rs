//! The key under which the ledger knows files, messages and networks without their names.

use aws_lc_rs::hmac;

use super::records::Fingerprint;

/// Context that keeps the digests of messages apart from those of files.
const MESSAGE: &[u8] = b"message-id\0";

/// Context that keeps the digests of networks apart from those of files.
const NETWORK: &[u8] = b"network\0";

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

    fn sign(&self, context: &[u8], message: &[u8]) -> Fingerprint {
        let mut signing = hmac::Context::with_key(&self.0);
        signing.update(context);
        signing.update(message);
        let tag = signing.sign();
        tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    }
}
