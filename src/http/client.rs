//! The address of the client behind a request.
//!
//! A client is known by the address that it connects from. Only a proxy that the admin named is
//! believed about the client that it asks for, and only as far as that proxy, or another trusted
//! one, wrote the field: it is read from its end, up to the first address that is not a trusted
//! one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::{Extensions, HeaderMap, HeaderName, header::FORWARDED};

use crate::config::{Network, ProxyHeader};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The far end of a connection; the server puts it into each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// An address.
    Address(IpAddr),
    /// A unix socket: a proxy of this machine. Whoever may write to the socket counts as one.
    Local,
}

/// One client, as clients are counted: an IPv4 address, or an IPv6 network of 64 bits, the least
/// that a single customer has (RFC 6177). The number is the length of the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientNetwork(IpAddr, u8);

/// The networks around an IPv6 client that also count as one: the length of their prefix, and how
/// many clients' shares all of one network may use together. Many customers have a /56, some a /48
/// (RFC 6177), and each of these has thousands of /64.
const WIDER: [(u8, usize); 2] = [(56, 2), (48, 4)];

/// The proxies that are trusted.
#[derive(Clone, Debug)]
pub(crate) struct Proxies {
    trusted: Vec<Network>,
    header: ProxyHeader,
}

impl ClientNetwork {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(ip) => Self::network(ip, 64),
            ip => Self(ip, 32),
        }
    }

    /// The client and the networks around it, each with the number of clients' shares that it has.
    pub(super) fn and_wider(self) -> impl Iterator<Item = (Self, usize)> {
        let wider = WIDER
            .into_iter()
            .filter_map(move |(prefix, times)| match self.0 {
                IpAddr::V6(ip) => Some((Self::network(ip, prefix), times)),
                IpAddr::V4(_) => None,
            });
        std::iter::once((self, 1)).chain(wider)
    }

    fn network(ip: Ipv6Addr, prefix: u8) -> Self {
        let host = u128::MAX >> prefix;
        Self(Ipv6Addr::from_bits(ip.to_bits() & !host).into(), prefix)
    }
}

impl Proxies {
    /// Trusts the proxies in these networks, and reads the clients that they name from `header`.
    pub(crate) fn new(trusted: Vec<Network>, header: ProxyHeader) -> Self {
        Self { trusted, header }
    }

    /// The address of the client behind a request; `None` only if there is no socket.
    pub(crate) fn client(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
        Some(self.behind(*extensions.get::<Peer>()?, headers))
    }

    /// Returns true if an address is that of a trusted proxy.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(address))
    }

    fn behind(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        // A proxy on a unix socket that names no client counts as one client itself.
        let (mut client, mut is_trusted) = match peer {
            Peer::Address(address) => (address.to_canonical(), self.trusts(address)),
            Peer::Local => (Ipv4Addr::LOCALHOST.into(), true),
        };

        for hop in self.hops(headers).iter().rev() {
            if !is_trusted {
                break;
            }
            // Anything but an address was written by a trusted proxy to hide one: the proxy stands
            // for itself.
            match hop {
                Some(address) => {
                    client = address.to_canonical();
                    is_trusted = self.trusts(client);
                }
                None => break,
            }
        }
        client
    }

    /// The addresses in the field, the nearest last; `None` for an entry that is not an address.
    fn hops(&self, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
        let (name, read): (_, fn(&str) -> Option<IpAddr>) = match self.header {
            ProxyHeader::XForwardedFor => (X_FORWARDED_FOR, node),
            ProxyHeader::Forwarded => (FORWARDED, forwarded_for),
        };
        let lines = headers.get_all(name);
        lines
            .iter()
            .flat_map(|line| match line.to_str() {
                Ok(line) => line.split(',').map(read).collect(),
                Err(_) => vec![None],
            })
            .collect()
    }
}

/// The `for` parameter of one element of `Forwarded` (RFC 7239, section 4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.eq_ignore_ascii_case("for").then(|| node(value))?
    })
}

/// Reads an address, with or without a port: `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`,
/// `[2001:db8::1]`, `[2001:db8::1]:443`.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    bare.unwrap_or(text)
        .parse()
        .ok()
        .or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(header: ProxyHeader) -> Proxies {
        let trusted = ["127.0.0.0/8", "192.0.2.0/24", "2001:db8:1::/48"];
        let trusted = trusted.iter().map(|net| net.parse().unwrap());
        Proxies::new(trusted.collect(), header)
    }

    fn client(header: ProxyHeader, peer: &str, fields: &[(&str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let mut extensions = Extensions::new();
        let peer = match peer {
            "unix" => Peer::Local,
            address => Peer::Address(address.parse().unwrap()),
        };
        extensions.insert(peer);
        let client = proxies(header).client(&extensions, &headers);
        client.unwrap().to_string()
    }

    #[test]
    fn a_client_that_is_no_proxy_is_never_believed() {
        let fields = [("x-forwarded-for", "198.51.100.7")];
        let of = |peer| client(ProxyHeader::XForwardedFor, peer, &fields);
        assert_eq!(of("203.0.113.9"), "203.0.113.9");
        assert_eq!(of("::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(of("127.0.0.1"), "198.51.100.7");
        assert_eq!(of("::ffff:127.0.0.1"), "198.51.100.7");
    }

    #[test]
    fn the_rightmost_address_that_is_not_trusted_counts() {
        for (value, expected) in [
            ("198.51.100.7", "198.51.100.7"),
            ("1.1.1.1, 198.51.100.7", "198.51.100.7"),
            ("1.1.1.1, 198.51.100.7, 192.0.2.5", "198.51.100.7"),
            ("192.0.2.4,192.0.2.5", "192.0.2.4"),
            ("1.1.1.1, unknown", "127.0.0.1"),
            ("1.1.1.1, unknown, 192.0.2.5", "192.0.2.5"),
            ("", "127.0.0.1"),
            (",,,", "127.0.0.1"),
            ("[2001:db8::7]:80", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            ("198.51.100.7:1234, 2001:db8:1::5", "198.51.100.7"),
        ] {
            let fields = [("x-forwarded-for", value)];
            let found = client(ProxyHeader::XForwardedFor, "127.0.0.1", &fields);
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn a_proxy_on_a_unix_socket_is_believed_and_nobody_behind_it() {
        for (value, expected) in [
            ("198.51.100.7", "198.51.100.7"),
            ("1.1.1.1, 198.51.100.7", "198.51.100.7"),
            ("unknown", "127.0.0.1"),
        ] {
            let fields = [("x-forwarded-for", value)];
            let found = client(ProxyHeader::XForwardedFor, "unix", &fields);
            assert_eq!(found, expected, "{value}");
        }
        assert_eq!(client(ProxyHeader::XForwardedFor, "unix", &[]), "127.0.0.1");
    }

    #[test]
    fn ipv6_clients_count_in_the_networks_around_them_too() {
        let of = |text: &str| -> Vec<_> {
            ClientNetwork::of(text.parse().unwrap())
                .and_wider()
                .collect()
        };
        let (one, other) = (of("2001:db8:1:200::1"), of("2001:db8:1:2ff::1"));
        assert_eq!(one.len(), 3);
        assert_eq!((one[1], one[2]), (other[1], other[2]), "one /56");
        assert_ne!(one[0], other[0]);
        let far = of("2001:db8:1:300::1");
        assert!(far[1] != one[1] && far[2] == one[2], "one /48");
        let zero = of("2001:db8:1::1");
        assert!(zero[0].0 != zero[1].0 && zero[1].0 != zero[2].0);
        assert_eq!(of("192.0.2.1").len(), 1);
    }

    #[test]
    fn fields_of_several_lines_are_one_list() {
        let fields = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "198.51.100.7"),
        ];
        let found = client(ProxyHeader::XForwardedFor, "127.0.0.1", &fields);
        assert_eq!(found, "198.51.100.7");
    }

    #[test]
    fn only_the_chosen_field_is_read() {
        let fields = [
            ("x-forwarded-for", "1.1.1.1"),
            (
                "forwarded",
                "for=9.9.9.9, For=\"[2001:db8::7]:80\";proto=https;by=192.0.2.5",
            ),
        ];
        let of = |header| client(header, "127.0.0.1", &fields);
        assert_eq!(of(ProxyHeader::Forwarded), "2001:db8::7");
        assert_eq!(of(ProxyHeader::XForwardedFor), "1.1.1.1");
        let hidden = [("forwarded", "for=_hidden;proto=https")];
        assert_eq!(
            client(ProxyHeader::Forwarded, "127.0.0.1", &hidden),
            "127.0.0.1"
        );
    }

    #[test]
    fn ipv6_clients_are_known_by_their_network() {
        let of = |text: &str| ClientNetwork::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
    }
}
