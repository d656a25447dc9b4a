//! The public address of a drop, with which its links begin.

use std::{fmt, ops::Range, str::FromStr};

use url::{Host, Url};

use super::{
    address::AddressError,
    value::{Codec, Written},
};

/// First segments of the public listener's own paths, other than tokens.
const OUR_PATHS: [&str; 8] = [
    ".well-known",
    "about",
    "e",
    "favicon.ico",
    "logo",
    "robots.txt",
    "style.css",
    "unlock.js",
];

/// The public address of a drop, with one slash at its end: `https://drop.example.org/`.
///
/// It is shown, and stands in links, as the admin wrote it; what is asked about it is answered as a
/// browser reads it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicUrl {
    text: String,
    /// The place of the host and its port in `text`.
    authority: (usize, usize),
    read: Url,
}

impl PublicUrl {
    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host with its port, as they were written.
    pub fn authority(&self) -> &str {
        &self.text[self.authority.0..self.authority.1]
    }

    /// The host without its port, in lower case; an IPv6 address stands in brackets.
    pub fn host(&self) -> &str {
        self.read.host_str().unwrap_or_default()
    }

    /// The port, also where it is the usual one of the scheme.
    pub fn port(&self) -> u16 {
        self.read.port_or_known_default().unwrap_or_default()
    }

    /// The path below which all pages lie, with its slashes.
    pub fn base(&self) -> &str {
        &self.text[self.authority.1..]
    }

    /// Scheme, host and port, as browsers name them (HTML, section 7.1.1).
    pub fn origin(&self) -> String {
        self.read.origin().ascii_serialization()
    }

    /// Returns true if it is reached by https.
    pub fn is_secure(&self) -> bool {
        self.read.scheme() == "https"
    }

    /// Returns true if its host is this machine for everybody.
    pub fn is_loopback(&self) -> bool {
        match self.read.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        }
    }

    /// Returns true if it is the other address, or lies below it: without `..`, and with the port of
    /// the scheme where none is written.
    pub fn is_below(&self, other: &Self) -> bool {
        self.read.origin() == other.read.origin() && self.read.path().starts_with(other.read.path())
    }

    fn read(text: &str) -> Option<Self> {
        let text = format!("{}/", text.trim_end_matches('/'));
        let authority = authority(&text)?;
        let is_bare = !text[authority.clone()].contains('@');
        let read: Url = text.parse().ok()?;
        (is_bare && is_servable(&text[authority.end..])).then_some(Self {
            text,
            authority: (authority.start, authority.end),
            read,
        })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for PublicUrl {
    type Err = AddressError;

    /// Parses an address without user, query and fragment. A host in other letters is written as in
    /// DNS (RFC 5890), a path percent-encoded.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.is_ascii() {
            return Self::read(text).ok_or(AddressError);
        }
        let url: Url = text.parse().map_err(|_| AddressError)?;
        Self::read(url.as_str()).ok_or(AddressError)
    }
}

/// Codec of `web.public_url`.
pub(super) struct PublicAddress;

impl Codec for PublicAddress {
    type Value = PublicUrl;

    fn parse(written: &Written) -> Option<PublicUrl> {
        written.text()?.parse().ok()
    }

    fn print(value: &PublicUrl) -> Written {
        Written::Text(value.to_string())
    }

    fn allowed() -> String {
        r#"an address such as "https://drop.example.org/", without user, query or fragment; a path in it has letters, digits and -._~% alone, and begins with none of ours such as /e/ or /about/"#.into()
    }
}

/// Codec of `remote.url` and `remote.public_url`.
pub(super) struct OptionalUrl;

impl Codec for OptionalUrl {
    type Value = Option<PublicUrl>;

    fn parse(written: &Written) -> Option<Option<PublicUrl>> {
        match written.text()?.as_str() {
            "" => Some(None),
            url => url.parse().ok().map(Some),
        }
    }

    fn print(value: &Option<PublicUrl>) -> Written {
        Written::Text(value.as_ref().map(PublicUrl::to_string).unwrap_or_default())
    }

    fn allowed() -> String {
        format!("{}, or empty", PublicAddress::allowed())
    }
}

/// Finds user, host and port of a web address; `None` if it is none, or is written in a way that only
/// browsers forgive (`https:drop.example.org`, `https:\\drop.example.org`).
///
/// [`Url`] forgives as they do, and programs that find links in mail do not.
pub(super) fn authority(text: &str) -> Option<Range<usize>> {
    let is_begun = |scheme: &&str| {
        let begin = text.get(..scheme.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    let start = ["https://", "http://"].into_iter().find(is_begun)?.len();
    let length = text[start..].find(['/', '?', '#']);
    let end = length.map_or(text.len(), |length| start + length);

    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@[]".contains(&byte);
    let authority = &text[start..end];
    (!authority.is_empty() && authority.bytes().all(is_plain)).then_some(start..end)
}

/// Returns true if we can answer below this path as well as at the root, where a proxy may strip it.
fn is_servable(path: &str) -> bool {
    let path = path.trim_matches('/');
    let plain = |segment: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
        !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain)
    };
    path.is_empty()
        || (path.split('/').all(plain)
            && !path
                .split('/')
                .next()
                .is_some_and(|first| OUR_PATHS.contains(&first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> PublicUrl {
        text.parse().unwrap()
    }

    #[test]
    fn the_public_url_ends_in_one_slash() {
        for (text, kept) in [
            ("https://drop.example.org", "https://drop.example.org/"),
            ("http://[::1]:8025/d/", "http://[::1]:8025/d/"),
            (
                "https://dépôt.example/pièces",
                "https://xn--dpt-bma0d.example/pi%C3%A8ces/",
            ),
        ] {
            assert_eq!(url(text).as_str(), kept);
        }
        for text in [
            "https://a/e/",
            "https://a/e/b",
            "https://a/about/",
            "https://a/logo",
            "https://a/{b}/",
            "https://a/b//c",
            "https://a/../b",
            "",
            "drop.example.org",
            "ftp://a/",
            "https://a/?q",
            "https://a/#f",
            "https://u:p@a/",
            "https://@a/",
            "https:///",
            "https:a/",
            "https:/a/",
            "https:\\\\a/",
            "https://a\t/",
            "https://a%2Eb/",
            "https://a:b/",
            "https://[::1/",
            "/x",
        ] {
            assert_eq!(text.parse::<PublicUrl>(), Err(AddressError), "{text}");
        }
    }

    #[test]
    fn an_address_is_kept_as_written_and_read_as_by_a_browser() {
        let url = url("HTTPS://Drop.Example.org:443/Files/");
        assert_eq!(url.as_str(), "HTTPS://Drop.Example.org:443/Files/");
        assert_eq!(url.authority(), "Drop.Example.org:443");
        assert_eq!(url.host(), "drop.example.org");
        assert_eq!(url.port(), 443);
        assert_eq!(url.base(), "/Files/");
        assert_eq!(url.origin(), "https://drop.example.org");
        assert!(url.is_secure() && !url.is_loopback());
    }

    #[test]
    fn a_port_is_no_part_of_the_host() {
        for (text, host, port) in [
            ("https://drop.example.org:8443/a", "drop.example.org", 8443),
            ("http://drop.example.org/", "drop.example.org", 80),
            ("http://[::1]:8025/", "[::1]", 8025),
        ] {
            assert_eq!((url(text).host(), url(text).port()), (host, port), "{text}");
        }
    }

    #[test]
    fn base_is_the_path_of_the_public_address() {
        for (text, base) in [
            ("https://drop.example.org/", "/"),
            ("https://example.org:8443/drop/", "/drop/"),
            ("http://[::1]:8080", "/"),
        ] {
            assert_eq!(url(text).base(), base);
        }
    }

    #[test]
    fn this_machine_is_known_by_its_name_and_its_addresses() {
        for (text, is_loopback) in [
            ("http://localhost:8025/", true),
            ("http://127.0.0.2/", true),
            ("http://[::1]:8025/", true),
            ("http://localhost.example.org/", false),
            ("http://192.0.2.1/", false),
        ] {
            assert_eq!(url(text).is_loopback(), is_loopback, "{text}");
        }
    }
}
