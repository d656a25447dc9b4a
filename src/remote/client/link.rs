//! The check of links given by the drop of another host: recipients read them in mail, under the
//! sender's name.

use reqwest::Url;

use crate::{
    config::{RemoteConfig, is_loopback, is_public_url},
    drop::{Link, Token},
};

/// Maximum length of a link: a line of mail has 998 bytes (RFC 5322, section 2.1.1), and a notice
/// writes words around it.
const LINK_BYTES_MAX: usize = 400;

/// The addresses to which links may lead.
#[derive(Debug)]
pub(super) struct Links {
    /// The beginning of every link; empty if any is accepted.
    public_url: String,
    /// The links accepted without TLS while no `public_url` is set.
    http: InClear,
}

/// The links accepted without TLS.
#[derive(Debug)]
enum InClear {
    All,
    ToThisMachine,
    None,
}

/// The reason why a link is not accepted. No message holds the token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LinkFault {
    #[error("its link has {0} bytes, more than {LINK_BYTES_MAX}")]
    Long(usize),
    #[error("its link is not one of this package")]
    Strange,
    #[error(
        "its link begins with \"{begins}\" and not with remote.public_url = \"{public_url}\"; if the drop has moved, write its web.public_url there"
    )]
    Elsewhere { begins: String, public_url: String },
    #[error("its link begins with \"{0}\": it must be https, or remote.allow_http must be true")]
    InClear(String),
}

impl Links {
    pub(super) fn new(config: &RemoteConfig) -> Self {
        let http = if config.allow_http {
            InClear::All
        } else if is_loopback(&config.url) {
            InClear::ToThisMachine
        } else {
            InClear::None
        };
        Self {
            public_url: config.public_url.clone(),
            http,
        }
    }

    /// Checks that a link leads where the mail's reader finds the package of this token, and only
    /// it.
    pub(super) fn check(&self, link: &str, token: &Token) -> Result<(), LinkFault> {
        if link.len() > LINK_BYTES_MAX {
            return Err(LinkFault::Long(link.len()));
        }
        let is_clean = link.bytes().all(|byte| byte.is_ascii_graphic());
        let is_ours = is_clean && link.ends_with(&token.to_string());
        let read = Link::read(link).filter(|_| is_ours);
        // The address before the token has neither user nor query, and a plain path: it is one that an admin
        // could have configured.
        let base = read
            .map(|read| read.base)
            .filter(|base| is_public_url(base));
        let base = base.ok_or(LinkFault::Strange)?;
        let url: Url = base.parse().map_err(|_| LinkFault::Strange)?;

        if self.public_url.is_empty() {
            return self.check_scheme(&url, base);
        }
        let pinned: Option<Url> = self.public_url.parse().ok();
        if pinned.is_some_and(|pinned| is_below(&url, &pinned)) {
            return Ok(());
        }
        Err(LinkFault::Elsewhere {
            begins: base,
            public_url: self.public_url.clone(),
        })
    }

    fn check_scheme(&self, url: &Url, base: String) -> Result<(), LinkFault> {
        let is_taken = match self.http {
            _ if url.scheme() == "https" => true,
            InClear::All => true,
            InClear::ToThisMachine => is_loopback(&base),
            InClear::None => false,
        };
        is_taken.then_some(()).ok_or(LinkFault::InClear(base))
    }
}

/// Returns true if an address is, or lies below, the pinned one, as browsers read both: without
/// `..`, and with the port of the scheme where none is written.
fn is_below(url: &Url, pinned: &Url) -> bool {
    url.scheme() == pinned.scheme()
        && url.host() == pinned.host()
        && url.port_or_known_default() == pinned.port_or_known_default()
        && url.path().starts_with(pinned.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drop::Unlock;

    fn links(change: impl FnOnce(&mut RemoteConfig)) -> Links {
        let mut config = RemoteConfig {
            url: "https://deposit.example.org/".into(),
            ..RemoteConfig::default()
        };
        change(&mut config);
        Links::new(&config)
    }

    fn pinned(public_url: &str) -> Links {
        links(|config| config.public_url = public_url.into())
    }

    #[test]
    fn links_of_both_kinds_are_taken_below_the_pinned_address_and_nowhere_else() {
        let token = Token::random();
        for (public_url, base, is_taken) in [
            (
                "https://drop.example.org/",
                "https://drop.example.org/",
                true,
            ),
            (
                "https://drop.example.org/",
                "https://drop.example.org/d/",
                true,
            ),
            (
                "https://drop.example.org/",
                "https://DROP.example.org:443/",
                true,
            ),
            (
                "https://drop.example.org/d/",
                "https://drop.example.org/d/",
                true,
            ),
            (
                "https://drop.example.org/d/",
                "https://drop.example.org/",
                false,
            ),
            (
                "https://drop.example.org/d/",
                "https://drop.example.org/dd/",
                false,
            ),
            (
                "https://drop.example.org/d/",
                "https://drop.example.org/d/%2e%2e/x/",
                false,
            ),
            (
                "https://drop.example.org/d/",
                "https://drop.example.org/d/../x/",
                false,
            ),
            (
                "https://drop.example.org/",
                "http://drop.example.org/",
                false,
            ),
            (
                "https://drop.example.org/",
                "https://drop.example.org:8443/",
                false,
            ),
            (
                "https://drop.example.org/",
                "https://drop.example.org.evil.example/",
                false,
            ),
            (
                "https://drop.example.org/",
                "https://drop.example.org@evil.example/",
                false,
            ),
            (
                "https://drop.example.org/",
                "https://evil.example/drop.example.org/",
                false,
            ),
            (
                "https://drop.example.org/",
                "https://sub.drop.example.org/",
                false,
            ),
            ("http://drop.example.org/", "http://drop.example.org/", true),
        ] {
            for unlock in [Unlock::Server, Unlock::Browser] {
                let link = unlock.link(base, &token);
                let checked = pinned(public_url).check(&link, &token);
                assert_eq!(checked.is_ok(), is_taken, "{link} below {public_url}");
            }
        }
    }

    #[test]
    fn without_a_pinned_address_a_link_is_https_and_bare() {
        let token = Token::random();
        let any = links(|_| ());
        let here = links(|config| config.url = "http://127.0.0.1:8027/".into());
        let in_clear = links(|config| config.allow_http = true);
        for (base, taken) in [
            ("https://drop.example.org/", [true; 3]),
            ("http://drop.example.org/", [false, false, true]),
            ("http://127.0.0.1:8025/", [false, true, true]),
            ("ftp://drop.example.org/", [false; 3]),
            ("javascript://drop.example.org/", [false; 3]),
            ("https://user@drop.example.org/", [false; 3]),
            ("https://user:word@drop.example.org/", [false; 3]),
            ("https://drop.example.org/?to=/", [false; 3]),
            ("https://drop.example.org/#/", [false; 3]),
            ("https://drop.example.org\\@evil.example/", [false; 3]),
            ("https://drop.example.org/\r\nBcc:/", [false; 3]),
            ("https://drop.example.org/a b/", [false; 3]),
            ("https://drop.example.org/<b>/", [false; 3]),
            ("https://dröp.example.org/", [false; 3]),
            ("//drop.example.org/", [false; 3]),
        ] {
            let link = format!("{base}{token}");
            let found = [&any, &here, &in_clear].map(|links| links.check(&link, &token).is_ok());
            assert_eq!(found, taken, "{link}");
        }
    }

    #[test]
    fn a_link_has_the_token_of_its_package_and_a_bounded_length() {
        let (token, other) = (Token::random(), Token::random());
        let any = links(|_| ());
        let base = "https://drop.example.org/";
        for link in [
            Unlock::Server.link(base, &other),
            Unlock::Browser.link(base, &other),
            format!("{base}{token}/"),
            format!("{base}e/{}#{token}", other.package_id()),
            format!("{base}{token}").to_uppercase(),
            format!("{base}x{token}"),
            token.to_string(),
            String::new(),
        ] {
            assert_eq!(any.check(&link, &token), Err(LinkFault::Strange), "{link}");
        }
        let long = |bytes: usize| {
            let path = "a".repeat(bytes - base.len() - 1 - token.to_string().len());
            format!("{base}{path}/{token}")
        };
        assert_eq!(any.check(&long(LINK_BYTES_MAX), &token), Ok(()));
        let over = any.check(&long(LINK_BYTES_MAX + 1), &token);
        assert_eq!(over, Err(LinkFault::Long(LINK_BYTES_MAX + 1)));
    }

    #[test]
    fn why_a_link_is_not_taken_is_said_without_its_token() {
        let token = Token::random();
        let link = format!("https://evil.example/{token}");
        let fault = pinned("https://drop.example.org/").check(&link, &token);
        let said = fault.unwrap_err().to_string();
        assert!(
            said.contains(r#"begins with "https://evil.example/" and not"#),
            "{said}"
        );
        assert!(!said.contains(&token.to_string()), "{said}");
    }
}
