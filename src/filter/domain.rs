//! The settings that apply to a message: those of the domain that it belongs to. Pure.
//!
//! Mail of our users belongs to the domain of its sender, or, if that has no settings of its own, to
//! that of the login. Mail from outside belongs to the domain of its recipients, if all of them have
//! the same settings; mail to several domains goes by the main file.

use std::sync::Arc;

use super::{Direction, Envelope};
use crate::config::Config;

/// The configuration for a message; `None` where no domain has its own for it.
pub(super) fn config<'a>(main: &'a Config, envelope: &Envelope) -> Option<&'a Arc<Config>> {
    if main.domains.is_empty() {
        return None;
    }
    let of = |address: &str| {
        let (_, domain) = address.rsplit_once('@')?;
        main.of_domain(domain)
    };
    match envelope.direction {
        Direction::Outgoing => {
            of(&envelope.sender).or_else(|| envelope.login.as_deref().and_then(of))
        }
        Direction::Incoming => {
            let mut found = envelope.recipients.iter().map(|recipient| of(recipient));
            let first = found.next()??;
            let is_same = |one: Option<&Arc<Config>>| one.is_some_and(|one| is_one(one, first));
            found.all(is_same).then_some(first)
        }
    }
}

/// Returns true if two domains have the same settings: a link makes one file hold for several.
fn is_one(one: &Arc<Config>, other: &Arc<Config>) -> bool {
    Arc::ptr_eq(one, other) || one.to_toml() == other.to_toml()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_belongs_to_its_senders_domain_or_to_the_one_of_all_its_recipients() {
        use Direction::{Incoming, Outgoing};
        let mut main = Config::default();
        for (domain, operator) in [("a.example", "a"), ("b.example", "b"), ("a2.example", "a")] {
            let mut own = Config::default();
            own.web.operator = operator.into();
            main.domains.insert(domain.into(), Arc::new(own));
        }
        for (direction, sender, login, recipients, expected) in [
            (
                Outgoing,
                "x@A.example",
                None,
                &["y@b.example"][..],
                Some("a"),
            ),
            (
                Outgoing,
                "x@c.example",
                Some("x@b.example"),
                &["y@a.example"],
                Some("b"),
            ),
            (Outgoing, "", Some("x"), &["y@a.example"], None),
            (
                Incoming,
                "x@a.example",
                None,
                &["y@b.example", "z@B.example"],
                Some("b"),
            ),
            (
                Incoming,
                "x@o.example",
                None,
                &["y@b.example", "z@a.example"],
                None,
            ),
            (
                Incoming,
                "x@o.example",
                None,
                &["y@a.example", "z@a2.example"],
                Some("a"),
            ),
            (
                Incoming,
                "x@o.example",
                None,
                &["y@a.example", "z@c.example"],
                None,
            ),
            (Incoming, "x@o.example", None, &[], None),
        ] {
            let envelope = Envelope {
                direction,
                sender: sender.into(),
                login: login.map(Into::into),
                recipients: recipients.iter().map(|&to| to.to_owned()).collect(),
                ..Envelope::default()
            };
            let found = config(&main, &envelope).map(|own| own.web.operator.as_str());
            assert_eq!(found, expected, "{envelope:?}");
        }
    }
}
