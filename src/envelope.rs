//! The nouns of a message, which everything above shares: its direction, its envelope, the origin of what
//! is deposited, and the changes to its header.

mod domains;
mod known;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    domains::DOMAINS_MAX,
    known::{Listed, ListedMail, Person},
};
pub use self::{
    domains::{Domains, domain_of},
    known::Known,
};

/// The most parts of one message that are detached; with more, the message is not touched.
pub const DETACHED_MAX: usize = 1000;

/// The direction in which a message goes.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From outside to our users.
    #[default]
    Incoming,
    /// From our users: authenticated, or from one of our networks.
    Outgoing,
}

impl Direction {
    /// Returns its word, as in the log, in records and in answers to other programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
        }
    }

    /// Reads its word; `None` for any other.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Incoming, Self::Outgoing]
            .into_iter()
            .find(|direction| direction.as_str() == word)
    }
}

/// The facts of a message that are known before its header.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    /// Postfix's queue id, for logs and records; never a key (ids are reused).
    pub queue_id: String,
    /// The envelope sender, without angle brackets; empty for bounces.
    pub sender: String,
    /// The envelope recipients, without angle brackets.
    pub recipients: Vec<String>,
    /// The direction in which the message goes.
    pub direction: Direction,
    /// The login name, if the client authenticated.
    pub login: Option<String>,
    /// The client's address; `None` for local mail.
    pub client: Option<IpAddr>,
    /// The name of the Postfix service that accepted the message.
    pub daemon: Option<String>,
    /// The size of the message in bytes, as declared by the client.
    pub size: Option<u64>,
    /// The people behind its addresses, as far as they could be found out.
    pub known: Known,
    /// True if some of it goes to another machine, as far as the mail server says so.
    pub leaves: bool,
    /// The recipients that are mailing lists, as far as the mail server says so.
    pub lists: Vec<String>,
    /// True if somebody's choice kept it when it came before.
    pub kept_before: bool,
}

/// The message that a package came with, and its sender; stored in clear, so that an admin can answer for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Postfix's queue id.
    pub queue_id: String,
    /// The envelope sender, without angle brackets; empty for bounces.
    pub sender: String,
    /// The verified part of the sender: the address, or a domain. Readers are shown nothing else of the
    /// sender.
    pub verified: Option<String>,
    /// The login name, if the client authenticated.
    pub login: Option<String>,
    /// The direction of the message.
    pub direction: Direction,
    /// Number of recipients of the message.
    pub recipients: u32,
    /// Address of the client that sent the message; `None` for local mail, if it is not recorded, and in
    /// records of earlier versions.
    pub client: Option<IpAddr>,
    /// The name of the token with which another host deposited it.
    pub uploader: Option<String>,
    /// The message's Message-ID with its angle brackets; `None` if it has none, if it is not recorded, and in
    /// records of earlier versions.
    pub message_id: Option<String>,
    /// Number of recipients in each domain of incoming mail, for the statistics; otherwise empty.
    pub domains: Domains,
}

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
    /// Removes the first field of this name.
    Remove {
        /// The field's name.
        name: String,
    },
    /// Changes or removes one of several fields of this name.
    Change {
        /// The field's name.
        name: String,
        /// Its number among them, counted from 1.
        index: u32,
        /// The new value as in [`HeaderEdit::Replace`], in any charset; `None` removes the field.
        value: Option<Vec<u8>>,
    },
    /// Adds a field below all others.
    Append {
        /// The field's name.
        name: String,
        /// The value, with its leading space.
        value: String,
    },
}
