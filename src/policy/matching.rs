//! The conditions of rules, which hold for sure or perhaps.

use std::net::IpAddr;

use super::{HeaderFacts, is_among};
use crate::{
    config::{AddressLists, AddressPatterns, Condition, Config, MailScope, Rule, UserList, fold},
    envelope::{Direction, Envelope, Known, Person},
};

/// The answer to a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    No,
    /// It depends on what is not known yet.
    Unknown,
}

/// The facts about a message. Texts are in lower case.
#[derive(Debug)]
pub(super) struct MessageFacts<'a> {
    pub(super) direction: Direction,
    pub(super) login: Option<Person>,
    pub(super) sender: Person,
    pub(super) known: &'a Known,
    client: Option<IpAddr>,
    daemon: Option<String>,
    /// Its recipients that are lists, as the mail server says, and the addresses of lists.
    lists: Vec<String>,
    list_addresses: &'a AddressPatterns,
    /// The contents of files of addresses.
    address_lists: &'a AddressLists,
    leaves: bool,
    /// `None` until it is read.
    header: Option<&'a HeaderFacts<'a>>,
}

/// The facts about an attachment. Texts are in lower case.
#[derive(Clone, Debug)]
pub struct PartFacts {
    pub(super) name: String,
    pub(super) media_type: String,
    /// The type that its first bytes show; `None` until enough of them came.
    pub content: Option<&'static str>,
    /// Number of decoded bytes that came.
    pub bytes: u64,
    /// True if these are all.
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

    /// Combines two answers: one that holds is enough.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, Self::No) => Self::No,
            _ => Self::Unknown,
        }
    }

    /// Combines answers: all have to hold.
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
    pub(super) fn new(
        (config, address_lists): (&'a Config, &'a AddressLists),
        envelope: &'a Envelope,
        header: Option<&'a HeaderFacts<'a>>,
    ) -> Self {
        Self {
            direction: envelope.direction,
            login: envelope.login.as_deref().map(|login| vec![fold(login)]),
            sender: envelope.known.sender(&envelope.sender),
            known: &envelope.known,
            client: envelope.client,
            daemon: envelope.daemon.as_deref().map(fold),
            lists: envelope.lists.iter().map(|list| fold(list)).collect(),
            list_addresses: &config.detach.lists,
            address_lists,
            leaves: envelope.leaves || envelope.known.may_leave(),
            header,
        }
    }

    /// Checks whether a list of patterns has one of these names.
    fn matches(&self, list: &AddressPatterns, names: &[String]) -> Holds {
        self.known.matches(list, self.address_lists, names)
    }

    /// Checks whether a list of users has one of these names for this kind of mail.
    pub(super) fn has_for(&self, list: &UserList, names: &[String], mail: MailScope) -> Holds {
        self.known.has_for(list, self.address_lists, (names, mail))
    }

    /// Checks whether mail of a list came, or mail to one of ours is going to it.
    fn is_of_list(&self, recipient: Option<&Person>) -> Holds {
        let by_header = self.header.map(|header| header.is_list);
        match (by_header, recipient) {
            (Some(true), _) => Holds::Yes,
            (_, Some(recipient)) if self.is_list(recipient) == Holds::Yes => Holds::Yes,
            (Some(false), Some(recipient)) => self.is_list(recipient),
            _ => Holds::Unknown,
        }
    }

    fn is_list(&self, recipient: &Person) -> Holds {
        let is_named = recipient.iter().any(|name| self.lists.contains(name));
        Holds::from(is_named)
            .or(self.matches(self.list_addresses, recipient))
            .or(self.known.is_list(recipient))
    }

    /// Checks whether it came from elsewhere and leaves again: by an alias, a redirect, a relay.
    fn is_forwarded(&self) -> Holds {
        let came = match self.direction {
            Direction::Incoming => Holds::Yes,
            Direction::Outgoing if self.login.is_some() => Holds::No,
            Direction::Outgoing => self
                .header
                .map_or(Holds::Unknown, |header| header.was_received.into()),
        };
        match (self.leaves, came) {
            (true, came) => came,
            // An alias that leads elsewhere may still be found.
            (false, Holds::No) => Holds::No,
            (false, _) => self.known.unless_more_comes(false),
        }
    }

    /// Returns true if a domain signed it that is not the one of the user who sends it here.
    fn is_signed_by_others(&self, header: &HeaderFacts<'_>) -> bool {
        let is_fresh = self.login.is_some() || !header.was_received;
        let ours = self.direction == Direction::Outgoing && is_fresh;
        let is_ours = |signer: &str| {
            let mut names = self.sender.iter().chain(self.login.iter().flatten());
            ours && names.any(|name| is_aligned(name, signer))
        };
        header.signers.iter().any(|signer| !is_ours(signer))
    }
}

/// Returns true if a signing domain is that of an address, or one above or below it (RFC 7489,
/// section 3.1.1).
fn is_aligned(address: &str, signer: &str) -> bool {
    let is_below = |below: &str, above: &str| {
        let rest = below.strip_suffix(above);
        !above.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    is_below(domain, signer) || is_below(signer, domain)
}

impl PartFacts {
    /// Makes the facts of a part of which only the header came.
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

/// Checks whether a rule's conditions on the message hold. `recipient` is `None` as long as it is not known.
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

/// Returns true if a rule's conditions on the recipient hold.
pub(super) fn is_for(rule: &Rule, message: &MessageFacts<'_>, recipient: &Person) -> bool {
    rule.conditions.iter().all(|condition| match condition {
        Condition::Recipient(list) => message.matches(list, recipient) == Holds::Yes,
        Condition::List(wanted) => (message.is_of_list(Some(recipient)) == Holds::Yes) == *wanted,
        _ => true,
    })
}

/// Checks whether a rule's conditions on an attachment hold.
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
            .map_or(Holds::No, |login| message.matches(list, login)),
        Condition::Sender(list) => message.matches(list, &message.sender),
        Condition::Recipient(list) => {
            recipient.map_or(Holds::Unknown, |recipient| message.matches(list, recipient))
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
        Condition::List(true) => message.is_of_list(recipient),
        Condition::List(false) => message.is_of_list(recipient).not(),
        Condition::SignedByOthers(wanted) => {
            header(&|header| message.is_signed_by_others(header) == *wanted)
        }
        Condition::Forwarded(true) => message.is_forwarded(),
        Condition::Forwarded(false) => message.is_forwarded().not(),
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
