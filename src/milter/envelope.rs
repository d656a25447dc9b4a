//! What the SMTP dialogue says: addresses, parameters, and which way the mail goes.

use std::net::IpAddr;

use crate::{config::MilterConfig, filter::Direction};

/// What decides the direction of a message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Client<'a> {
    /// Where the client is; `None` for local mail over a pipe.
    pub(super) address: Option<IpAddr>,
    /// `{daemon_name}` as it was at connect.
    pub(super) daemon: Option<&'a str>,
    /// True when the client authenticated.
    pub(super) authenticated: bool,
}

impl Client<'_> {
    /// Outgoing is what our users send: after authentication, from our networks, or through a
    /// service of Postfix that is theirs.
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
