//! The part of a sender's address that is certain: the login, our domains and Postfix's map are asked.

use super::{Direction, Envelope, Filter};
use crate::{
    config::ShowSender,
    sender::{self, Sends, Voucher},
};

/// The part of the sender's address that is certain; a check that failed makes nothing certain.
pub(super) async fn verified(
    filter: &Filter,
    envelope: &Envelope,
    genuine: Option<&str>,
) -> Option<String> {
    if envelope.direction == Direction::Incoming {
        return sender::verified(&envelope.sender, Voucher::Stranger(genuine), false);
    }
    let domain = sender::domain(&envelope.sender)?;
    let is_own = filter.lookup.is_own(domain).await;
    let voucher = match &envelope.login {
        Some(login) if is_own => Voucher::Login(sends(filter, login, &envelope.sender).await),
        _ => Voucher::Network,
    };
    sender::verified(&envelope.sender, voucher, is_own)
}

/// The right by which a login sends. The map is asked only where whole addresses are shown.
async fn sends(filter: &Filter, login: &str, sender: &str) -> Sends {
    let shows_addresses = filter.config.web.show_sender == ShowSender::Address;
    let is_allowed = sender::is_himself(login, sender)
        || (shows_addresses && filter.lookup.may_send(login, sender).await);
    if is_allowed {
        Sends::AsAllowed
    } else {
        Sends::AsAny
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::lab::{Lab, LabFate, Mail};
    use crate::{drop::PackageLookup, envelope::Direction};

    /// What is certain of the sender of a mail, as its package says.
    async fn verified(mail: &Mail) -> Option<String> {
        let lab = Lab::new(&[
            "sender.domains=[\"@asso.example\"]",
            "sender.authserv_id=mx.asso.example",
            "web.show_sender=address",
        ]);
        let LabFate::Link(link, _) = lab.send(mail).await else {
            panic!("nothing was detached");
        };
        let token = link.rsplit('/').next().unwrap().parse().unwrap();
        match lab.drop.find(&token, Timestamp::now()).await.unwrap() {
            PackageLookup::Live(package) => package.origin.verified,
            found => panic!("{found:?}"),
        }
    }

    #[tokio::test]
    async fn who_sent_it_is_certain_by_login_network_or_a_trusted_verifier() {
        use Direction::{Incoming, Outgoing};
        let results = "mx.asso.example; dmarc=pass header.from=shop.example";
        let forged = "mx.evil.example; dmarc=pass header.from=impots.example";
        for (direction, login, sender, field, expected) in [
            (
                Outgoing,
                Some("Zoe@asso.example"),
                "zoe@asso.example",
                "",
                Some("zoe@asso.example"),
            ),
            (
                Outgoing,
                Some("zoe@asso.example"),
                "boss@asso.example",
                "",
                Some("asso.example"),
            ),
            (
                Outgoing,
                Some("zoe@asso.example"),
                "ceo@impots.example",
                "",
                None,
            ),
            // A login is no domain of ours.
            (
                Outgoing,
                Some("ceo@impots.example"),
                "ceo@impots.example",
                "",
                None,
            ),
            (
                Outgoing,
                None,
                "printer@asso.example",
                "",
                Some("asso.example"),
            ),
            (Outgoing, None, "ceo@impots.example", results, None),
            (Incoming, None, "zoe@asso.example", "", None),
            (Incoming, None, "ceo@impots.example", forged, None),
            (
                Incoming,
                None,
                "bounce@news.example",
                results,
                Some("shop.example"),
            ),
        ] {
            let mut mail = Mail::new("1@asso.example");
            mail.envelope.direction = direction;
            mail.envelope.login = login.map(Into::into);
            mail.envelope.sender = sender.into();
            if !field.is_empty() {
                mail = mail.with("Authentication-Results", field);
            }
            let found = verified(&mail).await;
            assert_eq!(
                found.as_deref(),
                expected,
                "{direction:?} {login:?} {sender}"
            );
        }
    }
}
