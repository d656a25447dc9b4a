//! One message through all the stages: scanner, rules, drop, rewriter.
//!
//! Used by the milter's session and by `depollueur rewrite`. It does not know the milter protocol,
//! and it never decides what a failure means for the mail: it reports it (see [`Verdict`]).

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::{config::Config, drop::Drop, mime::Field};

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From outside to our users.
    Incoming,
    /// From our users: authenticated, or from one of our networks.
    Outgoing,
}

/// What is known of a message before its header.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Postfix's queue id, for logs and records; never a key (ids are reused).
    pub queue_id: String,
    /// The envelope sender, without angle brackets; empty for bounces.
    pub sender: String,
    /// The envelope recipients, without angle brackets.
    pub recipients: Vec<String>,
    /// Which way the message goes.
    pub direction: Direction,
    /// The login name, if the client authenticated.
    pub login: Option<String>,
}

/// What all messages share: the configuration of the moment, and the drop.
#[derive(Clone, Debug)]
pub struct Filter {
    _config: Arc<Config>,
    _drop: Drop,
}

/// What becomes of a message once its header is known.
#[derive(Debug)]
pub enum Start {
    /// Nothing can be detached from it: accept it, its body need not be seen.
    Pass(Reason),
    /// Push the body into this.
    Scan(Message),
}

/// Why a message goes out as it came; a label for logs and metrics.
pub type Reason = &'static str;

/// A message on its way.
#[derive(Debug)]
pub struct Message {}

/// The end of a message.
#[derive(Debug)]
pub enum Verdict {
    /// Goes out as it came.
    Pass(Reason),
    /// Goes out rewritten; all its files are durable.
    Rewrite(Rewritten),
    /// The store or the spool failed; nothing was kept. `detach.on_failure` says what this means.
    Fail(FilterError),
}

/// A failure of our own machinery, never of the mail.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(pub String);

/// A change to a top-level header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Replaces the value of the only field of this name. The value has its leading space, and
    /// folds with bare LF (as milters want them).
    Replace {
        /// The field's name.
        name: String,
        /// The new value.
        value: String,
    },
    /// Removes the only field of this name.
    Remove {
        /// The field's name.
        name: String,
    },
    /// Adds a field below all others.
    Append {
        /// The field's name.
        name: String,
        /// The value, with its leading space.
        value: String,
    },
}

/// A rewritten message: header edits and a new body, ready to be sent in one run.
#[derive(Debug)]
pub struct Rewritten {
    /// The changes to the top-level header, in order.
    pub header_edits: Vec<HeaderEdit>,
    /// How many parts were detached.
    pub detached: usize,
    /// Their decoded bytes.
    pub detached_bytes: u64,
    /// The link in the notice.
    pub link: String,
}

impl Filter {
    /// Makes a filter over a drop.
    pub fn new(config: Arc<Config>, drop: Drop) -> Self {
        Self {
            _config: config,
            _drop: drop,
        }
    }

    /// Begins a message whose top-level header is known.
    pub fn begin(&self, _envelope: Envelope, _header: &[Field]) -> Start {
        unimplemented!()
    }
}

impl Message {
    /// Takes the next bytes of the body (everything after the blank line that ends the header).
    ///
    /// Waits while the store is slow. Never fails: a failure is kept for [`Message::end`].
    pub async fn push(&mut self, _chunk: &[u8]) {
        unimplemented!()
    }

    /// True when the outcome is certain and no further byte of the body need be pushed.
    pub fn is_settled(&self) -> bool {
        unimplemented!()
    }

    /// Ends the message: commits what was detached, and says what becomes of the message.
    ///
    /// Dropping the future gives up: nothing is kept.
    pub async fn end(self) -> Verdict {
        unimplemented!()
    }

    /// What was decided for each part so far, for `--explain` and the log.
    pub fn explanation(&self) -> Vec<PartDecision> {
        unimplemented!()
    }
}

impl Rewritten {
    /// The next piece of the new body, `None` at its end. Pieces are at most 64 KiB − 1 long.
    ///
    /// # Errors
    /// The spool could not be read back: the message must then be refused for the moment (451).
    pub async fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        unimplemented!()
    }
}

/// What was decided for one part.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PartDecision {
    /// The part's place: `1`, `2.1`, or `` for the message itself.
    pub path: String,
    /// The declared media type.
    pub media_type: String,
    /// The file name, made safe.
    pub name: Option<String>,
    /// Decoded size in bytes.
    pub bytes: u64,
    /// True when the part is detached.
    pub detached: bool,
    /// Why.
    pub reason: String,
}
