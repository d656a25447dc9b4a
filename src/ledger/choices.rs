//! Messages that somebody chose to keep as they came, remembered so that they are kept when they come again:
//! from a list server, a redirect, another transaction of the same client.
//!
//! Only this is stored of a message:
//!
//! ```text
//! digest   32 bytes = HMAC-SHA256(key = the 32 bytes of drop.key, message = "message-id\0" ‖ Message-ID)
//! until    when it is forgotten
//! ```
//!
//! Whoever has the database and `drop.key` can test whether a message of a known Message-ID was kept here.
//! Neither the sender, nor the recipient, nor the one who chose stands with it.

use jiff::{Span, Timestamp};

use super::{Ledger, LedgerError, sweep::add};

impl Ledger {
    /// Remembers for `keep` that the message of this Message-ID is to be kept as it is.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn remember_kept(
        &self,
        message_id: &[u8],
        now: Timestamp,
        keep: &Span,
    ) -> Result<(), LedgerError> {
        let digest = self.books.key.message(message_id);
        let until = add(now, keep);
        self.run(move |books| books.records.keep_message(&digest, until, now))
            .await
    }

    /// Returns true if somebody chose to keep the message of this Message-ID, and that is still remembered.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn was_kept(&self, message_id: &[u8], now: Timestamp) -> Result<bool, LedgerError> {
        let digest = self.books.key.message(message_id);
        self.run(move |books| books.records.is_kept_message(&digest, now))
            .await
    }
}
