//! `[[rule]]`: exceptions from `[detach]` and `[notice]`, in order; the first that matches decides.
//!
//! Rules come from the file only. They are parsed here and not by serde, because each mistake must be
//! reported with its line, the rule's name, the key and the value.

mod read;
mod unmatched;

use jiff::Span;
use mailsplice::rewrite::Position;
use serde::{Serialize, Serializer};

use super::{
    Directions, Network, NoticeLanguage, StoreKind,
    pattern::{AddressPatterns, HeaderPattern, Patterns},
};

pub(super) use self::read::{Mistake, address_files, read};

/// A rule. All its conditions must hold.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The name that it was given, or its number: `rule 3`.
    pub label: String,
    /// The conditions, all of which must hold.
    pub conditions: Vec<Condition>,
    /// The action if they hold.
    pub action: RuleAction,
    /// True if the action is only logged and counted.
    pub dry_run: bool,
    /// The rule as it was written, for `depollueur check`.
    written: toml::Table,
}

/// A condition of a rule. Conditions on the message come before those on an attachment.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The direction of the message.
    Direction(Directions),
    /// The login name of the client that authenticated.
    Login(AddressPatterns),
    /// The envelope sender.
    Sender(AddressPatterns),
    /// An envelope recipient.
    Recipient(AddressPatterns),
    /// The address of the client.
    Client(Vec<Network>),
    /// `{daemon_name}`.
    Daemon(Patterns),
    /// True for mail that comes from a mailing list, or goes to one of ours.
    List(bool),
    /// The id of the list (RFC 2919).
    ListId(Patterns),
    /// True for bulk mail.
    Bulk(bool),
    /// True for mail that a program wrote (RFC 3834).
    Automatic(bool),
    /// True for mail signed by a domain other than its sender's (DKIM, DKIM2).
    SignedByOthers(bool),
    /// True for mail that came from elsewhere, part of which goes to another machine.
    Forwarded(bool),
    /// Fields of the header, any of which may match.
    Header(Vec<HeaderPattern>),
    /// The attachment's file name.
    FileName(Patterns),
    /// The text after the last dot of the file name.
    Extension(Patterns),
    /// The declared media type.
    Type(Patterns),
    /// The media type that the first bytes show.
    Content(Patterns),
    /// Minimum decoded size, in bytes.
    SizeMin(u64),
    /// Maximum decoded size, in bytes.
    SizeMax(u64),
}

/// The action of a rule.
#[derive(Clone, Debug)]
pub enum RuleAction {
    /// The attachment is detached, under these terms where they differ from the defaults.
    Detach(Box<Terms>),
    /// The attachment stays, whatever its size.
    Keep,
    /// The message is refused temporarily (451), with this text.
    Tempfail(String),
    /// The message is refused for good (550), with this text.
    Reject(String),
}

/// Terms that a rule may set; `None` stands for the default in `[detach]`, `[drop]` or `[notice]`.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// `detach.threshold`
    pub threshold: Option<u64>,
    /// `detach.message_threshold`
    pub message_threshold: Option<Option<u64>>,
    /// `drop.expiry`
    pub retention: Option<Span>,
    /// `notice.language`
    pub language: Option<NoticeLanguage>,
    /// `notice.position`
    pub position: Option<Position>,
    /// `store.kind`
    pub store: Option<StoreKind>,
}

impl Rule {
    /// Returns true if some of its conditions are about an attachment.
    pub fn is_of_part(&self) -> bool {
        self.conditions.iter().any(Condition::is_of_part)
    }

    /// Returns true if it applies wherever `other` applies, as far as both are written alike: each of
    /// its conditions is also one of `other`, or a list that contains all of it.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let has = |key: &str, asked: &toml::Value| {
            let others = other.written.get(key);
            others
                .is_some_and(|others| items(others).all(|item| items(asked).any(|one| one == item)))
        };
        let is_condition = |key: &str| read::condition_keys().any(|condition| condition == key);
        let mut asked = self.written.iter().filter(|(key, _)| is_condition(key));
        asked.all(|(key, asked)| has(key, asked))
    }

    /// Returns the store to which it sends the files of a message.
    pub fn store(&self) -> Option<StoreKind> {
        match &self.action {
            RuleAction::Detach(terms) => terms.store,
            _ => None,
        }
    }

    /// Returns its lists of addresses, with their keys.
    fn address_lists(&self) -> impl Iterator<Item = (&'static str, &AddressPatterns)> {
        self.conditions
            .iter()
            .filter_map(|condition| match condition {
                Condition::Login(list) => Some(("login", list)),
                Condition::Sender(list) => Some(("sender", list)),
                Condition::Recipient(list) => Some(("recipient", list)),
                _ => None,
            })
    }

    /// Returns true if it refuses messages.
    pub fn refuses(&self) -> bool {
        matches!(self.action, RuleAction::Tempfail(_) | RuleAction::Reject(_))
    }
}

/// Returns the value, or the items of a list.
fn items(value: &toml::Value) -> impl Iterator<Item = &toml::Value> {
    match value {
        toml::Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    }
    .iter()
}

impl Condition {
    /// Returns true if it is about an attachment, not about the message.
    pub fn is_of_part(&self) -> bool {
        matches!(
            self,
            Self::FileName(_)
                | Self::Extension(_)
                | Self::Type(_)
                | Self::Content(_)
                | Self::SizeMin(_)
                | Self::SizeMax(_)
        )
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(to)
    }
}
