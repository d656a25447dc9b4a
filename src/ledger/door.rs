//! The side that decrypts a package for its readers, and the way by which they come to it.

use super::RecordId;

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

impl Unlock {
    /// Returns the side for a value of `drop.end_to_end`.
    pub(crate) fn of(end_to_end: bool) -> Self {
        if end_to_end {
            Self::Browser
        } else {
            Self::Server
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

impl Door {
    /// Returns the door of a package that browsers unlock.
    pub fn sealed(id: RecordId) -> Self {
        Self {
            id,
            unlock: Unlock::Browser,
        }
    }
}
