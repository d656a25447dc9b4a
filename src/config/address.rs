//! Addresses: of listeners, of senders of outgoing mail, and of those who answer for the drop.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use url::Url;

use super::{
    public_url::authority,
    value::{Codec, Written},
};

/// Maximum length of a unix socket's path: `sun_path` has 108 bytes, and a process that takes over
/// binds a temporary name of up to 12 bytes more.
const SOCKET_PATH_BYTES_MAX: usize = 95;

/// An address at which to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP socket.
    Tcp(SocketAddr),
}

/// An IP network in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The network's address.
    pub address: IpAddr,
    /// The length of its prefix in bits.
    pub prefix: u8,
}

impl Network {
    /// Returns true if the address is in this network. An IPv4-mapped IPv6 address (RFC 4291, section
    /// 2.5.5.2) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => same_prefix(
                u128::from(net.to_bits()),
                u128::from(ip.to_bits()),
                32 - self.prefix,
            ),
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                same_prefix(net.to_bits(), ip.to_bits(), 128 - self.prefix)
            }
            _ => false,
        }
    }
}

impl ListenAddress {
    /// The address of a TCP socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The error for text that is not such an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address of the expected form")]
pub struct AddressError;

impl FromStr for ListenAddress {
    type Err = AddressError;

    /// Parses `unix:/path`, `/path`, `host:port`, `inet:host:port` or `inet:port@host`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let unix = text
            .strip_prefix("unix:")
            .or_else(|| text.starts_with('/').then_some(text));
        match unix {
            Some(path) => unix_path(path).map(Self::Unix),
            None => tcp(text).map(Self::Tcp),
        }
        .ok_or(AddressError)
    }
}

impl FromStr for Network {
    type Err = AddressError;

    /// Parses `192.0.2.0/24`, `2001:db8::/32`, or an address alone. Bits past the prefix must be
    /// zero: an admin who sets them meant another network.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address.parse().map_err(|_| AddressError)?;
        let (bits, width) = match address {
            IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32_u8),
            IpAddr::V6(ip) => (ip.to_bits(), 128),
        };

        let prefix = if text.contains('/') {
            prefix.parse().map_err(|_| AddressError)?
        } else {
            width
        };

        let host_bits = width.checked_sub(prefix).ok_or(AddressError)?;
        let host = bits
            & 1_u128
                .checked_shl(host_bits.into())
                .unwrap_or(0)
                .wrapping_sub(1);
        if host == 0 {
            Ok(Self { address, prefix })
        } else {
            Err(AddressError)
        }
    }
}

/// Codec of `milter.listen`.
pub(super) struct MilterSocket;

impl Codec for MilterSocket {
    type Value = ListenAddress;

    fn parse(written: &Written) -> Option<ListenAddress> {
        written.text()?.parse().ok()
    }

    fn print(value: &ListenAddress) -> Written {
        Written::Text(value.to_string())
    }

    fn allowed() -> String {
        format!(
            r#""unix:" and a path from the root of at most {SOCKET_PATH_BYTES_MAX} bytes, or an IP address and a port such as "127.0.0.1:8895""#
        )
    }
}

/// Codec of `web.listen`.
pub(super) struct WebSocket;

impl Codec for WebSocket {
    type Value = ListenAddress;

    fn parse(written: &Written) -> Option<ListenAddress> {
        let text = written.text()?;
        match text.strip_prefix("unix:") {
            Some(path) => unix_path(path).map(ListenAddress::Unix),
            None => host_port(&text).map(ListenAddress::Tcp),
        }
    }

    fn print(value: &ListenAddress) -> Written {
        Written::Text(value.to_string())
    }

    fn allowed() -> String {
        format!(
            r#"{}, or "unix:" and a path from the root of at most {SOCKET_PATH_BYTES_MAX} bytes"#,
            TcpSocket::allowed()
        )
    }
}

/// Codec of the other HTTP listeners.
pub(super) struct TcpSocket;

impl Codec for TcpSocket {
    type Value = SocketAddr;

    fn parse(written: &Written) -> Option<SocketAddr> {
        host_port(&written.text()?)
    }

    fn print(value: &SocketAddr) -> Written {
        Written::Text(value.to_string())
    }

    fn allowed() -> String {
        r#"an IP address and a port such as "127.0.0.1:8025" or "[::1]:8025""#.into()
    }
}

/// Codec of listeners that need not be named.
pub(super) struct OptionalSocket;

impl Codec for OptionalSocket {
    type Value = Option<SocketAddr>;

    fn parse(written: &Written) -> Option<Option<SocketAddr>> {
        match written.text()?.as_str() {
            "" => Some(None),
            address => host_port(address).map(Some),
        }
    }

    fn print(value: &Option<SocketAddr>) -> Written {
        Written::Text(value.map(|address| address.to_string()).unwrap_or_default())
    }

    fn allowed() -> String {
        format!("{}, or empty", TcpSocket::allowed())
    }
}

/// Codec of `milter.outgoing_networks`.
pub(super) struct Networks;

impl Codec for Networks {
    type Value = Vec<Network>;

    fn parse(written: &Written) -> Option<Vec<Network>> {
        written
            .texts()?
            .iter()
            .map(|text| text.parse().ok())
            .collect()
    }

    fn print(value: &Vec<Network>) -> Written {
        Written::List(
            value
                .iter()
                .map(|net| Written::Text(net.to_string()))
                .collect(),
        )
    }

    fn allowed() -> String {
        r#"a list of networks such as ["192.0.2.0/24", "2001:db8::/32"], zero after the prefix"#
            .into()
    }
}

/// Maximum size of a contact, in bytes.
const CONTACT_BYTES_MAX: usize = 1000;

/// Codec of `web.contact`, to which readers must be able to write.
pub(super) struct Contact;

impl Codec for Contact {
    type Value = String;

    fn parse(written: &Written) -> Option<String> {
        let text = written.text()?;
        let is_clean = text.len() <= CONTACT_BYTES_MAX
            && !text
                .chars()
                .any(|c| c.is_control() || c.is_whitespace() || "<>\"".contains(c));
        let is_url = || authority(&text).is_some() && text.parse::<Url>().is_ok();
        let is_mail = || {
            text.rsplit_once('@').is_some_and(|(user, domain)| {
                let labels = || domain.split('.');
                !user.is_empty() && labels().count() > 1 && labels().all(|label| !label.is_empty())
            })
        };
        (text.is_empty() || is_clean && (is_url() || is_mail())).then_some(text)
    }

    fn print(value: &String) -> Written {
        Written::Text(value.clone())
    }

    fn allowed() -> String {
        r#"a mail address such as "abuse@example.org", an URL such as "https://example.org/abuse", or empty"#
            .into()
    }
}

fn unix_path(text: &str) -> Option<PathBuf> {
    let usable = text.starts_with('/') && !text.ends_with('/') && !text.contains('\0');
    (usable && text.len() <= SOCKET_PATH_BYTES_MAX).then(|| PathBuf::from(text))
}

fn tcp(text: &str) -> Option<SocketAddr> {
    let Some(inet) = text.strip_prefix("inet:") else {
        return host_port(text);
    };
    match inet.split_once('@') {
        Some((port, host)) => Some(SocketAddr::new(ip(host)?, port.parse().ok()?)),
        None => host_port(inet),
    }
}

fn host_port(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        let (host, port) = text.split_once(':')?;
        (host == "localhost").then_some(SocketAddr::new(ip(host)?, port.parse().ok()?))
    })
}

/// Parses an IP address or `localhost`; other names are not looked up, since our listeners must not
/// depend on DNS.
fn ip(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    match bare {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        address => address.parse().ok(),
    }
}

fn same_prefix(left: u128, right: u128, host_bits: u8) -> bool {
    (left ^ right).checked_shr(host_bits.into()).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_a_mail_address_or_an_url() {
        for (text, is_one) in [
            ("", true),
            ("abuse@example.org", true),
            ("abuse+drop@xn--dpt-bma.example", true),
            ("https://example.org/abuse?to=drop#form", true),
            ("abuse", false),
            ("abuse@", false),
            ("@example.org", false),
            ("abuse@localhost", false),
            ("abuse@example..org", false),
            ("abuse@example.org, postmaster@example.org", false),
            ("ftp://example.org/", false),
            ("https://", false),
        ] {
            let read = Contact::parse(&Written::Text(text.into()));
            assert_eq!(read.is_some(), is_one, "{text}");
        }
    }

    #[test]
    fn milter_addresses_have_five_spellings() {
        let unix = ListenAddress::Unix("/run/d/m.sock".into());
        assert_eq!("unix:/run/d/m.sock".parse(), Ok(unix.clone()));
        assert_eq!("/run/d/m.sock".parse(), Ok(unix));
        for text in [
            "127.0.0.1:8895",
            "inet:8895@127.0.0.1",
            "inet:127.0.0.1:8895",
            "localhost:8895",
        ] {
            let tcp = ListenAddress::Tcp(([127, 0, 0, 1], 8895).into());
            assert_eq!(text.parse(), Ok(tcp), "{text}");
        }
        for text in [
            "[::1]:8895",
            "inet:8895@[::1]",
            "inet:[::1]:8895",
            "inet:8895@::1",
        ] {
            let tcp = ListenAddress::Tcp("[::1]:8895".parse().unwrap());
            assert_eq!(text.parse(), Ok(tcp), "{text}");
        }
    }

    #[test]
    fn relative_paths_names_and_halves_are_no_milter_address() {
        for text in [
            "",
            "unix:",
            "unix:run/m.sock",
            "8895",
            "mx.example.org:25",
            "127.0.0.1",
            "inet:",
            "/run/",
        ] {
            assert_eq!(text.parse::<ListenAddress>(), Err(AddressError), "{text}");
        }
        let long = format!("/{}", "x".repeat(SOCKET_PATH_BYTES_MAX));
        assert_eq!(long.parse::<ListenAddress>(), Err(AddressError));
        assert!(
            long[..SOCKET_PATH_BYTES_MAX]
                .parse::<ListenAddress>()
                .is_ok()
        );
    }

    #[test]
    fn networks_contain_their_addresses_and_no_others() {
        for (net, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "11.0.0.0"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("::1", "::1", "::2"),
        ] {
            let net: Network = net.parse().unwrap();
            assert!(net.contains(inside.parse().unwrap()), "{net}");
            assert!(!net.contains(outside.parse().unwrap()), "{net}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("255.255.255.255".parse().unwrap()));
        assert!(!all.contains("::1".parse().unwrap()));
        assert!(
            "::/0"
                .parse::<Network>()
                .unwrap()
                .contains("ffff::1".parse().unwrap())
        );
    }

    #[test]
    fn a_network_with_host_bits_is_a_mistake() {
        for text in [
            "192.0.2.1/24",
            "192.0.2.0/33",
            "2001:db8::1/64",
            "::/129",
            "10/8",
            "a/8",
            "10.0.0.0/",
        ] {
            assert_eq!(text.parse::<Network>(), Err(AddressError), "{text}");
        }
    }
}
