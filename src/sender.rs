//! The sender of a message, as far as somebody whom the admin trusts vouches for it. Pure.
//!
//! Anybody can write any address in `MAIL FROM`. Pages and notices name only that part of a sender's
//! address that is certain: a domain of ours for mail that our users send, the whole address where
//! the login is that address or may send as it (Postfix's `smtpd_sender_login_maps`), and for mail
//! from outside the domain that a verifier of ours (`sender.authserv_id`) found to be genuine. The
//! facts that another host deposits with its token are no more than its claims: its domains are
//! believed where they are ours, its logins are not.
//!
//! * `authentication` – the findings in a trusted `Authentication-Results` field

pub(crate) mod authentication;

use mailsplice::names;

use crate::config::{ShowSender, fold};

/// The voucher for the sender of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Voucher<'a> {
    /// A user who authenticated.
    Login(Sends),
    /// A client of our networks, or a service for our users.
    Network,
    /// Another host, by its token.
    Token,
    /// Nobody; a verifier may have found out a domain.
    Stranger(Option<&'a str>),
}

/// The right by which a login sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sends {
    /// As himself, or as an address that he may use.
    AsAllowed,
    /// As an address that he is not known to be allowed to use.
    AsAny,
}

/// The certain part of a sender's address: all of it, or the domain alone. `is_own` tells whether the
/// domain is one of ours.
pub(crate) fn verified(sender: &str, voucher: Voucher<'_>, is_own: bool) -> Option<String> {
    match voucher {
        Voucher::Stranger(domain) => domain.map(str::to_owned),
        _ if !is_own => None,
        Voucher::Login(Sends::AsAllowed) => Some(sender.to_owned()),
        Voucher::Login(Sends::AsAny) | Voucher::Network | Voucher::Token => {
            domain(sender).map(str::to_owned)
        }
    }
}

/// The part of a verified address that is shown, safe to print.
pub(crate) fn shown(verified: Option<&str>, mode: ShowSender) -> Option<String> {
    let verified = verified?;
    let bare = domain(verified).unwrap_or(verified);
    match mode {
        ShowSender::None => None,
        ShowSender::Address => Some(names::display(verified)),
        ShowSender::Domain => Some(names::display(bare)),
    }
}

/// The domain of an address; `None` for bounces and addresses without one.
pub(crate) fn domain(address: &str) -> Option<&str> {
    let (_, domain) = address.rsplit_once('@')?;
    (!domain.is_empty()).then_some(domain)
}

/// Returns true if a login is the address as which it sends.
pub(crate) fn is_himself(login: &str, sender: &str) -> bool {
    sender.contains('@') && fold(login) == fold(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_is_what_somebody_we_trust_vouches_for_and_nothing_else() {
        use Voucher::{Login, Network, Stranger, Token};
        const OWN: &str = "zoe@asso.example";
        const FOREIGN: &str = "ceo@impots.example";
        let outside = Some("other.example");
        // By whom, as whom; what is shown as "address" and as "domain".
        for (voucher, sender, address, domain) in [
            (
                Login(Sends::AsAllowed),
                OWN,
                Some(OWN),
                Some("asso.example"),
            ),
            (Login(Sends::AsAllowed), FOREIGN, None, None),
            (
                Login(Sends::AsAny),
                OWN,
                Some("asso.example"),
                Some("asso.example"),
            ),
            (Login(Sends::AsAny), FOREIGN, None, None),
            (Network, OWN, Some("asso.example"), Some("asso.example")),
            (Network, FOREIGN, None, None),
            (Token, OWN, Some("asso.example"), Some("asso.example")),
            (Token, FOREIGN, None, None),
            (Stranger(None), OWN, None, None),
            (Stranger(None), FOREIGN, None, None),
            (Stranger(outside), OWN, outside, outside),
            (Stranger(outside), FOREIGN, outside, outside),
        ] {
            let verified = verified(sender, voucher, sender == OWN);
            for (mode, expected) in [
                (ShowSender::Address, address),
                (ShowSender::Domain, domain),
                (ShowSender::None, None),
            ] {
                let shown = shown(verified.as_deref(), mode);
                assert_eq!(shown.as_deref(), expected, "{voucher:?} {sender} {mode:?}");
            }
        }
    }

    #[test]
    fn who_sends_as_himself_is_known_by_his_whole_address() {
        for (login, sender, expected) in [
            ("Zoe@asso.example", "zoe@Asso.example", true),
            ("zoe", "zoe@asso.example", false),
            ("zoe", "zoe", false),
            ("", "", false),
        ] {
            assert_eq!(is_himself(login, sender), expected, "{login} {sender}");
        }
    }

    #[test]
    fn a_bounce_has_no_domain_and_nothing_of_a_sender_is_markup() {
        assert_eq!(domain(""), None);
        assert_eq!(domain("zoe@"), None);
        let hostile = Some("a\u{202e}b\r\n.example");
        let shown = shown(hostile, ShowSender::Domain).unwrap();
        assert!(!shown.contains(['\u{202e}', '\r', '\n']), "{shown:?}");
    }
}
