//! The facts that the SMTP dialogue tells: addresses, parameters, and the direction of the mail.

use std::net::IpAddr;

use crate::{config::MilterConfig, envelope::Direction};

/// The facts that decide the direction of a message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Client<'a> {
    /// The client's address; `None` for local mail over a pipe.
    pub(super) address: Option<IpAddr>,
    /// `{daemon_name}` as it was at connect.
    pub(super) daemon: Option<&'a str>,
    /// True if the client authenticated.
    pub(super) authenticated: bool,
}

impl Client<'_> {
    /// The direction: outgoing is mail that our users send, after authentication, from our networks,
    /// or through a service of Postfix that is theirs.
    pub(super) fn direction(&self, config: &MilterConfig) -> Direction {
        let near = |ip: IpAddr| config.outgoing_networks.iter().any(|net| net.contains(ip));
        let ours = |name: &str| config.outgoing_daemons.iter().any(|known| known == name);
        if self.authenticated || self.address.is_some_and(near) || self.daemon.is_some_and(ours) {
            Direction::Outgoing
        } else {
            Direction::Incoming
        }
    }
}

/// An address without its angle brackets, which local mail does not have.
pub(super) fn address(argument: &[u8]) -> String {
    let inner = argument
        .strip_prefix(b"<")
        .and_then(|rest| rest.strip_suffix(b">"));
    String::from_utf8_lossy(inner.unwrap_or(argument)).into_owned()
}

/// Transports that deliver to this machine's mailboxes and programs, or to nobody, by the names that
/// Postfix, Sendmail and their packages give them.
const LOCAL_TRANSPORTS: [&str; 17] = [
    "cyrus",
    "discard",
    "dovecot",
    "error",
    "lmtp",
    "local",
    "mailman",
    "maildrop",
    "pipe",
    "procmail",
    "prog",
    "retry",
    "schleuder",
    "sympa",
    "uucp",
    "virtual",
    "file",
];

/// Transports that hand mail to a list manager, by the names that their packages give them.
const LIST_TRANSPORTS: [&str; 7] = [
    "ezmlm",
    "listserv",
    "mailman",
    "majordomo",
    "mlmmj",
    "schleuder",
    "sympa",
];

/// The port at which Mailman 3 takes mail over LMTP unless it is told otherwise (`mta.lmtp_port`).
const MAILMAN_PORT: &str = ":8024";

/// The route of a recipient's mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecipientRoute {
    /// Into a mailbox, to a program, to nobody; also where the mail server does not say.
    Here,
    /// To a mailing list of this machine.
    List,
    /// To another machine.
    Elsewhere,
}

/// The route of a recipient's mail: `{rcpt_mailer}` and `{rcpt_host}` name the transport and the next hop.
pub(super) fn route(transport: Option<&str>, next_hop: Option<&str>) -> RecipientRoute {
    let (Some(transport), Some(next_hop)) = (transport, next_hop) else {
        return RecipientRoute::Here;
    };
    let transport = transport.to_ascii_lowercase();
    let begins = |name: &&str| transport.starts_with(name);
    let is_lmtp = transport.contains("lmtp");
    let is_list = LIST_TRANSPORTS.iter().any(begins);
    if is_list || (is_lmtp && next_hop.ends_with(MAILMAN_PORT)) {
        return RecipientRoute::List;
    }
    let is_local = LOCAL_TRANSPORTS.iter().any(begins) || is_lmtp;
    if is_local || is_loopback(next_hop) {
        RecipientRoute::Here
    } else {
        RecipientRoute::Elsewhere
    }
}

/// Returns true if a next hop (`example.org`, `[192.0.2.1]:25`, `inet:host:port`, `unix:path`) is
/// this machine.
fn is_loopback(next_hop: &str) -> bool {
    if next_hop.starts_with("unix:") || next_hop.starts_with('/') {
        return true;
    }
    let place = next_hop.strip_prefix("inet:").unwrap_or(next_hop);
    let host = match place.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None if place.parse::<IpAddr>().is_ok() => place,
        None => place.split(':').next().unwrap_or(place),
    };
    let bare = host.get(5..).filter(|_| {
        host.get(..5)
            .is_some_and(|tag| tag.eq_ignore_ascii_case("ipv6:"))
    });
    let host = bare.unwrap_or(host).trim_end_matches('.');
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// The message's size as the client declared it (RFC 1870); `None` when it did not, for zero
/// means unknown.
pub(super) fn declared_size<'a>(parameters: impl Iterator<Item = &'a [u8]>) -> Option<u64> {
    for parameter in parameters {
        if let Some((keyword, digits)) = parameter.split_at_checked(5)
            && keyword.eq_ignore_ascii_case(b"SIZE=")
        {
            return str::from_utf8(digits)
                .ok()?
                .parse()
                .ok()
                .filter(|size| *size > 0);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_users_mail_is_outgoing_and_all_other_mail_incoming() {
        let config = MilterConfig {
            outgoing_networks: vec!["192.0.2.0/24".parse().unwrap()],
            ..MilterConfig::default()
        };
        let outside = Client {
            address: "198.51.100.1".parse().ok(),
            ..Client::default()
        };
        for (client, direction) in [
            (Client::default(), Direction::Incoming),
            (outside, Direction::Incoming),
            (
                Client {
                    daemon: Some("INBOUND"),
                    ..outside
                },
                Direction::Incoming,
            ),
            (
                Client {
                    daemon: Some("ORIGINATING"),
                    ..outside
                },
                Direction::Outgoing,
            ),
            (
                Client {
                    authenticated: true,
                    ..outside
                },
                Direction::Outgoing,
            ),
            (
                Client {
                    address: "192.0.2.9".parse().ok(),
                    ..Client::default()
                },
                Direction::Outgoing,
            ),
        ] {
            assert_eq!(client.direction(&config), direction, "{client:?}");
        }
    }

    #[test]
    fn mail_leaves_by_a_transport_to_another_machine_and_by_no_other() {
        for (transport, next_hop, expected) in [
            ("smtp", "example.com", true),
            ("smtp", "[198.51.100.1]:25", true),
            ("relay", "mail.example.org:25", true),
            ("smtp-out", "[2001:db8::1]", true),
            ("esmtp", "mx.example.com.", true),
            ("slow", "example.com", true),
            ("smtp", "[127.0.0.1]:10025", false),
            ("smtp", "127.0.0.1:10025", false),
            ("smtp", "[::1]:25", false),
            ("smtp", "::1", false),
            ("smtp", "[IPv6:::1]:25", false),
            ("smtp", "localhost:25", false),
            ("smtp", "localhost.", false),
            ("smtp", "inet:127.0.0.1:24", false),
            ("lmtp", "unix:private/dovecot-lmtp", false),
            ("lmtp", "example.org", false),
            ("dovecot-lmtp", "example.org", false),
            ("virtual", "example.org", false),
            ("local", "example.org", false),
            ("dovecot", "example.org", false),
            ("mailman", "lists.example.org", false),
            ("error", "5.1.1 unknown", false),
        ] {
            let found = route(Some(transport), Some(next_hop));
            assert_eq!(
                found == RecipientRoute::Elsewhere,
                expected,
                "{transport}:{next_hop}"
            );
        }
        assert_eq!(route(None, Some("example.com")), RecipientRoute::Here);
        assert_eq!(route(Some("smtp"), None), RecipientRoute::Here);
    }

    #[test]
    fn mail_to_a_list_goes_by_the_transport_of_its_manager() {
        for (transport, next_hop, expected) in [
            ("mailman", "lists.example.org", RecipientRoute::List),
            ("sympa", "lists.example.org", RecipientRoute::List),
            ("sympabounce", "lists.example.org", RecipientRoute::List),
            ("mlmmj", "lists.example.org", RecipientRoute::List),
            ("lmtp", "[127.0.0.1]:8024", RecipientRoute::List),
            ("lmtp", "[127.0.0.1]:24", RecipientRoute::Here),
            ("smtp", "[192.0.2.1]:8024", RecipientRoute::Elsewhere),
        ] {
            let found = route(Some(transport), Some(next_hop));
            assert_eq!(found, expected, "{transport}:{next_hop}");
        }
    }

    #[test]
    fn angle_brackets_are_no_part_of_an_address() {
        assert_eq!(address(b"<a@b>"), "a@b");
        assert_eq!(address(b"a@b"), "a@b");
        assert_eq!(address(b"<>"), "");
        assert_eq!(address(b"<"), "<");
        assert_eq!(address(b"<zo\xe9@b>"), "zo\u{fffd}@b");
    }

    #[test]
    fn a_size_of_zero_or_nonsense_says_nothing() {
        let size = |parameters: &[&str]| declared_size(parameters.iter().map(|p| p.as_bytes()));
        assert_eq!(size(&["BODY=8BITMIME", "SIZE=123"]), Some(123));
        assert_eq!(size(&["size=7"]), Some(7));
        for parameters in [
            &[][..],
            &["SIZE=0"],
            &["SIZE="],
            &["SIZE=-1"],
            &["SIZ"],
            &["é"],
        ] {
            assert_eq!(size(parameters), None, "{parameters:?}");
        }
    }
}
