//! The side that decrypts a package for its readers, and the link that follows from it.

use super::{RecordId, Token};

/// The side that decrypts a package for those who read it in a browser. The stored data is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlock {
    /// The server: the link's path has the token.
    Server,
    /// The browser: the path has the record's id, and the token stands in the fragment, which
    /// browsers send to nobody (RFC 9110, section 4.2.4).
    Browser,
}

/// The way by which a reader's request names a package. Holds no secret.
///
/// A package has one door: whoever knows only the id of one that the server unlocks (it stands in
/// reports and logs) gets nowhere, and so does a token in a path for one that browsers unlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    pub(crate) id: RecordId,
    pub(crate) unlock: Unlock,
}

/// A link that readers get, taken apart.
#[derive(Debug)]
pub(crate) struct Link {
    /// The URL of the drop, with its final slash.
    pub(crate) base: String,
    pub(crate) unlock: Unlock,
    pub(crate) token: Token,
}

impl Unlock {
    /// Returns the side for a value of `drop.end_to_end`.
    pub(crate) fn of(end_to_end: bool) -> Self {
        if end_to_end {
            Self::Browser
        } else {
            Self::Server
        }
    }

    /// Returns the link for readers of a package; `public_url` ends with a slash.
    pub fn link(self, public_url: &str, token: &Token) -> String {
        match self {
            Self::Server => format!("{public_url}{token}"),
            Self::Browser => format!("{public_url}e/{}#{token}", RecordId::from(token)),
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Browser => "browser",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        match word {
            "server" => Some(Self::Server),
            "browser" => Some(Self::Browser),
            _ => None,
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

impl Door {
    /// Returns the door of a package that browsers unlock.
    pub fn sealed(id: RecordId) -> Self {
        Self {
            id,
            unlock: Unlock::Browser,
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
