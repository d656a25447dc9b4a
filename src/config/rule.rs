//! `[[rule]]`: exceptions from `[detach]` and `[notice]`, in order; the first that matches decides.
//!
//! Rules stand in the file only. They are read here and not by serde, because each mistake is to
//! be told with its line, the rule's name, the key and the value.

mod read;
mod unmatched;

use jiff::Span;
use serde::{Serialize, Serializer};

use super::{
    Directions, Network, NoticeLanguage, Position, StoreKind,
    pattern::{AddressPatterns, HeaderPattern, Patterns},
};

pub(super) use self::read::{Place, read};

/// One rule. All its conditions must hold.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The name that it was given, or its number: `rule 3`.
    pub label: String,
    /// What must hold.
    pub conditions: Vec<Condition>,
    /// What happens then.
    pub action: Action,
    /// Whether what happens is only logged and counted.
    pub dry_run: bool,
    /// As it was written, for `depollueur check`.
    written: toml::Table,
}

/// What a rule may ask. Conditions about the message come before those about an attachment.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Which way the message goes.
    Direction(Directions),
    /// Who authenticated.
    Login(AddressPatterns),
    /// The envelope sender.
    Sender(AddressPatterns),
    /// An envelope recipient.
    Recipient(AddressPatterns),
    /// The address of the client.
    Client(Vec<Network>),
    /// `{daemon_name}`.
    Daemon(Patterns),
    /// Whether it comes from a mailing list, or goes to one of ours.
    List(bool),
    /// The id of the list (RFC 2919).
    ListId(Patterns),
    /// Whether it is bulk mail.
    Bulk(bool),
    /// Whether a program wrote it (RFC 3834).
    Automatic(bool),
    /// Whether a domain signed it that is not its sender's here (DKIM, DKIM2).
    SignedByOthers(bool),
    /// Whether it came from elsewhere, and some of it goes to another machine.
    Forwarded(bool),
    /// Fields of the header, any of them.
    Header(Vec<HeaderPattern>),
    /// The attachment's file name.
    FileName(Patterns),
    /// What follows the last dot of the file name.
    Extension(Patterns),
    /// The declared media type.
    Type(Patterns),
    /// The media type that the first bytes show.
    Content(Patterns),
    /// At least so many decoded bytes.
    SizeMin(u64),
    /// At most so many decoded bytes.
    SizeMax(u64),
}

/// What a rule does.
#[derive(Clone, Debug)]
pub enum Action {
    /// The attachment goes, under these terms where they differ from the defaults.
    Detach(Box<Terms>),
    /// It stays, whatever its size.
    Keep,
    /// The message is refused for the moment (451), with this text.
    Tempfail(String),
    /// The message is refused for good (550), with this text.
    Reject(String),
}

/// What a rule may set; `None` stands for the default in `[detach]`, `[drop]` or `[notice]`.
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
    /// Whether some of its conditions are about an attachment.
    pub fn is_of_part(&self) -> bool {
        self.conditions.iter().any(Condition::is_of_part)
    }

    /// Whether it holds for all that the other holds for, as far as both are written alike: each of its
    /// conditions is one of the other, or a list that has all of it.
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

    /// The store to which it sends the files of a message.
    pub fn store(&self) -> Option<StoreKind> {
        match &self.action {
            Action::Detach(terms) => terms.store,
            _ => None,
        }
    }

    /// Whether it refuses messages.
    pub fn refuses(&self) -> bool {
        matches!(self.action, Action::Tempfail(_) | Action::Reject(_))
    }
}

/// A value, or each one of a list.
fn items(value: &toml::Value) -> impl Iterator<Item = &toml::Value> {
    match value {
        toml::Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    }
    .iter()
}

impl Condition {
    /// Whether it is about an attachment, not about the message.
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
