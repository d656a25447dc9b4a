//! The check of links given by the drop of another host: recipients read them in mail, under the
//! sender's name.

use crate::{
    config::{PublicUrl, RemoteConfig},
    drop::{Link, Token},
};

/// Maximum length of a link: a line of mail has 998 bytes (RFC 5322, section 2.1.1), and a notice
/// writes words around it.
const LINK_BYTES_MAX: usize = 400;

/// The addresses to which links may lead.
#[derive(Debug)]
pub(super) struct Links {
    /// The beginning of every link; `None` if any is accepted.
    public_url: Option<PublicUrl>,
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
        } else if config.url.as_ref().is_some_and(PublicUrl::is_loopback) {
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
        let base = read.map(|read| read.base).ok_or(LinkFault::Strange)?;
        let url: Option<PublicUrl> = base.parse().ok();
        let url = url.filter(|url| url.as_str() == base);
        let url = url.ok_or(LinkFault::Strange)?;

        match &self.public_url {
            None => self.check_scheme(&url),
            Some(pinned) if url.is_below(pinned) => Ok(()),
            Some(pinned) => Err(LinkFault::Elsewhere {
                begins: base,
                public_url: pinned.to_string(),
            }),
        }
    }

    fn check_scheme(&self, url: &PublicUrl) -> Result<(), LinkFault> {
        let is_taken = match self.http {
            _ if url.is_secure() => true,
            InClear::All => true,
            InClear::ToThisMachine => url.is_loopback(),
            InClear::None => false,
        };
        let fault = || LinkFault::InClear(url.to_string());
        is_taken.then_some(()).ok_or_else(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drop::Unlock;

    fn links(change: impl FnOnce(&mut RemoteConfig)) -> Links {
        let mut config = RemoteConfig {
            url: "https://deposit.example.org/".parse().ok(),
            ..RemoteConfig::default()
        };
        change(&mut config);
        Links::new(&config)
    }

    fn pinned(public_url: &str) -> Links {
        links(|config| config.public_url = public_url.parse().ok())
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
        let here = links(|config| config.url = "http://127.0.0.1:8027/".parse().ok());
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
