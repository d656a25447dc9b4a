//! The audit log: what was done with packages, by whom, and when.
//!
//! It is a chain (`ledger/audit/chain.rs`), of which a copy can be sent elsewhere (`ledger/audit/syslog.rs`).
//!
//! Each entry is a row of the database, written in the same transaction as the change that it describes,
//! and one line of `tracing` under the target `depollueur::audit`, at level info (the commands write no
//! log). Rows are never changed, and are deleted only when they are older than `audit.keep`. An entry holds
//! personal data (a sender, a login, the address of a reader if `audit.addresses` says so, what the reader
//! wrote in a report), and never a token. A file's name or digest stands in it only if a reader wrote it,
//! or an admin blocks the digest.

mod chain;
mod syslog;

use std::{fmt, net::IpAddr};

use jiff::Timestamp;

pub use self::chain::{ChainHead, ChainHeadError, Defect, Verification};
pub(crate) use self::{
    chain::{Chained, Verifier},
    syslog::Syslog,
};
use super::RecordId;
use crate::{envelope::Origin, untrusted::is_steering};

/// Maximum length of the text of a report, in characters; more is cut off.
pub const REPORT_CHARS_MAX: usize = 4000;
/// Maximum length of the contact in a report, in characters; more is cut off.
pub const CONTACT_CHARS_MAX: usize = 200;

/// The party that asks for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester {
    /// The way it takes.
    pub actor: Actor,
    /// Its address, if it comes over the web and the address is known.
    pub address: Option<IpAddr>,
}

/// The way by which something is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A message on its way through the filter.
    Mail,
    /// A reader of the pages.
    Web,
    /// An admin, on the command line.
    Admin,
    /// The drop itself, when the time comes.
    Sweep,
}

/// An action that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A package was made durable.
    Deposit,
    /// A deposit was taken back before anybody had its link.
    Withdraw,
    /// A file was fetched to its end.
    Download,
    /// A package can be fetched for longer.
    Extend,
    /// A package can be fetched again.
    Restore,
    /// A package was ended before its time.
    Revoke,
    /// A reader complained.
    Report,
    /// A file was blocked, or a package ended because of that.
    Block,
    /// A file is no longer blocked.
    Unblock,
    /// A login was suspended, or a package ended because of that.
    Suspend,
    /// The suspension of a login was lifted, or a package that was ended with it can be fetched again.
    Resume,
    /// A deposit was refused because of a blocked file or a suspended login.
    Refuse,
    /// The files of a package were destroyed.
    Destroy,
    /// A package is held by order, and nobody can fetch it.
    Hold,
    /// A package is no longer held.
    Release,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Time of the action.
    pub time: Timestamp,
    /// The action.
    pub action: Action,
    /// The package, if it is about one; its record may be gone.
    pub package: Option<RecordId>,
    /// Postfix's queue id of the message that the package came from; may be empty.
    pub queue_id: String,
    /// The envelope sender of that message.
    pub sender: String,
    /// The login of that message, or the one that the entry is about.
    pub login: Option<String>,
    /// The party that did it.
    pub client: Requester,
    /// Details, in words for people: `file=1`, `until=2026-12-22T10:00:00Z`.
    pub detail: String,
}

impl Requester {
    /// A message on its way through the filter.
    pub const MAIL: Self = Self::of(Actor::Mail);
    /// An admin, on the command line.
    pub const ADMIN: Self = Self::of(Actor::Admin);
    /// The drop itself.
    pub(crate) const SWEEP: Self = Self::of(Actor::Sweep);

    /// Makes the client of a reader of the pages, with the address if that is known.
    pub fn web(address: Option<IpAddr>) -> Self {
        let actor = Actor::Web;
        Self { actor, address }
    }

    const fn of(actor: Actor) -> Self {
        let address = None;
        Self { actor, address }
    }
}

impl Entry {
    /// Makes an entry about a package. What came with a token of another host is told with the token's name: that
    /// outlives the record, and whoever has a stolen token chooses all else.
    pub(crate) fn new(
        time: Timestamp,
        action: Action,
        package: (RecordId, &Origin),
        client: Requester,
        detail: String,
    ) -> Self {
        let (id, origin) = package;
        let detail = match (&origin.uploader, client.actor) {
            (Some(uploader), Actor::Mail) => format!("{detail} uploader={uploader}"),
            _ => detail,
        };
        Self {
            time,
            action,
            package: Some(id),
            queue_id: origin.queue_id.clone(),
            sender: origin.sender.clone(),
            login: origin.login.clone(),
            client,
            detail,
        }
    }

    /// Makes an entry about no package.
    pub(crate) fn general(
        time: Timestamp,
        action: Action,
        client: Requester,
        detail: String,
    ) -> Self {
        Self {
            time,
            action,
            package: None,
            queue_id: String::new(),
            sender: String::new(),
            login: None,
            client,
            detail,
        }
    }

    /// Writes it to the log of the process. `Debug` of texts keeps control characters out.
    pub(crate) fn log(&self) {
        let package = self.package.map(|id| id.to_string()).unwrap_or_default();
        let address = self.client.address.map(|ip| ip.to_string());
        tracing::info!(
            target: "depollueur::audit",
            action = %self.action,
            package,
            queue_id = ?self.queue_id,
            sender = ?self.sender,
            login = ?self.login.as_deref().unwrap_or_default(),
            actor = %self.client.actor,
            address = address.unwrap_or_default(),
            detail = ?self.detail,
            "audit"
        );
    }
}

/// Returns a text from outside as it may stand in an entry: one line, nothing that drives a terminal.
pub(crate) fn one_line(text: &str, chars_max: usize) -> String {
    let shown = text.chars().map(|c| if is_steering(c) { ' ' } else { c });
    let line: String = shown.take(chars_max).collect();
    line.trim().to_owned()
}

/// Gives an enum one word for each value, in the database and for people.
macro_rules! words {
    ($type:ty: $($value:ident = $word:literal),+) => {
        impl $type {
            /// Returns the value with this word.
            pub(crate) fn of_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$value),)+ _ => None }
            }

            /// Returns the word of a value.
            pub fn word(self) -> &'static str {
                match self { $(Self::$value => $word),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

words!(Actor: Mail = "mail", Web = "web", Admin = "admin", Sweep = "sweep");
words!(Action: Deposit = "deposit", Withdraw = "withdraw", Download = "download",
    Extend = "extend", Restore = "restore", Revoke = "revoke", Report = "report", Block = "block",
    Unblock = "unblock", Suspend = "suspend", Resume = "resume", Refuse = "refuse", Destroy = "destroy",
    Hold = "hold", Release = "release");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_is_one_harmless_line() {
        assert_eq!(one_line(" a\r\nb\u{1b}[2J\u{202e}c ", 100), "a  b [2J c");
        assert_eq!(one_line("ééééé", 3), "ééé");
    }

    #[test]
    fn every_action_has_one_word() {
        for action in [Action::Deposit, Action::Destroy, Action::Hold] {
            assert_eq!(Action::of_word(action.word()), Some(action));
        }
        assert_eq!(Action::of_word("other"), None);
    }
}
