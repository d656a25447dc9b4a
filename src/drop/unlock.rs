//! The link of a package, which follows from the side that decrypts it for its readers.

use super::Token;
use crate::ledger::{Door, RecordId, Unlock};

/// A link that readers get, taken apart.
#[derive(Debug)]
pub(crate) struct Link {
    /// The URL of the drop, with its final slash.
    pub(crate) base: String,
    pub(crate) unlock: Unlock,
    pub(crate) token: Token,
}

impl Unlock {
    /// Returns the link for readers of a package; `public_url` ends with a slash.
    pub fn link(self, public_url: &str, token: &Token) -> String {
        match self {
            Self::Server => format!("{public_url}{token}"),
            Self::Browser => format!("{public_url}e/{}#{token}", RecordId::from(token)),
        }
    }
}

impl Link {
    /// Takes apart a link that [`Unlock::link`] made; returns `None` for any other text.
    pub(crate) fn read(link: &str) -> Option<Self> {
        let (rest, token) = link.split_at(link.rfind(['/', '#'])? + 1);
        let token: Token = token.parse().ok()?;
        let sealed = format!("e/{}#", RecordId::from(&token));
        let (base, unlock) = match rest.strip_suffix(&sealed) {
            Some(base) => (base, Unlock::Browser),
            None => (rest, Unlock::Server),
        };
        base.ends_with('/').then(|| Self {
            base: base.to_owned(),
            unlock,
            token,
        })
    }

    /// Returns the path of the first file of the package, below the base.
    pub(crate) fn first_file(&self) -> String {
        match self.unlock {
            Unlock::Server => format!("{}/1", self.token),
            Unlock::Browser => format!("e/{}/1", RecordId::from(&self.token)),
        }
    }
}

impl From<&Token> for Door {
    /// Returns the door of a package that the server unlocks.
    fn from(token: &Token) -> Self {
        Self {
            id: token.into(),
            unlock: Unlock::Server,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_shows_its_token_to_those_alone_who_may_see_it() {
        let token = Token::random();
        let url = "https://drop.example.org/";
        assert_eq!(Unlock::Server.link(url, &token), format!("{url}{token}"));
        let link = Unlock::Browser.link(url, &token);
        let (sent, kept) = link.split_once('#').unwrap();
        assert_eq!(sent, format!("{url}e/{}", RecordId::from(&token)));
        assert_eq!(kept, token.to_string());
    }

    #[test]
    fn a_link_is_taken_apart_as_it_was_made() {
        let (token, base) = (Token::random(), "https://drop.example.org/files/");
        for unlock in [Unlock::Server, Unlock::Browser] {
            let read = Link::read(&unlock.link(base, &token)).unwrap();
            assert_eq!((read.base.as_str(), read.unlock), (base, unlock));
            assert_eq!(read.token.to_string(), token.to_string());
        }
        let id = RecordId::from(&Token::random());
        for other in [
            String::new(),
            base.to_owned(),
            token.to_string(),
            format!("{base}{token}/1"),
            format!("{base}#{token}"),
            format!("{base}e/{id}#{token}"),
        ] {
            assert!(Link::read(&other).is_none(), "{other}");
        }
    }
}
