//! `[store]`, `[remote]`, `[deposit]`: the place to which files go, and what other hosts may deposit here.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use jiff::Span;
use serde::{Deserialize, Serialize};

use super::{
    PublicUrl,
    address::OptionalSocket,
    public_url::OptionalUrl,
    value::{As, Choice, Count, Flag, OptionalPath, Period, Seconds, Size, Words},
};

/// `[store]`: the destination of detached files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct StoreConfig {
    /// The kind of drop.
    #[serde(with = "As::<Choice<StoreKind>>")]
    pub kind: StoreKind,
}

/// The kind of drop that takes detached files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Into the drop of this process.
    Embedded,
    /// Into the drop of another host, over HTTP.
    Remote,
    /// To a Jirafeau, which keeps the files; their records and pages are those of this process.
    Jirafeau,
}

impl StoreKind {
    /// Returns all kinds.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::WORDS.iter().map(|(_, kind)| *kind)
    }

    /// Returns the word for it in the configuration.
    pub(crate) fn word(self) -> &'static str {
        let known = Self::WORDS.iter().find(|(_, kind)| *kind == self);
        known.map_or("", |(word, _)| word)
    }

    /// Returns true if it keeps files encrypted.
    pub(crate) fn encrypts(self) -> bool {
        self != Self::Jirafeau
    }

    /// Returns true if records and pages of its files are those of the drop of this process.
    pub(crate) fn is_here(self) -> bool {
        self != Self::Remote
    }
}

/// `[remote]`: the drop of another host.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct RemoteConfig {
    /// The address of its deposit listener, with a final slash; `None` when there is none.
    #[serde(with = "As::<OptionalUrl>")]
    pub url: Option<PublicUrl>,
    /// The prefix of its links, with a final slash; they may begin with any address when `None`.
    #[serde(with = "As::<OptionalUrl>")]
    pub public_url: Option<PublicUrl>,
    /// The file that holds the bearer token.
    #[serde(with = "As::<OptionalPath>")]
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) that are trusted beside the system's.
    #[serde(with = "As::<OptionalPath>")]
    pub ca_file: Option<PathBuf>,
    /// True if both addresses may be ones without TLS on another host.
    #[serde(with = "As::<Flag>")]
    pub allow_http: bool,
    /// The time that a connection may take to be made, TLS included.
    #[serde(with = "As::<Seconds<1, 60>>")]
    pub connect_timeout: Duration,
    /// The time for which the drop may take no byte, and the time that it may take for an answer.
    #[serde(with = "As::<Seconds<1, 240>>")]
    pub timeout: Duration,
}

/// `[deposit]`: the listener for milters of other hosts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct DepositConfig {
    /// The socket; off when `None`.
    #[serde(with = "As::<OptionalSocket>")]
    pub listen: Option<SocketAddr>,
    /// The most bytes that one file may have.
    #[serde(with = "As::<Size>")]
    pub file_bytes_max: u64,
    /// The most bytes of all packages that one uploader has begun and not yet committed.
    #[serde(with = "As::<Size>")]
    pub draft_bytes_max: u64,
    /// The most packages that one uploader may have begun and not yet committed.
    #[serde(with = "As::<Count<1, 100_000>>")]
    pub drafts_max: usize,
    /// The longest time that an uploader may ask a package to be kept.
    #[serde(with = "As::<Period>")]
    pub expiry_max: Span,
    /// Connections that are served at once.
    #[serde(with = "As::<Count<1, 100_000>>")]
    pub max_connections: usize,
    /// The time for which an uploader may send nothing in the middle of a request, or idle between two.
    #[serde(with = "As::<Seconds<1, 3600>>")]
    pub timeout: Duration,
}
