//! Who is meant by the addresses of an envelope, and where these people stand in Postfix's tables:
//! what `lookup` found out before anything is decided. Pure.
//!
//! A recipient may stand for several people, and each of them may be named in several ways: mail to
//! `all+news@` is mail to `all@`, to Alice and to Bob. Whoever is asked about Alice is asked about
//! every name on the way to her, so that a rule for `all@` and a rule for Alice both hold.

use std::collections::{HashMap, HashSet};

use super::matching::Holds;
use crate::config::{AddressPatterns, Mail, Table, UserList, fold};

/// The ways in which one person is named, in lower case; the one in the envelope first.
pub(crate) type Person = Vec<String>;

/// What is known of the people of an envelope.
#[derive(Clone, Debug, Default)]
pub struct Known {
    state: State,
    sender: Person,
    /// Empty where nobody was looked up: each recipient is one person then.
    recipients: Vec<Person>,
    listed: Listed,
    /// The addresses that lead to a list manager.
    lists: HashSet<String>,
    /// Whether an alias leads to another machine.
    leaves: bool,
}

/// Who stands in which table, by his name.
pub(crate) type Listed = HashMap<Table, HashMap<String, Lines>>;

/// For which of his mail somebody stands in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) sent: bool,
    pub(crate) received: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// All that will be.
    #[default]
    Whole,
    /// More can come: what does not hold yet may hold then.
    Open,
    /// It could not be found out.
    Failed,
}

impl Lines {
    /// What the value of a table says: one of the words of our files, or anything else.
    pub(crate) fn of(value: &str) -> Option<Self> {
        let (sent, received) = match value.trim().to_ascii_lowercase().as_str() {
            "sent" => (true, false),
            "received" => (false, true),
            // As in Postfix's own tables: as if nothing stood there.
            "dunno" => return None,
            _ => (true, true),
        };
        Some(Self { sent, received })
    }
}

impl Known {
    /// All that was found out.
    pub(crate) fn whole(sender: Person, recipients: Vec<Person>, listed: Listed) -> Self {
        Self {
            state: State::Whole,
            sender,
            recipients,
            listed,
            lists: HashSet::new(),
            leaves: false,
        }
    }

    /// The same, with what aliases lead to: the addresses that are lists, and whether to another machine.
    pub(crate) fn leading(mut self, lists: HashSet<String>, leaves: bool) -> Self {
        (self.lists, self.leaves) = (lists, leaves);
        self
    }

    /// Whether an alias leads to another machine.
    pub(crate) fn leaves(&self) -> bool {
        self.leaves
    }

    /// Whether one of these names leads to a list manager.
    pub(super) fn is_list(&self, names: &[String]) -> Holds {
        self.unless_more_comes(names.iter().any(|name| self.lists.contains(name)))
    }

    /// Nothing yet, but more can come.
    pub fn open() -> Self {
        Self {
            state: State::Open,
            ..Self::default()
        }
    }

    /// It could not be found out: the message has to be left alone.
    pub fn failed() -> Self {
        Self {
            state: State::Failed,
            ..Self::default()
        }
    }

    /// Whether it could not be found out.
    pub fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// What somebody is called who is called so in the envelope.
    pub(super) fn sender(&self, written: &str) -> Person {
        if self.sender.is_empty() {
            vec![fold(written)]
        } else {
            self.sender.clone()
        }
    }

    /// The recipients, each person once; one without a name when there is none.
    pub(super) fn recipients(&self, written: &[String]) -> Vec<Person> {
        let mut people = self.recipients.clone();
        if people.is_empty() {
            people = written.iter().map(|text| vec![fold(text)]).collect();
        }
        people.sort_unstable();
        people.dedup();
        if people.is_empty() {
            people.push(vec![String::new()]);
        }
        people
    }

    /// Whether a list of patterns has one of these names.
    pub(super) fn matches(&self, list: &AddressPatterns, names: &[String]) -> Holds {
        let stands = names.iter().any(|name| list.matches(name));
        let listed = || self.listed(list.tables(), names).next().is_some();
        self.unless_more_comes(stands || listed())
    }

    /// Whether a list of users has one of these names for this kind of mail.
    pub(super) fn has_for(&self, list: &UserList, names: &[String], mail: Mail) -> Holds {
        let is_for = |lines: Lines| match mail {
            Mail::Sent => lines.sent,
            Mail::Received => lines.received,
        };
        let stands = names.iter().any(|name| list.has_for(name, mail));
        let listed = || self.listed(list.tables(), names).any(is_for);
        self.unless_more_comes(stands || listed())
    }

    fn listed(&self, tables: &[Table], names: &[String]) -> impl Iterator<Item = Lines> {
        let found = tables.iter().filter_map(|table| self.listed.get(table));
        found.flat_map(|found| names.iter().filter_map(|name| found.get(name).copied()))
    }

    /// What holds, unless it does not and more can come.
    pub(super) fn unless_more_comes(&self, holds: bool) -> Holds {
        match self.state {
            State::Open if !holds => Holds::Unknown,
            _ => holds.into(),
        }
    }
}
