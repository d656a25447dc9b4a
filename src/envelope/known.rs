//! The people meant by the addresses of an envelope, and their lines in Postfix's tables: `lookup`
//! found out about them before anything is decided. Pure.
//!
//! A recipient may stand for several people, and each of them may be named in several ways: mail to
//! `all+news@` is mail to `all@`, to Alice and to Bob. A question about Alice asks about every name
//! on the way to her, so that a rule for `all@` and a rule for Alice both hold.

use std::collections::{HashMap, HashSet};

use crate::config::{Table, fold};

/// The ways in which one person is named, in lower case; the one in the envelope first.
pub(crate) type Person = Vec<String>;

/// The facts about the people of an envelope.
#[derive(Clone, Debug, Default)]
pub struct Known {
    state: Completeness,
    sender: Person,
    /// Empty if nobody was looked up: each recipient is one person then.
    recipients: Vec<Person>,
    listed: Listed,
    /// The addresses that lead to a list manager.
    lists: HashSet<String>,
    /// True if an alias leads to another machine.
    leaves: bool,
    /// True if it does, or if that is not known.
    may_leave: bool,
}

/// The lines of each table that name people of an envelope, by name.
pub(crate) type Listed = HashMap<Table, HashMap<String, ListedMail>>;

/// The mail for which somebody stands in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListedMail {
    pub(crate) sent: bool,
    pub(crate) received: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Completeness {
    /// No more will come.
    #[default]
    Whole,
    /// More can come: a condition that does not hold yet may hold then.
    Open,
    /// The facts could not be found out.
    Failed,
}

impl ListedMail {
    /// Reads the value of a table: one of the words of our files, or anything else.
    pub(crate) fn of(value: &str) -> Option<Self> {
        let (sent, received) = match value.trim().to_ascii_lowercase().as_str() {
            "sent" => (true, false),
            "received" => (false, true),
            // As in Postfix's own tables, the line counts as missing.
            "dunno" => return None,
            _ => (true, true),
        };
        Some(Self { sent, received })
    }
}

impl Known {
    /// Makes the facts when all was found out.
    pub(crate) fn whole(sender: Person, recipients: Vec<Person>, listed: Listed) -> Self {
        Self {
            state: Completeness::Whole,
            sender,
            recipients,
            listed,
            lists: HashSet::new(),
            leaves: false,
            may_leave: false,
        }
    }

    /// Adds the ends of aliases: the addresses that are lists, and whether one leads to another machine.
    pub(crate) fn leading(mut self, lists: HashSet<String>, leaves: Option<bool>) -> Self {
        self.lists = lists;
        (self.leaves, self.may_leave) = (leaves == Some(true), leaves != Some(false));
        self
    }

    /// Returns true if an alias certainly leads to another machine.
    pub(crate) fn leaves(&self) -> bool {
        self.leaves
    }

    /// Returns true if an alias leads to another machine, or may do so.
    pub(crate) fn may_leave(&self) -> bool {
        self.may_leave
    }

    /// Makes facts of which nothing is known yet, but to which more can come.
    pub fn open() -> Self {
        Self {
            state: Completeness::Open,
            ..Self::default()
        }
    }

    /// Makes facts that could not be found out: the message has to be left alone.
    pub fn failed() -> Self {
        Self {
            state: Completeness::Failed,
            ..Self::default()
        }
    }

    /// Returns true if the facts could not be found out.
    pub fn has_failed(&self) -> bool {
        self.state == Completeness::Failed
    }

    /// Returns the names of the sender whom the envelope calls `written`.
    pub(crate) fn sender(&self, written: &str) -> Person {
        if self.sender.is_empty() {
            vec![fold(written)]
        } else {
            self.sender.clone()
        }
    }

    /// Returns the recipients, each person once; one without a name when there is none.
    pub(crate) fn recipients(&self, written: &[String]) -> Vec<Person> {
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

    /// Returns true if more can come, so that what does not hold yet may hold then.
    pub(crate) fn is_open(&self) -> bool {
        self.state == Completeness::Open
    }

    /// Returns true if one of these names leads to a list manager.
    pub(crate) fn leads_to_list(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.lists.contains(name))
    }

    /// Returns the lines of these tables for these names.
    pub(crate) fn listed(
        &self,
        tables: &[Table],
        names: &[String],
    ) -> impl Iterator<Item = ListedMail> {
        let found = tables.iter().filter_map(|table| self.listed.get(table));
        found.flat_map(|found| names.iter().filter_map(|name| found.get(name).copied()))
    }
}
