//! Whether conditions hold, for sure or perhaps.

use std::net::IpAddr;

use super::{
    HeaderFacts, is_among,
    known::{Known, Person},
};
use crate::{
    config::{Condition, Rule, fold},
    filter::{Direction, Envelope},
};

/// What is known of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    No,
    /// It depends on what is not known yet.
    Unknown,
}

/// What is known of a message. Texts are in lower case.
#[derive(Debug)]
pub(super) struct MessageFacts<'a> {
    pub(super) direction: Direction,
    pub(super) login: Option<Person>,
    pub(super) sender: Person,
    pub(super) known: &'a Known,
    client: Option<IpAddr>,
    daemon: Option<String>,
    /// `None` until it was read.
    header: Option<&'a HeaderFacts<'a>>,
}

/// What is known of an attachment. Texts are in lower case.
#[derive(Clone, Debug)]
pub struct PartFacts {
    pub(super) name: String,
    pub(super) media_type: String,
    /// The type that its first bytes show; `None` until enough of them came.
    pub content: Option<&'static str>,
    /// How many decoded bytes came.
    pub bytes: u64,
    /// Whether these are all.
    pub is_whole: bool,
}

impl Holds {
    pub(super) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }

    /// Whether one of two holds.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, Self::No) => Self::No,
            _ => Self::Unknown,
        }
    }

    /// Whether all hold.
    fn all(conditions: impl Iterator<Item = Self>) -> Self {
        let mut together = Self::Yes;
        for condition in conditions {
            match condition {
                Self::No => return Self::No,
                Self::Unknown => together = Self::Unknown,
                Self::Yes => {}
            }
        }
        together
    }
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl<'a> MessageFacts<'a> {
    pub(super) fn new(envelope: &'a Envelope, header: Option<&'a HeaderFacts<'a>>) -> Self {
        Self {
            direction: envelope.direction,
            login: envelope.login.as_deref().map(|login| vec![fold(login)]),
            sender: envelope.known.sender(&envelope.sender),
            known: &envelope.known,
            client: envelope.client,
            daemon: envelope.daemon.as_deref().map(fold),
            header,
        }
    }
}

impl PartFacts {
    /// Of a part of which only the header came.
    pub fn new(name: &str, media_type: &str) -> Self {
        Self {
            name: fold(name),
            media_type: fold(media_type),
            content: None,
            bytes: 0,
            is_whole: false,
        }
    }

    fn extension(&self) -> &str {
        self.name
            .rsplit_once('.')
            .map_or("", |(_, extension)| extension)
    }
}

/// Whether what a rule asks of the message holds. `recipient` is `None` as long as it is not known.
pub(super) fn of_message(
    rule: &Rule,
    message: &MessageFacts<'_>,
    recipient: Option<&Person>,
) -> Holds {
    let asked = rule
        .conditions
        .iter()
        .filter(|condition| !condition.is_of_part());
    Holds::all(asked.map(|condition| message_condition(condition, message, recipient)))
}

/// Whether what a rule asks of the recipient holds.
pub(super) fn is_for(rule: &Rule, message: &MessageFacts<'_>, recipient: &Person) -> bool {
    rule.conditions.iter().all(|condition| match condition {
        Condition::Recipient(list) => message.known.matches(list, recipient) == Holds::Yes,
        _ => true,
    })
}

/// Whether what a rule asks of an attachment holds.
pub(super) fn of_part(rule: &Rule, part: &PartFacts) -> Holds {
    let asked = rule
        .conditions
        .iter()
        .filter(|condition| condition.is_of_part());
    Holds::all(asked.map(|condition| part_condition(condition, part)))
}

fn message_condition(
    condition: &Condition,
    message: &MessageFacts<'_>,
    recipient: Option<&Person>,
) -> Holds {
    let known = message.known;
    let header = |asked: &dyn Fn(&HeaderFacts<'_>) -> bool| {
        message
            .header
            .map_or(Holds::Unknown, |header| asked(header).into())
    };
    match condition {
        Condition::Direction(directions) => is_among(*directions, message.direction).into(),
        Condition::Login(list) => message
            .login
            .as_ref()
            .map_or(Holds::No, |login| known.matches(list, login)),
        Condition::Sender(list) => known.matches(list, &message.sender),
        Condition::Recipient(list) => {
            recipient.map_or(Holds::Unknown, |recipient| known.matches(list, recipient))
        }
        Condition::Client(networks) => message
            .client
            .is_some_and(|client| networks.iter().any(|network| network.contains(client)))
            .into(),
        Condition::Daemon(names) => message
            .daemon
            .as_deref()
            .is_some_and(|daemon| names.matches(daemon))
            .into(),
        Condition::List(wanted) => header(&|header| header.list_id.is_some() == *wanted),
        Condition::ListId(ids) => {
            header(&|header| header.list_id.as_deref().is_some_and(|id| ids.matches(id)))
        }
        Condition::Bulk(wanted) => header(&|header| header.is_bulk == *wanted),
        Condition::Automatic(wanted) => header(&|header| {
            (header.is_automatic || message.sender.iter().all(String::is_empty)) == *wanted
        }),
        Condition::Header(patterns) => {
            header(&|header| patterns.iter().any(|pattern| header.has(pattern)))
        }
        _ => Holds::Yes,
    }
}

fn part_condition(condition: &Condition, part: &PartFacts) -> Holds {
    match condition {
        Condition::FileName(names) => names.matches(&part.name).into(),
        Condition::Extension(names) => names.matches(part.extension()).into(),
        Condition::Type(types) => types.matches(&part.media_type).into(),
        Condition::Content(types) => part
            .content
            .map_or(Holds::Unknown, |content| types.matches(content).into()),
        Condition::SizeMin(min) if part.bytes >= *min => Holds::Yes,
        Condition::SizeMax(max) if part.bytes > *max => Holds::No,
        Condition::SizeMin(_) if part.is_whole => Holds::No,
        Condition::SizeMax(_) if part.is_whole => Holds::Yes,
        Condition::SizeMin(_) | Condition::SizeMax(_) => Holds::Unknown,
        _ => Holds::Yes,
    }
}
