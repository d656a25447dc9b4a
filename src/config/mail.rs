//! `[mail]`: the mail server for this program's own mail, and the addresses that it writes to.

use std::{fmt, net::IpAddr, str::FromStr};

use lettre::Address;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    address::AddressError,
    value::{As, Codec, Written},
};

/// The port of mail servers.
const SMTP_PORT: u16 = 25;
/// The port for implicit TLS (RFC 8314, section 7.3).
const SMTPS_PORT: u16 = 465;
/// Maximum number of addresses that are written to.
const ADDRESSES_MAX: usize = 20;

/// `[mail]`: the settings for sending reports.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct MailConfig {
    /// The mail server that accepts them.
    #[serde(with = "As::<RelayServer>")]
    pub relay: Relay,
    /// The sender of reports; derived from `web.public_url` if `None`.
    #[serde(with = "As::<OptionalAddress>")]
    pub from: Option<Address>,
}

/// A mail server that accepts our mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The server's name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The protection of the connection to the server.
    pub security: Security,
}

/// The protection of the connection to a mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// None.
    Clear,
    /// STARTTLS, which the server must offer.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: SMTP_PORT,
            security: Security::Clear,
        }
    }
}

impl Relay {
    /// Returns true if the server is on this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

impl FromStr for Relay {
    type Err = AddressError;

    /// Parses `host`, `host:port`, `smtp://host:port` or `smtps://host:port`; an IPv6 address stands
    /// in brackets.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        // Most relays are written without a scheme, and Url reads no host in one that it does not know.
        let (scheme, place) = text.split_once("://").unwrap_or(("", text));
        let port = match scheme {
            "" | "smtp" => SMTP_PORT,
            "smtps" => SMTPS_PORT,
            _ => return Err(AddressError),
        };

        // https has rules for its host, and its default port is none of those used here.
        let url: Url = format!("https://{place}")
            .parse()
            .map_err(|_| AddressError)?;

        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let nobody = url.username().is_empty() && url.password().is_none();
        let plain = !place.contains(['/', '?', '#', '@']) && bare && nobody;
        let host = url.host_str().filter(|_| plain).ok_or(AddressError)?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();

        let named = place
            .rsplit_once(':')
            .filter(|(_, port)| !port.contains(']'));
        let port = match named {
            Some((_, port)) => port.parse().map_err(|_| AddressError)?,
            None => port,
        };

        let security = match scheme {
            "smtps" => Security::Tls,
            "smtp" => Security::Clear,
            _ if is_loopback(&host) => Security::Clear,
            _ => Security::StartTls,
        };

        (port != 0)
            .then_some(Self {
                host,
                port,
                security,
            })
            .ok_or(AddressError)
    }
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            security,
        } = self;
        let scheme = match security {
            Security::Clear if self.is_loopback() => "",
            Security::Clear => "smtp://",
            Security::StartTls => "",
            Security::Tls => "smtps://",
        };
        if host.contains(':') {
            write!(f, "{scheme}[{host}]:{port}")
        } else {
            write!(f, "{scheme}{host}:{port}")
        }
    }
}

/// Codec of `mail.relay`.
pub(super) struct RelayServer;

impl Codec for RelayServer {
    type Value = Relay;

    fn parse(written: &Written) -> Option<Relay> {
        written.text()?.parse().ok()
    }

    fn print(value: &Relay) -> Written {
        Written::Text(value.to_string())
    }

    fn allowed() -> String {
        r#"a mail server such as "127.0.0.1:25", "mail.example.org:587" (STARTTLS), "smtps://mail.example.org:465" or "smtp://mail.example.org:25" (in the clear)"#.into()
    }
}

/// Codec of `mail.from`.
pub(super) struct OptionalAddress;

impl Codec for OptionalAddress {
    type Value = Option<Address>;

    fn parse(written: &Written) -> Option<Option<Address>> {
        match written.text()?.as_str() {
            "" => Some(None),
            text => mailbox(text).map(Some),
        }
    }

    fn print(value: &Option<Address>) -> Written {
        Written::Text(value.as_ref().map(Address::to_string).unwrap_or_default())
    }

    fn allowed() -> String {
        r#"a mail address such as "depollueur@example.org", in ASCII before the @, or empty"#.into()
    }
}

/// Codec of `web.report_to`.
pub(super) struct MailAddresses;

impl Codec for MailAddresses {
    type Value = Vec<Address>;

    fn parse(written: &Written) -> Option<Vec<Address>> {
        let texts = match written {
            Written::Text(text) if text.trim().is_empty() => Vec::new(),
            other => other.texts()?,
        };
        let parts = texts.iter().flat_map(|text| text.split(','));
        let addresses: Option<Vec<Address>> = parts.map(|part| mailbox(part.trim())).collect();
        addresses.filter(|addresses| addresses.len() <= ADDRESSES_MAX)
    }

    fn print(value: &Vec<Address>) -> Written {
        let texts = value
            .iter()
            .map(|address| Written::Text(address.to_string()));
        Written::List(texts.collect())
    }

    fn allowed() -> String {
        format!(
            r#"a mail address such as "abuse@example.org", in ASCII before the @, or a list of at most {ADDRESSES_MAX}"#
        )
    }
}

/// Parses a mail address; its domain is encoded as in DNS (RFC 5890).
fn mailbox(text: &str) -> Option<Address> {
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    let (user, domain) = text.rsplit_once('@')?;
    let plain = user.is_ascii() && !user.is_empty() && !domain.contains(['/', ':', '?', '#']);
    let domain = if domain.is_ascii() {
        domain.to_owned()
    } else {
        let url: Url = format!("https://{domain}/").parse().ok()?;
        url.host_str()?.to_owned()
    };
    Address::new(user, domain).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_elsewhere_is_asked_for_tls_unless_it_is_said_otherwise() {
        use Security::{Clear, StartTls, Tls};
        for (text, host, port, security, printed) in [
            ("127.0.0.1:25", "127.0.0.1", 25, Clear, "127.0.0.1:25"),
            ("127.0.0.1", "127.0.0.1", 25, Clear, "127.0.0.1:25"),
            (
                "localhost:10025",
                "localhost",
                10025,
                Clear,
                "localhost:10025",
            ),
            ("[::1]:25", "::1", 25, Clear, "[::1]:25"),
            ("[::1]", "::1", 25, Clear, "[::1]:25"),
            (
                "mail.example.org",
                "mail.example.org",
                25,
                StartTls,
                "mail.example.org:25",
            ),
            (
                "Mail.Example.org:587",
                "mail.example.org",
                587,
                StartTls,
                "mail.example.org:587",
            ),
            (
                "mail.example.org:443",
                "mail.example.org",
                443,
                StartTls,
                "mail.example.org:443",
            ),
            (
                "smtps://mail.example.org",
                "mail.example.org",
                465,
                Tls,
                "smtps://mail.example.org:465",
            ),
            (
                "smtp://192.0.2.1:25",
                "192.0.2.1",
                25,
                Clear,
                "smtp://192.0.2.1:25",
            ),
            (
                "[2001:db8::1]:25",
                "2001:db8::1",
                25,
                StartTls,
                "[2001:db8::1]:25",
            ),
            (
                "courriel.écologie.example",
                "courriel.xn--cologie-9xa.example",
                25,
                StartTls,
                "courriel.xn--cologie-9xa.example:25",
            ),
        ] {
            let relay: Relay = text.parse().unwrap();
            let expected = Relay {
                host: host.into(),
                port,
                security,
            };
            assert_eq!(relay, expected, "{text}");
            assert_eq!(relay.to_string(), printed);
            assert_eq!(printed.parse(), Ok(relay));
        }
        for text in [
            "",
            ":25",
            "http://a:25",
            "a:0",
            "a:x",
            "a:70000",
            "u@a",
            "a/b",
            "a:25/",
            "::1",
            "a b",
        ] {
            assert_eq!(text.parse::<Relay>(), Err(AddressError), "{text}");
        }
    }

    #[test]
    fn a_receiver_is_an_address_or_several_and_its_domain_is_encoded() {
        let parse = |written| MailAddresses::parse(&written);
        let text = |text: &str| Written::Text(text.into());
        let shown = |addresses: Vec<Address>| -> Vec<String> {
            addresses.iter().map(Address::to_string).collect()
        };
        for (written, expected) in [
            (text(""), vec![]),
            (Written::List(vec![]), vec![]),
            (text("abuse@example.org"), vec!["abuse@example.org"]),
            (text("mailto:abuse@example.org"), vec!["abuse@example.org"]),
            (
                text("a@example.org, b@example.org"),
                vec!["a@example.org", "b@example.org"],
            ),
            (
                Written::List(vec![text("a@example.org"), text("root@localhost")]),
                vec!["a@example.org", "root@localhost"],
            ),
            (
                text("abuse@écologie.example"),
                vec!["abuse@xn--cologie-9xa.example"],
            ),
        ] {
            assert_eq!(shown(parse(written).unwrap()), expected);
        }
        for bad in [
            "abuse",
            "é@example.org",
            "abuse@",
            "@example.org",
            "a b@example.org",
            "<a@example.org>",
            "a@b@c.example",
            "a@example.org\r\nBcc: x@y",
            "https://example.org/",
            "a@b/c",
            "a@b:25",
        ] {
            assert_eq!(parse(text(bad)), None, "{bad}");
        }
        let many = vec![text("a@example.org"); ADDRESSES_MAX + 1];
        assert_eq!(parse(Written::List(many)), None);
    }
}
