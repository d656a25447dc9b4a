//! Questions about the people of an envelope. A fact that does not hold is unknown while more can come. Pure.

use super::matching::Holds;
use crate::{
    config::{AddressLists, AddressPatterns, MailScope, UserList},
    envelope::{Known, ListedMail},
};

impl Known {
    /// Checks whether one of these names leads to a list manager.
    pub(super) fn is_list(&self, names: &[String]) -> Holds {
        self.unless_more_comes(self.leads_to_list(names))
    }

    /// Checks whether a list of patterns has one of these names.
    pub(super) fn matches(
        &self,
        list: &AddressPatterns,
        lists: &AddressLists,
        names: &[String],
    ) -> Holds {
        let stands = names.iter().any(|name| list.matches(name, lists));
        let listed = || self.listed(list.tables(), names).next().is_some();
        self.unless_more_comes(stands || listed())
    }

    /// Checks whether a list of users has one of these names for this kind of mail.
    pub(super) fn has_for(
        &self,
        list: &UserList,
        lists: &AddressLists,
        (names, mail): (&[String], MailScope),
    ) -> Holds {
        let is_for = |lines: ListedMail| match mail {
            MailScope::Sent => lines.sent,
            MailScope::Received => lines.received,
        };
        let stands = names.iter().any(|name| list.has_for(name, mail, lists));
        let listed = || self.listed(list.tables(), names).any(is_for);
        self.unless_more_comes(stands || listed())
    }

    /// Returns a fact as it is, unless it does not hold and more can come.
    pub(super) fn unless_more_comes(&self, holds: bool) -> Holds {
        if self.is_open() && !holds {
            Holds::Unknown
        } else {
            holds.into()
        }
    }
}
